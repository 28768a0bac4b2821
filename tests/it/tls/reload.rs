//! Certificates that change while sessions go on.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use super::{Authority, ClientStream, Files, client_config, connect, shown};
use crate::support::{Bridge, PATIENCE};

fn echoes(stream: &mut ClientStream, word: &[u8]) {
    stream.write_all(word).unwrap();
    let mut got = vec![0; word.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, word);
}

/// Ends the load when the test ends, however it does.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn certificates_are_swapped_a_hundred_times_under_load() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let bridge = Bridge::start(&[&format!("tls-l:0,cert={own}"), "echo:"]);
    let (config, port) = (client_config(&ours, None), bridge.port);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|index: u8| {
                let (config, is_done) = (&config, &is_done);
                scope.spawn(move || {
                    let mut lasting = connect(config, "localhost", port).unwrap();
                    let mut sessions = 0;
                    while !is_done.load(Ordering::Relaxed) {
                        echoes(&mut lasting, &vec![index; 20_000]);
                        let mut short = connect(config, "localhost", port).unwrap();
                        echoes(&mut short, b"hello");
                        sessions += 1;
                    }
                    sessions
                })
            })
            .collect();
        let _stop = Stop(&is_done);
        for _ in 0..100 {
            let fresh = ours.issue(&["localhost"]);
            files.put("own.pem", &fresh.both());
            bridge.running.signal(Signal::HUP);
            // Who noticed first, the signal or a look at the file, does not matter.
            let deadline = Instant::now() + PATIENCE;
            while shown(&connect(&config, "localhost", port).unwrap()) != fresh.certificate() {
                assert!(
                    Instant::now() < deadline,
                    "the new certificate is not shown"
                );
            }
        }
        is_done.store(true, Ordering::Relaxed);
        for thread in load {
            assert!(thread.join().unwrap() > 0);
        }
    });
}

#[test]
fn a_bad_pair_keeps_the_old_one_and_says_so() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let first = ours.issue(&["localhost"]);
    let cert = files.put("cert.pem", &first.cert);
    let key = files.put("key.pem", &first.key);
    let bridge = Bridge::start(&[&format!("wss-l:0,cert={cert},key={key}"), "echo:"]);
    let config = client_config(&ours, None);
    let fresh = ours.issue(&["localhost"]);
    files.put("cert.pem", &fresh.cert);
    bridge.running.signal(Signal::HUP);
    let line = bridge.running.line("the certificates stay as they were: ");
    assert!(line.contains("do not go together"), "{line}");
    let stream = connect(&config, "localhost", bridge.port).unwrap();
    assert_eq!(shown(&stream), first.certificate());
    files.put("key.pem", &fresh.key);
    bridge.running.signal(Signal::HUP);
    let line = bridge.running.line("certificates reloaded: ");
    assert!(line.ends_with(&format!("{cert}, {key}")), "{line}");
    let stream = connect(&config, "localhost", bridge.port).unwrap();
    assert_eq!(shown(&stream), fresh.certificate());
}

#[test]
fn a_server_without_files_has_nothing_to_read_again() {
    for scheme in ["wss-l:", "tls-l:"] {
        let words = [&format!("{scheme}0,self-signed"), "echo:"];
        let bridge = Bridge::start(&words);
        bridge.running.signal(Signal::HUP);
        bridge.running.line("SIGHUP: nothing to read again");
        assert_eq!(bridge.stop().status, 0);
    }
}

#[test]
fn a_client_shows_its_new_certificate_after_a_hangup() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let server = files.put("server.pem", &ours.issue(&["localhost"]).both());
    let [first, second] = ["first", "second"].map(|name| ours.client(name).both());
    let ca = files.put("ca.pem", &ours.pem);
    let own = files.put("own.pem", &first);
    let served = Bridge::start(&[&format!("tls-l:0,cert={server},client-ca={ca}"), "echo:"]);
    let target = format!("tls:localhost:{},cert={own},cacert={ca}", served.port);
    let bridge = Bridge::start(&["tcp-l:0", &target]);
    let speaks = || {
        let mut caller = crate::support::Tcp::connect(bridge.port);
        caller.send("hello");
        caller.read(5) == b"hello"
    };
    assert!(speaks());
    files.put("own.pem", "nothing");
    bridge.running.signal(Signal::HUP);
    bridge.running.line("the certificates stay as they were: ");
    assert!(speaks());
    files.put("own.pem", &second);
    bridge.running.signal(Signal::HUP);
    let line = bridge.running.line("certificates reloaded: ");
    assert!(line.ends_with(&format!("{ca}, {own}")), "{line}");
    assert!(speaks());
}

#[test]
fn a_file_that_changes_is_read_without_being_told() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let own = files.put("own.pem", &ours.issue(&["localhost"]).both());
    let bridge = Bridge::start(&[&format!("tls-l:0,cert={own}"), "echo:"]);
    let config = client_config(&ours, None);
    let fresh = ours.issue(&["localhost"]);
    files.put("own.pem", &fresh.both());
    // It looks once a second at most.
    let deadline = Instant::now() + PATIENCE;
    while shown(&connect(&config, "localhost", bridge.port).unwrap()) != fresh.certificate() {
        assert!(
            Instant::now() < deadline,
            "the new certificate is not shown"
        );
    }
    bridge.running.line("certificates reloaded");
}
