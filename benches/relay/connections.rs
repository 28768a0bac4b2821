//! Whole connections per second: handshake, one echo, close, with a few callers at once.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contestant::{Contestant, Place, Route};
use crate::lab::{Lab, Sample, join};
use crate::link::{Link, Speech, listen};
use crate::ping::{Caller, Message, echo};

const CALLERS: usize = 4;
/// More than callers: a bridge may be late to end its second side.
const ECHOES: usize = 16;
const LEN: usize = 64;
/// At most so many connections, for each leaves a port that rests for a while.
const MOST: u64 = 10_000;

/// Measures a contestant.
pub fn run(lab: &Lab, contestant: &Contestant) -> Result<Option<Vec<Sample>>> {
    let listener = listen()?;
    let place = Place::before(&listener, lab.dir.path(), 1024)?;
    let Some(processes) = contestant.start(Route::Serve, &place)? else {
        return Ok(None);
    };
    let (speech, target) = contestant.speeches(Route::Serve);
    let is_over = AtomicBool::new(false);
    processes.watched(contestant.patience(), || {
        thread::scope(|scope| {
            for _ in 0..ECHOES {
                scope.spawn(|| serve(&listener, target, &is_over));
            }
            let (before, start) = (processes.usage(), Instant::now());
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| scope.spawn(|| call(lab, place.port, speech)))
                .collect();
            let counts: Result<Vec<u64>> = callers.into_iter().map(join).collect();
            let (elapsed, after) = (start.elapsed(), processes.usage());
            is_over.store(true, Ordering::Relaxed);
            for _ in 0..ECHOES {
                // Each ends one that waits.
                let _ = Link::call(place.target, Speech::Plain);
            }
            let count = counts?.iter().sum::<u64>() as f64;
            let cpu = (after.cpu - before.cpu) / count * 1e6;
            let rate = Sample::rate(count / elapsed.as_secs_f64(), "conn/s");
            Ok(Some(vec![rate.with_cpu(cpu, "s/M").with_peak(after.peak)]))
        })
    })
}

/// Echoes one connection after the other.
fn serve(listener: &TcpListener, speech: Speech, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        if let Ok(mut stream) = Link::accept(listener, speech) {
            // What went wrong here goes wrong at the caller too.
            let _ = echo(&mut stream, LEN);
        }
    }
}

fn call(lab: &Lab, port: u16, speech: Speech) -> Result<u64> {
    let (start, mut count) = (Instant::now(), 0);
    let mut message = Message::new(lab, speech, LEN);
    // Longer than others: what ended is counted in whole clock ticks.
    let time = lab.time.max(Duration::from_millis(300));
    while start.elapsed() < time && count < MOST / CALLERS as u64 {
        let stream = Link::call(port, speech)?;
        let mut caller = Caller::new(stream, speech);
        caller.round_trip(&mut message)?;
        caller.close()?;
        count += 1;
    }
    Ok(count)
}
