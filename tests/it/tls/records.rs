//! Records of TLS that arrive in pieces of any size, with new keys between them.

use std::io::{Read, Write};

use super::{Authority, Files, TLS12, TLS13, serve, server_config};
use crate::support::{Bridge, Tcp, TcpEnd};

/// Payloads of one write each: records of all kinds of lengths, and several at a time.
const LENGTHS: &[usize] = &[1, 5, 16_384, 16_383, 40_000, 3, 300_000, 2];

#[test]
fn records_in_pieces_with_new_keys_between_them_are_read_and_answered() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let ca = files.put("ca.pem", &ours.pem);
    let pair = ours.issue(&["localhost"]);
    let sent: Vec<u8> = LENGTHS
        .iter()
        .zip(1..)
        .flat_map(|(len, byte)| vec![byte; *len])
        .collect();
    for versions in [TLS12, TLS13] {
        let (port, server) = serve(server_config(&pair, versions, None), move |stream| {
            let mut wire = Vec::new();
            for (len, byte) in LENGTHS.iter().zip(1..) {
                let mut payload = &vec![byte; *len][..];
                while !payload.is_empty() {
                    let count = stream.conn.writer().write(payload)?;
                    payload = &payload[count..];
                    while stream.conn.wants_write() {
                        stream.conn.write_tls(&mut wire)?;
                    }
                }
                if versions == TLS13 {
                    // The other end must answer with a key of its own before it says anything else.
                    stream.conn.refresh_traffic_keys().unwrap();
                }
            }
            stream.sock.set_nodelay(true)?;
            let (mut rest, mut size) = (&wire[..], 1);
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(size.min(rest.len()));
                stream.sock.write_all(piece)?;
                rest = more;
                size = size % 1999 + 3;
            }
            let mut answer = [0; 6];
            stream.read_exact(&mut answer)?;
            stream.conn.send_close_notify();
            stream.flush()?;
            let _ = stream.read_to_end(&mut Vec::new());
            Ok(answer)
        });
        let bridge = Bridge::start(&["tcp-l:0", &format!("tls:localhost:{port},cacert={ca}")]);
        let mut caller = Tcp::connect(bridge.port);
        assert!(caller.read(sent.len()) == sent, "{versions:?}");
        caller.send(*b"answer");
        assert_eq!(caller.fin().rest(), (Vec::new(), TcpEnd::Eof));
        assert_eq!(&server.join().unwrap().unwrap(), b"answer");
    }
}
