//! `serial:` over a pseudo-terminal, which is a serial port to whoever opens it.

use std::fs::File;
use std::io::{Read, Write};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{Bridge, Frame, run};

/// The far end of a line, and the path of the port.
fn line() -> (File, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let far = openpt(flags).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let path = ptsname(&far, Vec::new()).unwrap();
    // Whatever it is that a terminal does besides carrying bytes.
    let size = Winsize {
        ws_row: 5,
        ws_col: 5,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&far, size).unwrap();
    (File::from(far), path.into_string().unwrap())
}

fn binary(ws: &mut crate::support::Ws, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        match ws.next() {
            Frame::Binary(payload) => bytes.extend(payload),
            other => panic!("{other:?}"),
        }
    }
    bytes
}

#[test]
fn a_serial_port_carries_every_byte_both_ways_for_one_caller_at_a_time() {
    let (mut far, path) = line();
    let port = format!("serial:{path},baud=9600,stop-bits=2,flow-control=rtscts");
    let bridge = Bridge::start(&["ws-l:0", &port]);
    let mut ws = bridge.client();
    let all: Vec<u8> = (0..=255).collect();
    ws.binary(&all).text("\r\n\x03\x04\x11\x13\x7f");
    let mut got = vec![0; 263];
    far.read_exact(&mut got).unwrap();
    assert_eq!(got, [&all[..], b"\r\n\x03\x04\x11\x13\x7f"].concat());
    far.write_all(&all).unwrap();
    assert_eq!(binary(&mut ws, 256), all);
    let near = rustix::fs::open(
        &path,
        OFlags::RDWR | OFlags::NOCTTY,
        rustix::fs::Mode::empty(),
    );
    let near = tcgetattr(near.unwrap()).unwrap();
    assert_eq!((near.input_speed(), near.output_speed()), (9600, 9600));
    let set = ControlModes::CSTOPB | ControlModes::CRTSCTS | ControlModes::CS8;
    assert!(near.control_modes.contains(set));
    assert!(
        !near
            .local_modes
            .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    );
    // The second caller is told, the next one after the first has gone is served.
    let refused = run(&["-", &bridge.url()], "");
    assert_eq!(refused.status, 22, "{}", refused.stderr);
    assert!(refused.stderr.contains("HTTP 503"), "{}", refused.stderr);
    bridge.running.line("in use by another session");
    ws.close(1000, "");
    assert_eq!(ws.next(), Frame::Close(1000, String::new()));
    bridge.closed();
    let mut ws = bridge.client();
    far.write_all(b"again").unwrap();
    assert_eq!(binary(&mut ws, 5), b"again");
    // A line that hangs up is no end of file.
    drop(far);
    assert_eq!(ws.next(), Frame::Close(1011, "read".to_owned()));
}

#[test]
fn the_answer_to_a_question_is_waited_for_and_then_it_ends() {
    let (mut far, path) = line();
    let modem = std::thread::spawn(move || {
        let mut question = [0; 4];
        far.read_exact(&mut question).unwrap();
        far.write_all(b"OK\r\n").unwrap();
        (question, far)
    });
    let done = run(
        &["-", &format!("serial:{path}"), "--linger", "300ms"],
        "ATZ\r",
    );
    assert_eq!((done.status, done.text()), (0, "OK\r\n"), "{}", done.stderr);
    assert_eq!(&modem.join().unwrap().0, b"ATZ\r");
}

#[test]
fn a_port_that_there_is_not_is_named() {
    let done = run(&["-", "serial:/dev/ttyNone"], "");
    let expected = "wsbridge: opening serial:/dev/ttyNone: no such file or directory\n";
    assert_eq!((done.status, done.stderr.as_str()), (7, expected));
    // What a line can not be set to, as this one that has bytes of eight bits only, is not passed over.
    let (_far, path) = line();
    let done = run(
        &["-", &format!("serial:{path},data-bits=7,parity=even")],
        "",
    );
    assert_eq!(done.status, 7, "{}", done.stderr);
    assert!(done.stderr.contains("failed to apply"), "{}", done.stderr);
    let done = run(&["-", "serial:/dev/null"], "");
    assert_eq!(done.status, 7, "{}", done.stderr);
    let expected = "wsbridge: opening serial:/dev/null: it is no serial port\n";
    assert_eq!(done.stderr, expected);
}
