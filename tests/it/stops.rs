//! Stops end, whatever is on either side, and leave no program behind.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Bridge, Frame, Tcp, TcpEnd, Ws, connect_from, spawn};

/// Says who it is and then heeds nothing but KILL.
const STUBBORN: &str = "sh-c:trap '' TERM INT HUP; echo $$; while :; do sleep 0.1; done";
/// Says who it is and then goes on talking, whether anybody listens or not.
const TICKER: &str = "sh-c:trap '' TERM PIPE; echo $$; while :; do echo tick; sleep 0.1; done";
/// Says who it is and then heeds no end of its stdin.
const DEAF: &str = "sh-c:echo $$; exec sleep 1000";

/// Whether a process runs: a zombie does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    let state = stat.ok().and_then(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.chars().next()
    });
    state.is_some_and(|state| state != 'Z')
}

/// What a program says first: its own number.
fn pid(first: Frame) -> String {
    match first {
        Frame::Text(text) => String::from_utf8(text).unwrap().trim().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Stops a bridge that has a drain of a second, and looks whether its program has ended with it.
#[track_caller]
fn ends(place: &str, leaves: bool) {
    let words = ["ws-l:0", place, "--drain", "1s", "--stop", "never"];
    let has_stop = place.contains("share:");
    let mut bridge = Bridge::start(&words[..if has_stop { 6 } else { 4 }]);
    let mut caller = bridge.client();
    if place.starts_with("each:") {
        caller.text("begin");
    }
    let pid = pid(caller.next());
    let caller = if leaves {
        caller.close(1000, "");
        while matches!(caller.next(), Frame::Text(_)) {}
        bridge.closed();
        None
    } else {
        Some(caller)
    };
    let begun = Instant::now();
    bridge.running.signal(Signal::TERM);
    bridge.running.wait();
    let took = begun.elapsed();
    assert!(!runs(&pid), "{place}: {pid} runs on");
    // The time of a drain, of a caller's Close and of two --kill-after was 15 s and more.
    assert!(took < Duration::from_secs(5), "{place}: {took:?}");
    drop(caller);
}

#[test]
fn a_bridge_and_its_programs_have_ended_within_the_drain() {
    let mut threads = Vec::new();
    for wrapper in [
        "",
        "share:",
        "each:share:",
        "reconnect:share:",
        "each:",
        "reconnect:",
    ] {
        for program in [STUBBORN, TICKER, DEAF] {
            for leaves in [false, true] {
                let never_silent = program == TICKER && !wrapper.contains("share:");
                if leaves && (wrapper == "each:" || never_silent) {
                    // A caller's Close is not answered amid what is still said.
                    continue;
                }
                let place = format!("{wrapper}{program}");
                threads.push(thread::spawn(move || ends(&place, leaves)));
            }
        }
    }
    let failed: Vec<_> = threads
        .into_iter()
        .filter_map(|it| it.join().err())
        .collect();
    assert!(failed.is_empty(), "{} failed", failed.len());
}

#[test]
fn the_log_names_the_signal_and_what_is_waited_for() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let bridge = Bridge::start(&["ws-l:0", STUBBORN]);
        let mut caller = bridge.client();
        caller.next();
        bridge.running.signal(signal);
        let line = bridge.running.line("stopping");
        let expected = format!(
            "{name}: stopping; waiting at most 8s for what is open; a second signal ends at once sessions=1 programs=1"
        );
        assert!(line.ends_with(&expected), "{line}");
        // And so it does.
        let mut bridge = bridge;
        bridge.running.signal(Signal::TERM);
        assert_eq!(bridge.running.wait(), 143);
    }
    let bridge = Bridge::start(&["ws-l:0", "echo:"]);
    bridge.running.signal(Signal::TERM);
    let line = bridge.running.line("SIGTERM: stopping");
    assert!(line.ends_with("stopping"), "nothing is waited for: {line}");
}

#[test]
fn a_single_session_that_takes_its_time_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("ws://{}", listener.local_addr().unwrap());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let left = format!("tcp:{}", other.local_addr().unwrap());
    let running = spawn(&[&left, &target, "--drain", "4s"]);
    // Its Close is never answered.
    let (_left, _right) = (Tcp::accept(&other), Ws::accept(&listener));
    running.signal(Signal::INT);
    running.line(
        "SIGINT: stopping; waiting at most 4s for what is open; a second signal ends at once",
    );
}

#[test]
fn what_is_shared_is_told_of_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("each:share:ws://{}", listener.local_addr().unwrap());
    let words = ["ws-l:0", &place, "--start", "now", "--stop", "never"];
    let mut bridge = Bridge::start(&words);
    // --start now is passed on as well: nobody has called.
    let mut server = Ws::accept(&listener);
    bridge.running.line("open");
    bridge.running.signal(Signal::TERM);
    assert_eq!(server.next(), Frame::Close(1000, String::new()));
    server.answer_close(1000);
    assert_eq!(bridge.running.wait(), 0);
}

/// A relay between callers of TCP and agents of WebSocket, and the ports of both.
fn relay(flags: &[&str]) -> (Bridge, u16) {
    let words = [&["tcp-l:127.0.0.1:0", "ws-l:127.0.0.1:0"], flags].concat();
    let running = spawn(&words);
    // The right side is announced first.
    let line = running.line("listening on ws://");
    let agents = line.rsplit(':').next().unwrap().parse().unwrap();
    (Bridge::of(running), agents)
}

#[test]
fn a_caller_that_no_agent_takes_in_time_is_reset() {
    let (bridge, agents) = relay(&["--connect-timeout", "2s"]);
    assert_eq!(Tcp::connect(bridge.port).rest(), (vec![], TcpEnd::Reset));
    bridge.running.line("no caller of the right side within 2s");
    // The next one has its own time, within which an agent comes.
    let mut caller = Tcp::connect(bridge.port);
    caller.send("hello");
    let mut agent = Ws::connect(agents);
    assert_eq!(agent.next(), Frame::Binary(b"hello".to_vec()));
}

/// Their handshakes take longer than a caller waits, and they are more than are kept.
#[test]
fn connections_that_say_nothing_hold_up_no_agent() {
    let (bridge, agents) = relay(&["--handshake-timeout", "1m"]);
    let mut bare = Vec::new();
    for round in 0..3 {
        bare.extend((0..70).map(|_| connect_from([127, 0, 0, 2], agents)));
        let agent = thread::spawn(move || Ws::connect(agents));
        let mut caller = Tcp::connect(bridge.port);
        caller.send(format!("question {round}"));
        let mut agent = agent.join().unwrap();
        let question = format!("question {round}").into_bytes();
        assert_eq!(agent.next(), Frame::Binary(question));
    }
}

#[test]
fn a_reverse_tunnel_serves_one_caller_after_another() {
    let (bridge, agents) = relay(&[]);
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    // Agents that have given up waiting leave their requests behind.
    for _ in 0..3 {
        let mut gone = Tcp::connect(agents);
        gone.send(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
    }
    let url = format!("reconnect:ws://127.0.0.1:{agents}");
    let target = format!("tcp:{}", service.local_addr().unwrap());
    let mut agent = spawn(&[&url, &target]);
    for round in 0..4 {
        let mut caller = Tcp::connect(bridge.port);
        caller.send(format!("question {round}"));
        let mut served = Tcp::accept(&service);
        assert_eq!(served.read(10), format!("question {round}").as_bytes());
        if round == 1 {
            // What is left of one that was cut becomes no part of the next.
            caller.reset();
            assert_eq!(served.rest().1, TcpEnd::Reset);
            continue;
        }
        served.send("answer").fin();
        assert_eq!(caller.rest(), (b"answer".to_vec(), TcpEnd::Eof));
        drop(caller);
        served.rest();
        agent.line("closed caller=");
    }
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), 143);
}

#[test]
fn a_caller_that_has_its_answer_and_leaves_makes_room_for_the_next() {
    let (bridge, agents) = relay(&[]);
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("reconnect:ws://127.0.0.1:{agents}");
    let target = format!("tcp:{}", service.local_addr().unwrap());
    let _agent = spawn(&[&url, &target]);
    let begun = Instant::now();
    for round in 0..4 {
        let mut caller = Tcp::connect(bridge.port);
        let mut served = if round % 2 == 0 {
            caller.send("question");
            let mut served = Tcp::accept(&service);
            assert_eq!(served.read(8), b"question");
            served
        } else {
            // Only a greeting is heard.
            Tcp::accept(&service)
        };
        served.send("answer");
        assert_eq!(caller.read(6), b"answer");
        // Its FIN may be a half-close; the service goes on only when it sees it.
        drop(caller);
        thread::spawn(move || served.rest());
    }
    // Each waited for 10 s until the one before was over.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn who_still_waits_for_an_answer_keeps_its_agent() {
    let (bridge, agents) = relay(&[]);
    let mut asks = Tcp::connect(bridge.port);
    asks.send("question").fin();
    let mut agent = Ws::connect(agents);
    assert_eq!(agent.next(), Frame::Binary(b"question".to_vec()));
    let mut next = Tcp::connect(bridge.port);
    next.send("next");
    // The next one looks for room meanwhile.
    let is_connecting = || {
        let rows = [(); 2].map(|()| bridge.running.line("session number="));
        rows.iter().any(|row| row.contains("state=\"connecting\""))
    };
    loop {
        bridge.running.signal(Signal::USR1);
        let line = bridge.running.line("SIGUSR1: ");
        if line.contains("2 sessions") && is_connecting() {
            break;
        }
    }
    agent.binary(b"answer").close(1000, "");
    assert_eq!(asks.rest(), (b"answer".to_vec(), TcpEnd::Eof));
    let mut agent = Ws::connect(agents);
    assert_eq!(agent.next(), Frame::Binary(b"next".to_vec()));
}

#[test]
fn connections_that_say_nothing_keep_no_caller_from_an_agent() {
    let (bridge, agents) = relay(&[]);
    let _silent: Vec<_> = (0..20).map(|_| Tcp::connect(agents)).collect();
    let agent = thread::spawn(move || Ws::connect(agents).next());
    let mut caller = Tcp::connect(bridge.port);
    caller.send("hello");
    assert_eq!(agent.join().unwrap(), Frame::Binary(b"hello".to_vec()));
    // A further caller finds its own, too.
    let agent = thread::spawn(move || Ws::connect(agents).next());
    let mut caller = Tcp::connect(bridge.port);
    caller.send("again");
    assert_eq!(agent.join().unwrap(), Frame::Binary(b"again".to_vec()));
}

#[test]
fn an_agent_ends_at_a_close_that_means_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("reconnect:ws://{}", listener.local_addr().unwrap());
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", service.local_addr().unwrap());
    let mut agent = spawn(&[&url, &target, "--linger", "0s"]);
    for code in [1000, 1001, 1008] {
        let mut server = Ws::accept(&listener);
        server.binary(b"hello");
        let mut served = Tcp::accept(&service);
        assert_eq!(served.read(5), b"hello");
        server.close(code, "");
        served.fin();
        drop(server);
    }
    assert_eq!(agent.wait(), 110);
}
