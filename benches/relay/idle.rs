//! Memory of idle connections: each has echoed once, and then says nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit};

use crate::contestant::{Contestant, Place, Route};
use crate::lab::{Lab, Sample, join};
use crate::link::{Link, Speech, listen};
use crate::ping::Caller;

const LEN: usize = 64;
/// How long connections have been idle when memory is read.
const SETTLE: Duration = Duration::from_millis(300);

/// Measures a contestant with so many connections.
pub fn run(lab: &Lab, contestant: &Contestant, count: usize) -> Result<Option<Vec<Sample>>> {
    if count > contestant.most {
        return Ok(None);
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = 2 * count as u64 + 64;
    ensure!(
        files >= needed,
        "{needed} open files are needed and {files} are allowed: see ulimit -n"
    );
    let listener = listen()?;
    let place = Place::before(&listener, lab.dir.path(), count)?;
    let Some(processes) = contestant.start(Route::Serve, &place)? else {
        return Ok(None);
    };
    let (speech, target) = contestant.speeches(Route::Serve);
    processes.watched(contestant.patience(), || {
        let before = processes.usage();
        let (mut callers, targets) = open(lab, place.port, &listener, count, speech, target)?;
        thread::sleep(SETTLE);
        let after = processes.usage();
        // All of them still work.
        again(&mut callers, targets)?;
        let grown = after.rss.saturating_sub(before.rss) as f64;
        let sample = Sample::cost("", grown / count as f64, "KiB/idle");
        Ok(Some(vec![sample.with_peak(after.peak)]))
    })
}

/// Opens connections one after the other, with one echo on each.
fn open(
    lab: &Lab,
    port: u16,
    listener: &TcpListener,
    count: usize,
    speech: Speech,
    target: Speech,
) -> Result<(Vec<Caller>, Vec<TcpStream>)> {
    thread::scope(|scope| {
        let targets = scope.spawn(|| {
            let accept = || {
                let mut stream = Link::accept(listener, target)?;
                echo_once(&mut stream)?;
                Ok(stream)
            };
            std::iter::repeat_with(accept).take(count).collect()
        });
        let call = || {
            let stream = Link::call(port, speech)?;
            let mut caller = Caller::new(lab, stream, speech, LEN);
            caller.round_trip()?;
            Ok(caller)
        };
        let callers: Result<Vec<Caller>> = std::iter::repeat_with(call).take(count).collect();
        let targets = join(targets);
        Ok((callers?, targets?))
    })
}

/// One more echo on each connection.
fn again(callers: &mut [Caller], mut targets: Vec<TcpStream>) -> Result<()> {
    thread::scope(|scope| {
        let echoes = scope.spawn(move || targets.iter_mut().try_for_each(echo_once));
        let called = callers.iter_mut().try_for_each(Caller::round_trip);
        join(echoes).and(called)
    })
}

fn echo_once(stream: &mut TcpStream) -> Result<()> {
    let mut buf = [0; LEN];
    stream.read_exact(&mut buf)?;
    Ok(stream.write_all(&buf)?)
}
