//! A one-shot client: from its start to its exit, with one line sent and one received.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::content::Kind;
use crate::contestant::{Contestant, Place, Route};
use crate::digest::Digest;
use crate::frame::{self, Parser, Role};
use crate::lab::{Lab, Sample};
use crate::link::{Link, Speech, listen};
use crate::process::{Launch, Processes, Usage, usage_of};

/// Starts of one run; the first is not timed.
const STARTS: usize = 20;
const LINE: &[u8] = b"one line\n";

/// Measures a contestant.
pub fn run(lab: &Lab, contestant: &Contestant) -> Result<Option<Vec<Sample>>> {
    let listener = listen()?;
    let place = Place::before(&listener, lab.dir.path(), 1)?;
    let Some(launches) = contestant.launches(Route::Ask, &place) else {
        return Ok(None);
    };
    let (_, speech) = contestant.speeches(Route::Ask);
    let text = match contestant.lines_in(Route::Ask, speech) {
        Speech::Plain => LINE,
        Speech::Frames(_) => &LINE[..LINE.len() - 1],
    };
    let mut times = Vec::new();
    let mut used = Usage::default();
    for start in 0..=STARTS {
        let serve = || {
            let mut stream = Link::accept(&listener, speech)?;
            answer(&mut stream, speech, text)?;
            Ok(stream)
        };
        let (time, usage) = once(&launches[0], speech, serve, start == 0)?;
        match start {
            0 => used = usage,
            _ => times.push(time),
        }
    }
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() * 1e3;
    let sample = Sample::cost("", median, "ms").with_cpu(used.cpu * 1e3, "ms");
    Ok(Some(vec![sample.with_peak(used.peak)]))
}

fn once(
    launch: &Launch,
    speech: Speech,
    serve: impl FnOnce() -> Result<TcpStream>,
    is_watched: bool,
) -> Result<(Duration, Usage)> {
    let mut command = Command::new(&launch.program);
    command.args(&launch.args).process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let start = Instant::now();
    let children = vec![command.spawn().context("starting")?];
    let mut processes = Processes { children };
    let child = &mut processes.children[0];
    let (pid, stdin, stdout) = (child.id(), child.stdin.take(), child.stdout.take());
    let (mut stdin, mut stdout) = (stdin.context("no stdin")?, stdout.context("no stdout")?);
    let mut printed = Vec::new();
    let mut usage = Usage::default();
    processes.watched(Duration::from_secs(10), || {
        stdin.write_all(LINE)?;
        drop(stdin);
        let mut stream = serve()?;
        if is_watched {
            usage = usage_of(pid);
        }
        if speech == Speech::Frames(Role::Server) {
            stream.write_all(&frame::close(Role::Server))?;
        }
        drop(stream);
        stdout.read_to_end(&mut printed)?;
        Ok(())
    })?;
    let status = processes.children[0].wait()?;
    let time = start.elapsed();
    ensure!(status.success(), "it ended with {status}");
    ensure!(
        printed == LINE,
        "it printed {:?}",
        String::from_utf8_lossy(&printed)
    );
    Ok((time, usage))
}

/// Reads the line, which is `text` in a message, sends it back, and reads to the client's end.
fn answer(stream: &mut TcpStream, speech: Speech, text: &[u8]) -> Result<()> {
    let (mut parser, mut digest) = (Parser::new(None), Digest::new());
    let mut buf = [0; 1024];
    let mut is_answered = false;
    while !parser.is_closed {
        let count = stream.read(&mut buf)?;
        if count == 0 {
            break;
        }
        match speech {
            Speech::Plain => stream.write_all(&buf[..count])?,
            Speech::Frames(role) => {
                parser.feed(&buf[..count], &mut digest);
                if parser.messages == 1 && !is_answered {
                    let mut wire = Vec::new();
                    frame::put(&mut wire, Kind::Lines, role, text);
                    stream.write_all(&wire)?;
                    is_answered = true;
                }
            }
        }
    }
    let mut expected = Digest::new();
    expected.update(text, [0; 4]);
    let is_same = speech == Speech::Plain || digest.value() == expected.value();
    ensure!(is_same, "the line did not arrive");
    Ok(())
}
