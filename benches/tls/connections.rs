//! Whole connections per second, each with a full handshake, one echo and its end, with a few callers at once.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::caller::Caller;
use crate::contestant::Contestant;
use crate::lab::{Sample, join};
use crate::link::{Link, Speech, listen};
use crate::scene::Scene;

const CALLERS: usize = 4;
const LEN: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a contestant once.
pub fn run(scene: &Scene, contestant: &Contestant) -> Result<Vec<Sample>> {
    let listener = listen()?;
    let (processes, port) = contestant.start(scene, &listener)?;
    let count = AtomicU64::new(0);
    let (before, start) = (processes.usage().cpu, Instant::now());
    processes.watched(PATIENCE, || {
        thread::scope(|scope| {
            let call = || {
                while count.fetch_add(1, Ordering::Relaxed) == 0 || start.elapsed() < scene.time {
                    one(scene, contestant, port, &listener)?;
                }
                Ok(())
            };
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
            callers.into_iter().try_for_each(join)
        })
    })?;
    let (seconds, used) = (start.elapsed().as_secs_f64(), processes.usage());
    // Each caller has counted once more, to learn that it is over.
    let count = (count.into_inner() - CALLERS as u64) as f64;
    let cpu = (used.cpu - before) / count * 1e6;
    let rate = Sample::rate(count / seconds, "conn/s");
    Ok(vec![rate.with_cpu(cpu, "s/M").with_peak(used.peak)])
}

/// One connection. What is accepted may be that of another caller, whose turn it is to accept then.
fn one(scene: &Scene, contestant: &Contestant, port: u16, listener: &TcpListener) -> Result<()> {
    let mut caller = Caller::call(&scene.client, port, contestant.speech)?;
    caller.send(&scene.noise.bytes()[..LEN])?;
    let mut target = Link::accept(listener, Speech::Plain)?;
    let mut buf = [0; LEN];
    target.read_exact(&mut buf)?;
    target.write_all(&buf)?;
    drop(target);
    let digest = caller.receive(LEN as u64)?;
    let expected = scene.expected.digest(LEN as u64);
    ensure!(digest == expected, "the echo is not what was sent");
    caller.close()
}
