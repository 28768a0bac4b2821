//! Two bridges between two TCP peers, beside what one TCP connection does: writes, pauses, half-closes and resets at random, on
//! real sockets. The same behind servers and proxies that do not carry the half-close extension, with pauses that are shorter
//! than the lingers: then everything that moves arrives all the same.

use std::io::{Read, Write};
use std::net::TcpListener as StdListener;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::{listener, pattern};
use crate::support::{Bridge, PATIENCE, Tcp, TcpEnd, frame_bytes, run};

/// Sessions of each test, all at the same time.
const SEEDS: u64 = 50;

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write(usize),
    /// Milliseconds.
    Pause(u64),
    Fin,
    Reset,
}

/// What one end does, with pauses of up to so many milliseconds.
fn script(dice: &mut Dice, longest: u64) -> Vec<Act> {
    let mut acts: Vec<Act> = (0..dice.below(6))
        .map(|_| match dice.below(4) {
            0 => Act::Write(1 + dice.below(10) as usize),
            1 => Act::Write(1 + dice.below(300_000) as usize),
            2 => Act::Pause(dice.below(50)),
            _ => Act::Pause(dice.below(longest)),
        })
        .collect();
    match dice.below(8) {
        0 => acts.push(Act::Reset),
        1 => acts.extend([Act::Fin, Act::Pause(dice.below(longest)), Act::Reset]),
        _ => acts.push(Act::Fin),
    }
    acts
}

/// What one end did and saw.
#[derive(Debug, Default)]
struct End {
    script: Vec<Act>,
    sent: usize,
    fin_at: Option<Instant>,
    reset_at: Option<Instant>,
    came: Vec<u8>,
    /// How what came ended, and when.
    ended: Option<(TcpEnd, Instant)>,
    /// When a write failed: it was told of a reset, and the reader sees an end only.
    failed_at: Option<Instant>,
}

/// Plays a script at a connection.
async fn play(mut stream: TcpStream, script: Vec<Act>) -> End {
    let mut end = End {
        script: script.clone(),
        ..End::default()
    };
    let (mut reader, mut writer) = stream.split();
    let (mut came, mut ended) = (Vec::new(), None);
    let reads = async {
        let mut buf = vec![0; 65536];
        let how = loop {
            match reader.read(&mut buf).await {
                Ok(0) => break TcpEnd::Eof,
                Ok(count) => came.extend_from_slice(&buf[..count]),
                Err(_) => break TcpEnd::Reset,
            }
        };
        ended = Some((how, Instant::now()));
    };
    let writes = async {
        for act in script {
            let done = match act {
                Act::Write(len) => {
                    let bytes = pattern(end.sent + len).split_off(end.sent);
                    end.sent += len;
                    writer.write_all(&bytes).await
                }
                Act::Pause(millis) => {
                    sleep(Duration::from_millis(millis)).await;
                    Ok(())
                }
                Act::Fin => {
                    end.fin_at = Some(Instant::now());
                    writer.shutdown().await
                }
                Act::Reset => {
                    end.reset_at = Some(Instant::now());
                    return true;
                }
            };
            if done.is_err() {
                end.failed_at = Some(Instant::now());
                break;
            }
        }
        false
    };
    let (mut reads, mut writes) = (Box::pin(reads), Box::pin(writes));
    tokio::select! {
        biased;
        is_reset = &mut writes => {
            if !is_reset {
                // What does not end is a difference.
                let _ = timeout(PATIENCE, &mut reads).await;
            }
        }
        () = &mut reads => {
            writes.as_mut().await;
        }
    }
    drop((reads, writes));
    if let (Some(failed_at), Some((how, ended_at))) = (end.failed_at, &mut ended)
        && failed_at <= *ended_at
    {
        *how = TcpEnd::Reset;
    }
    (end.came, end.ended) = (came, ended);
    if end.reset_at.is_some() {
        stream.set_zero_linger().unwrap();
    }
    end
}

/// What differs from one TCP connection in the direction from one end to the other.
fn differences(from: &End, to: &End) -> Vec<String> {
    let mut found = Vec::new();
    let seen = to.came.len();
    if from.sent < seen || to.came != pattern(seen) {
        found.push("what came is no prefix of what was sent".to_owned());
    }
    let how = to.ended.map(|ended| ended.0);
    let is_clean = how == Some(TcpEnd::Eof);
    if is_clean && (from.fin_at.is_none() || seen != from.sent) {
        found.push(format!("EOF after {seen} of {} bytes", from.sent));
    }
    // Who has reset sees nothing more.
    if to.reset_at.is_some() {
        return found;
    }
    if !is_clean && from.reset_at.is_none() {
        found.push(format!("{how:?} after {seen} of {} bytes", from.sent));
    }
    let said_at = from.reset_at.or(from.fin_at);
    if let (Some((_, at)), Some(said_at)) = (to.ended, said_at)
        && at > said_at + PATIENCE / 2
    {
        found.push(format!("the end came {:?} late", at - said_at));
    }
    if to.ended.is_none() {
        found.push(format!("no end after {seen} of {} bytes", from.sent));
    }
    found
}

/// Plays all seeds through the bridge at a port, before a backend, and compares each with the model.
#[track_caller]
fn play_seeds(near_port: u16, backend: StdListener, longest: u64) {
    backend.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let failed = runtime.block_on(async {
        let backend = TcpListener::from_std(backend).unwrap();
        let mut sessions = Vec::new();
        for seed in 0..SEEDS {
            let mut dice = Dice(seed << 32);
            let scripts = [script(&mut dice, longest), script(&mut dice, longest)];
            let client = TcpStream::connect(("127.0.0.1", near_port)).await.unwrap();
            let accepted = timeout(PATIENCE, backend.accept()).await;
            let (server, _) = accepted.expect("the backend is dialled").unwrap();
            let [of_client, of_server] = scripts;
            let ends = [
                tokio::spawn(play(client, of_client)),
                tokio::spawn(play(server, of_server)),
            ];
            sessions.push((seed, ends));
        }
        let mut failed = Vec::new();
        for (seed, [client, server]) in sessions {
            let (client, server) = (client.await.unwrap(), server.await.unwrap());
            let forth = differences(&client, &server);
            let back = differences(&server, &client);
            if !forth.is_empty() || !back.is_empty() {
                failed.push(format!(
                    "seed {seed}: to the server {forth:?}, to the client {back:?}\n  {:?}\n  {:?}",
                    client.script, server.script
                ));
            }
        }
        failed
    });
    assert!(
        failed.is_empty(),
        "{} of {SEEDS} seeds differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// A proxy before a port that passes bytes on, and what a server's head becomes. It runs as long as the test does.
fn proxy(to: u16, change: fn(&str) -> String) -> u16 {
    let (listener, port) = listener();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // Sides that go away end it.
                    let _ = pass(client, to, change).await;
                });
            }
        });
    });
    port
}

async fn pass(mut client: TcpStream, to: u16, change: fn(&str) -> String) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // The request is whole at its first empty line, and nothing follows it.
    for is_answer in [false, true] {
        let (from, into) = match is_answer {
            true => (&mut server, &mut client),
            false => (&mut client, &mut server),
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(from.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let is_upgrade = is_answer && head.starts_with("HTTP/1.1 101 ");
        let head = if is_upgrade { change(&head) } else { head };
        into.write_all(head.as_bytes()).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// A head without the line that names extensions.
fn without_extensions(head: &str) -> String {
    let lines = head.split_inclusive("\r\n");
    let is_other = |line: &&str| {
        !line
            .to_ascii_lowercase()
            .starts_with("sec-websocket-extensions")
    };
    let kept: String = lines.filter(is_other).collect();
    assert!(kept.len() < head.len(), "nothing was agreed: {head}");
    kept
}

/// A head that gives back what was offered.
fn with_echo(head: &str) -> String {
    assert!(!head.to_ascii_lowercase().contains("extensions"), "{head}");
    head.replacen(
        "\r\n\r\n",
        "\r\nSec-WebSocket-Extensions: wsbridge-half-close\r\n\r\n",
        1,
    )
}

/// Plays seeds through two bridges with something between them.
#[track_caller]
fn play_between(far_flags: &[&str], between: impl FnOnce(u16) -> u16, longest: u64) {
    let (backend, port) = listener();
    let right = format!("tcp:127.0.0.1:{port}");
    let far = Bridge::start(&[&["ws-l:0", &right], far_flags].concat());
    let url = format!("ws://127.0.0.1:{}", between(far.port));
    let near = Bridge::start(&["tcp-l:0", &url]);
    play_seeds(near.port, backend, longest);
}

#[test]
fn two_bridges_are_one_tcp_connection_on_real_sockets() {
    play_between(&[], |port| port, 3500);
}

#[test]
fn a_relay_between_two_bridges_is_part_of_one_tcp_connection() {
    let mut relay = None;
    let between = |port: u16| {
        let url = format!("ws://127.0.0.1:{port}");
        relay.insert(Bridge::start(&["ws-l:0", &url])).port
    };
    play_between(&[], between, 3500);
}

/// Shorter than every linger.
const SHORT: u64 = 700;

#[test]
fn all_that_moves_arrives_before_a_server_that_ignores_the_extension() {
    play_between(&["--half-close", "no"], |port| port, SHORT);
}

#[test]
fn all_that_moves_arrives_before_a_server_that_echoes_the_extension_blindly() {
    play_between(
        &["--half-close", "no"],
        |port| proxy(port, with_echo),
        SHORT,
    );
}

#[test]
fn all_that_moves_arrives_behind_a_proxy_that_drops_the_agreement() {
    play_between(&[], |port| proxy(port, without_extensions), SHORT);
}

/// A proxy for one connection that parses a client's frames and refuses the first with a reserved bit by Close 1002.
fn strict_proxy(to: u16) -> u16 {
    let (listener, port) = listener();
    thread::spawn(move || {
        let mut client = Tcp::accept(&listener).0;
        let mut server = Tcp::connect(to).0;
        let (mut back_from, mut back_to) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            // It ends when the server has gone.
            let _ = std::io::copy(&mut back_from, &mut back_to);
        });
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        server.write_all(&head).unwrap();
        loop {
            // Short masked frames are all that the test sends.
            let mut frame = vec![0; 6];
            if client.read_exact(&mut frame).is_err() {
                return;
            }
            let len = usize::from(frame[1] & 0x7F);
            assert!(frame[1] & 0x80 != 0 && len <= 125);
            frame.resize(6 + len, 0);
            client.read_exact(&mut frame[6..]).unwrap();
            if frame[0] & 0x70 != 0 {
                break;
            }
            server.write_all(&frame).unwrap();
        }
        server
            .write_all(&frame_bytes(0x88, &1002_u16.to_be_bytes(), true))
            .unwrap();
        client
            .write_all(&frame_bytes(0x88, &1002_u16.to_be_bytes(), false))
            .unwrap();
        let _ = client.shutdown(std::net::Shutdown::Write);
        back.join().unwrap();
    });
    port
}

#[test]
fn a_proxy_that_refuses_the_marker_is_told_by_the_flag_that_leaves_it_out() {
    let hint = "a proxy that does not know the half-close marker may have refused it; \
                --half-close no leaves it out";
    for (flags, status) in [(&[][..], 110), (&["--half-close", "no"][..], 0)] {
        // It answers whatever it was asked, once its input has ended.
        let far = Bridge::start(&[
            "--once",
            "ws-l:0",
            "--",
            "sh",
            "-c",
            "cat >/dev/null; echo heard",
        ]);
        let url = format!("ws://127.0.0.1:{}", strict_proxy(far.port));
        let finished = run(&[&[url.as_str()], flags].concat(), "question\n");
        assert_eq!(finished.status, status, "{}", finished.stderr);
        assert_eq!(finished.text() == "heard\n", status == 0);
        let is_hinted = finished.stderr.contains(hint);
        assert_eq!(is_hinted, status != 0, "{}", finished.stderr);
    }
}
