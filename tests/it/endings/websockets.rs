//! The ways in which a WebSocket ends, in each place where one can stand: what it is answered, what the other side sees,
//! and the exit status.

use std::fmt::{self, Debug, Formatter};

use super::{
    Output, close_code, each, payload, status, stdio_to_ws, tcp_to_ws, ws_to_tcp, ws_to_ws,
};
use crate::support::TcpEnd::{self, Eof, Reset};
use crate::support::{Frame, Tcp, Ws, frame_bytes};

/// How a raw WebSocket ends its connection.
#[derive(Clone, Copy, Debug)]
enum How {
    Close(u16, &'static str),
    /// A Close with this body.
    CloseBody(&'static [u8]),
    /// A Close behind the first fragment of a message.
    CloseWithin(u16),
    /// A frame with this first byte and payload, where it breaks the protocol.
    Frame(u8, &'static [u8]),
    /// A frame that is masked where it must not be, or not masked where it must.
    WrongMask,
    /// A frame that claims 2^63 bytes.
    WrongLength,
    Fin,
    FinWithinFrame,
    Reset,
    ResetWithinFrame,
}
use How::{
    Close, CloseBody, CloseWithin, Fin, FinWithinFrame, ResetWithinFrame, WrongLength, WrongMask,
};

/// A row of the table.
struct Way {
    how: How,
    /// The codes that it may be answered with; none where nobody is there to be answered.
    reply: &'static [u16],
    /// The code and reason that a WebSocket on the other side is sent; a reason only where the contract has it.
    across: (u16, Option<&'static str>),
    /// What a TCP peer on the other side sees.
    tcp: TcpEnd,
    /// The exit status.
    status: i32,
}

impl Debug for Way {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.how.fmt(f)
    }
}

const fn way(
    how: How,
    reply: &'static [u16],
    across: (u16, Option<&'static str>),
    tcp: TcpEnd,
    status: i32,
) -> Way {
    Way {
        how,
        reply,
        across,
        tcp,
        status,
    }
}

/// Design section 6, the rows in which a WebSocket ends.
#[rustfmt::skip]
const WAYS: &[Way] = &[
    way(Close(1000, ""),       &[1000],       (1000, None),         Eof,   0),
    way(Close(1000, "bye"),    &[1000],       (1000, None),         Eof,   0),
    way(CloseBody(b""),        &[1005],       (1000, None),         Eof,   0),
    way(Close(1001, "away"),   &[1001],       (1001, None),         Eof,   0),
    way(Close(3000, "lib"),    &[3000],       (3000, Some("lib")),  Eof,   111),
    way(Close(4001, "exit 1"), &[4001],       (4001, Some("exit 1")), Eof, 111),
    way(Close(4999, ""),       &[4999],       (4999, Some("")),     Eof,   111),
    way(Close(1002, "bad"),    &[1002],       (1002, Some("bad")),  Reset, 110),
    way(Close(1003, ""),       &[1003],       (1003, Some("")),     Reset, 110),
    way(Close(1007, ""),       &[1007],       (1007, Some("")),     Reset, 110),
    way(Close(1008, "policy"), &[1008],       (1008, Some("policy")), Reset, 110),
    way(Close(1009, ""),       &[1009],       (1009, Some("")),     Reset, 110),
    way(Close(1011, "oops"),   &[1011],       (1011, Some("oops")), Reset, 110),
    way(Close(1012, ""),       &[1012],       (1012, Some("")),     Reset, 110),
    way(Close(1013, "later"),  &[1013],       (1013, Some("later")), Reset, 110),
    way(Close(1014, ""),       &[1014],       (1014, Some("")),     Reset, 110),
    // Within a message it is a cut, whatever the code (RFC 6455 5.5.1 allows a Close there).
    way(CloseWithin(1000),     &[1000],       (1011, Some("cut")),  Reset, 56),
    way(CloseWithin(4001),     &[4001],       (1011, Some("cut")),  Reset, 56),
    way(CloseWithin(1008),     &[1008],       (1011, Some("cut")),  Reset, 56),
    way(Fin,                   &[],           (1011, None),         Reset, 56),
    way(FinWithinFrame,        &[],           (1011, None),         Reset, 56),
    way(How::Reset,            &[],           (1011, None),         Reset, 56),
    way(ResetWithinFrame,      &[],           (1011, None),         Reset, 56),
    // Codes that never stand in a Close frame (RFC 6455 7.4).
    way(Close(1005, ""),       &[1002],       (1011, None),         Reset, 112),
    way(Close(1006, ""),       &[1002],       (1011, None),         Reset, 112),
    way(Close(1015, ""),       &[1002],       (1011, None),         Reset, 112),
    way(Close(999, ""),        &[1002],       (1011, None),         Reset, 112),
    way(Close(5000, ""),       &[1002],       (1011, None),         Reset, 112),
    way(CloseBody(b"\x03"),    &[1002],       (1011, None),         Reset, 112),
    way(CloseBody(b"\x03\xE8\xFF"), &[1007],  (1011, None),         Reset, 112),
    // Frames that break the protocol (RFC 6455 5.2, 5.4, 5.5, 8.1).
    way(How::Frame(0xC2, b"x"), &[1002],      (1011, None),         Reset, 112),
    way(How::Frame(0x83, b"x"), &[1002],      (1011, None),         Reset, 112),
    way(How::Frame(0x09, b"x"), &[1002],      (1011, None),         Reset, 112),
    way(How::Frame(0x89, &[0; 126]), &[1002], (1011, None),         Reset, 112),
    way(How::Frame(0x80, b"x"), &[1002],      (1011, None),         Reset, 112),
    way(How::Frame(0x81, b"\xFF"), &[1007],   (1011, None),         Reset, 112),
    way(How::Frame(0x81, b"\xC3"), &[1007],   (1011, None),         Reset, 112),
    way(WrongMask,             &[1002],       (1011, None),         Reset, 112),
    way(WrongLength,           &[1002],       (1011, None),         Reset, 112),
];

impl How {
    /// Sends what comes before the end; returns the payload that is due on the other side at once, and by the end.
    fn begin(self, ws: &mut Ws, is_client: bool) -> (Vec<u8>, Vec<u8>) {
        ws.binary(b"data");
        let mut due = b"data".to_vec();
        // A short frame may wait for its rest, of which nothing may be lost either; a long one is passed on as it comes.
        let len = match self {
            FinWithinFrame => 100,
            ResetWithinFrame => 100_000,
            CloseWithin(_) => {
                ws.frame(0x02, b"part");
                due.extend(b"part");
                return (due, Vec::new());
            }
            _ => return (due, Vec::new()),
        };
        let whole = frame_bytes(0x82, &vec![b'x'; len], is_client);
        ws.raw(&whole[..whole.len() - len + 50]);
        if len == 100 {
            return (due, vec![b'x'; 50]);
        }
        due.extend([b'x'; 50]);
        (due, Vec::new())
    }

    /// Ends the connection; gives it back where an answer can come.
    fn end(self, mut ws: Ws, is_client: bool) -> Option<Ws> {
        match self {
            Close(code, reason) => {
                ws.close(code, reason);
            }
            CloseWithin(code) => {
                ws.close(code, "");
            }
            CloseBody(body) => {
                ws.frame(0x88, body);
            }
            How::Frame(first, payload) => {
                ws.frame(first, payload);
            }
            WrongMask => {
                ws.raw(&frame_bytes(0x82, b"x", !is_client));
            }
            WrongLength => {
                let mask = if is_client { 0x80 } else { 0 };
                ws.raw(&[0x82, mask | 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
                // The key of a client's mask completes the header.
                ws.raw(&[0; 4]);
            }
            Fin | FinWithinFrame => {
                ws.fin();
            }
            How::Reset | ResetWithinFrame => {
                ws.reset();
                return None;
            }
        }
        Some(ws)
    }
}

impl Way {
    /// The one that ended is answered, and then its connection ends.
    #[track_caller]
    fn assert_answered(&self, ws: Option<Ws>, is_client: bool) {
        let Some(mut ws) = ws.filter(|_| !self.reply.is_empty()) else {
            return;
        };
        let code = close_code(&mut ws);
        assert!(self.reply.contains(&code), "it is answered with {code}");
        if !is_client {
            // The server ends the connection first (RFC 6455 7.1.1).
            ws.fin();
        }
        assert_eq!(ws.next(), Frame::Eof);
    }

    /// A TCP peer on the other side gets what is left, and then sees the right end.
    #[track_caller]
    fn assert_end(&self, other: &mut Tcp, late: &[u8]) {
        let (bytes, end) = other.rest();
        assert_eq!(end, self.tcp);
        // Bytes that a text could have begun with may have been passed on before the text was found to be broken.
        let is_begun = matches!(self.how, How::Frame(0x81, b"\xC3")) && bytes == b"\xC3";
        assert!(is_begun || bytes == late, "{bytes:?} before the end");
    }

    /// A WebSocket on the other side is sent the right Close.
    #[track_caller]
    fn assert_across(&self, other: &mut Ws) {
        match other.next() {
            Frame::Close(code, reason) => {
                assert_eq!(code, self.across.0, "across, reason '{reason}'");
                assert!(self.across.1.is_none_or(|due| due == reason), "{reason}");
            }
            end => panic!("{end:?} instead of a Close across"),
        }
    }
}

#[test]
fn a_client_of_a_bridge_to_tcp_ends_in_every_way() {
    each(WAYS, |way| {
        let (bridge, mut client, mut backend) = ws_to_tcp(&[]);
        let (due, late) = way.how.begin(&mut client, true);
        assert_eq!(backend.read(due.len()), due);
        let client = way.how.end(client, true);
        way.assert_end(&mut backend, &late);
        // What was cleanly ended on the one side is ended on the other before the Close is answered.
        drop(backend);
        way.assert_answered(client, true);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}

#[test]
fn a_server_behind_a_tcp_listener_ends_in_every_way() {
    each(WAYS, |way| {
        let (bridge, mut client, mut server) = tcp_to_ws(&[]);
        let (due, late) = way.how.begin(&mut server, false);
        assert_eq!(client.read(due.len()), due);
        let server = way.how.end(server, false);
        way.assert_end(&mut client, &late);
        drop(client);
        way.assert_answered(server, false);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}

#[test]
fn a_server_of_stdin_and_stdout_ends_in_every_way_while_stdin_is_open() {
    each(WAYS, |way| {
        let (mut running, mut server) = stdio_to_ws(&[]);
        let mut stdout = Output::of(running.stdout());
        let (due, late) = way.how.begin(&mut server, false);
        assert_eq!(stdout.read(due.len()), due);
        let server = way.how.end(server, false);
        way.assert_answered(server, false);
        assert_eq!(running.wait(), way.status, "exit status");
        assert_eq!(stdout.rest(), late);
    });
}

#[test]
fn a_client_of_stdin_and_stdout_ends_in_every_way_while_stdin_is_open() {
    each(WAYS, |way| {
        let mut bridge = super::once("ws-l:0", "-", &[]);
        let mut stdout = Output::of(bridge.running.stdout());
        let mut client = bridge.client();
        let (due, late) = way.how.begin(&mut client, true);
        assert_eq!(stdout.read(due.len()), due);
        let client = way.how.end(client, true);
        way.assert_answered(client, true);
        assert_eq!(status(bridge), way.status, "exit status");
        assert_eq!(stdout.rest(), late);
    });
}

#[test]
fn a_client_of_a_relay_ends_in_every_way() {
    each(WAYS, |way| {
        let (bridge, mut client, mut server) = ws_to_ws(&[]);
        let (due, late) = way.how.begin(&mut client, true);
        assert_eq!(payload(&mut server, due.len()), due);
        let client = way.how.end(client, true);
        assert_eq!(payload(&mut server, late.len()), late);
        way.assert_across(&mut server);
        server.answer_close(way.across.0);
        way.assert_answered(client, true);
        assert_eq!(server.next(), Frame::Eof);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}

#[test]
fn a_server_of_a_relay_ends_in_every_way() {
    each(WAYS, |way| {
        let (bridge, mut client, mut server) = ws_to_ws(&[]);
        let (due, late) = way.how.begin(&mut server, false);
        assert_eq!(payload(&mut client, due.len()), due);
        let server = way.how.end(server, false);
        assert_eq!(payload(&mut client, late.len()), late);
        way.assert_across(&mut client);
        client.frame(0x88, &way.across.0.to_be_bytes());
        way.assert_answered(server, false);
        assert_eq!(client.next(), Frame::Eof);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}

#[test]
fn an_echo_answers_every_close_with_its_own_code() {
    each(WAYS, |way| {
        let bridge = super::once("ws-l:0", "echo:", &[]);
        let mut client = bridge.client();
        let (due, _) = way.how.begin(&mut client, true);
        assert_eq!(payload(&mut client, due.len()), due);
        let client = way.how.end(client, true);
        way.assert_answered(client, true);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}

#[test]
fn a_null_answers_every_close_with_its_own_code() {
    each(WAYS, |way| {
        let bridge = super::once("ws-l:0", "null:", &[]);
        let mut client = bridge.client();
        way.how.begin(&mut client, true);
        // It says nothing; a pong tells that the data has been read.
        client.frame(0x89, b"read?");
        if !matches!(way.how, FinWithinFrame | ResetWithinFrame) {
            assert_eq!(client.next(), Frame::Pong(b"read?".to_vec()));
        }
        let client = way.how.end(client, true);
        way.assert_answered(client, true);
        assert_eq!(status(bridge), way.status, "exit status");
    });
}
