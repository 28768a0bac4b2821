//! The opening handshake of RFC 6455, both ends, over a blocking socket: nothing beyond the head is read.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_HEAD: usize = 8192;

/// What asks for a WebSocket.
pub fn request(port: u16) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Asks for a WebSocket; the server's proof is not checked, for the key is always the same.
pub fn ask(stream: &mut TcpStream, port: u16) -> Result<()> {
    stream.write_all(request(port).as_bytes())?;
    let head = read_head(stream)?;
    let line = head.lines().next().unwrap_or_default();
    ensure!(line.contains(" 101 "), "the handshake was answered: {line}");
    Ok(())
}

/// Answers who asks for a WebSocket.
pub fn answer(stream: &mut TcpStream) -> Result<()> {
    let head = read_head(stream)?;
    let key = header(&head, "sec-websocket-key").context("no Sec-WebSocket-Key was sent")?;
    let proof = base64(&sha1(format!("{key}{GUID}").as_bytes()));
    let protocol = header(&head, "sec-websocket-protocol")
        .and_then(|offered| offered.split(',').next())
        .map(|first| format!("Sec-WebSocket-Protocol: {}\r\n", first.trim()))
        .unwrap_or_default();
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\n{protocol}\r\n"
    );
    Ok(stream.write_all(reply.as_bytes())?)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

/// Reads up to the empty line and not a byte more: it looks before it takes.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut buf = [0; 2048];
    loop {
        let seen = stream.peek(&mut buf)?;
        ensure!(seen > 0, "the connection ended within the handshake");
        let before = head.len();
        head.extend_from_slice(&buf[..seen]);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n");
        let len = end.map_or(head.len(), |at| at + 4);
        stream.read_exact(&mut buf[..len - before])?;
        head.truncate(len);
        if end.is_some() {
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
        ensure!(len < MAX_HEAD, "the handshake's head has no end");
    }
}

/// SHA-1 (RFC 3174), for the proof alone.
pub fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let at = padded.len() - 8;
    padded[at..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let mut state = [
        0x6745_2301_u32,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    for block in padded.chunks_exact(64) {
        sha1_block(&mut state, block);
    }
    let mut hash = [0; 20];
    for (place, word) in hash.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0_u32; 80];
    let (bytes, _) = block.as_chunks::<4>();
    for (word, bytes) in words.iter_mut().zip(bytes) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..80 {
        words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (t, word) in words.into_iter().enumerate() {
        let (mix, constant) = match t / 20 {
            0 => (b & c | !b & d, 0x5A82_7999),
            1 => (b ^ c ^ d, 0x6ED9_EBA1),
            2 => (b & c | b & d | c & d, 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(mix).wrapping_add(e);
        let next = sum.wrapping_add(word).wrapping_add(constant);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

/// Base64 with padding (RFC 4648 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = [0, 8, 16].iter().zip(three);
        let word = word.fold(0, |word, (shift, byte)| {
            word | u32::from(*byte) << (16 - shift)
        });
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) as usize % 64;
            let is_there = digit <= three.len();
            text.push(if is_there {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}
