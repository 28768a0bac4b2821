//! A stream in one direction over one connection.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::caller::Caller;
use crate::contestant::Contestant;
use crate::flow::{Limit, Sink, Source};
use crate::frame::Role;
use crate::lab::{Sample, join};
use crate::link::{Link, Speech, listen};
use crate::process::Processes;
use crate::scene::Scene;

/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the largest record, and the least that its encryption adds.
const RECORD: u64 = 16 * 1024;
const OVERHEAD: u64 = 21;

/// What flows.
pub struct Bulk {
    /// From the caller to the target.
    pub is_to_tcp: bool,
    /// Bytes of a message, or of a write of the target.
    pub len: u64,
}

/// Both ends of one connection, and who is between.
struct Line {
    processes: Processes,
    caller: Caller,
    target: TcpStream,
    speech: Speech,
}

impl Bulk {
    /// Measures a contestant once.
    pub fn run(&self, scene: &Scene, contestant: &Contestant) -> Result<Vec<Sample>> {
        let listener = listen()?;
        let (processes, port) = contestant.start(scene, &listener)?;
        let (caller, target) = processes.watched(PATIENCE, || {
            thread::scope(|scope| {
                let accepted = scope.spawn(|| Link::accept(&listener, Speech::Plain));
                let caller = Caller::call(&scene.client, port, contestant.speech);
                join(accepted).and_then(|target| Ok((caller?, target)))
            })
        })?;
        let mut line = Line {
            processes,
            caller,
            target,
            speech: contestant.speech,
        };
        let before = line.processes.usage().cpu;
        let elapsed = match self.is_to_tcp {
            true => self.toward_target(scene, &mut line)?,
            false => self.toward_caller(scene, &mut line)?,
        };
        let used = line.processes.usage();
        let mib = (self.messages(scene) * self.len) as f64 / f64::from(1 << 20);
        let rate = Sample::rate(mib / elapsed.as_secs_f64(), "MiB/s");
        let cpu = (used.cpu - before) / mib * 1024.0;
        Ok(vec![rate.with_cpu(cpu, "s/GiB").with_peak(used.peak)])
    }

    /// What is sent, in whole patterns where messages are gathered.
    fn messages(&self, scene: &Scene) -> u64 {
        let pattern = scene.noise.bytes().len() as u64;
        let patterns = (scene.mib << 20).div_ceil(pattern);
        patterns * pattern / self.len
    }

    fn limit(&self, scene: &Scene) -> Limit {
        Limit {
            time: Duration::MAX,
            messages: self.messages(scene),
        }
    }

    fn toward_target(&self, scene: &Scene, line: &mut Line) -> Result<Duration> {
        let total = AtomicU64::new(0);
        let source = Source::new(&scene.noise, line.speech, scene.kind(), self.len, true);
        let limit = self.limit(scene);
        let room = (limit.messages * self.len) as usize;
        let mut sealer = line.caller.seal(room + room / 8);
        source.run(&mut sealer, limit, &total)?;
        let ciphertext = sealer.ciphertext;
        let mut sink = Sink::new(&scene.expected, Speech::Plain, self.len, None);
        let (target, socket) = (&mut line.target, line.caller.socket());
        let elapsed = line.processes.watched(PATIENCE, || {
            thread::scope(|scope| {
                let start = Instant::now();
                let sent = scope.spawn(|| {
                    let mut socket = socket;
                    Ok(socket.write_all(&ciphertext)?)
                });
                let end = sink.run(target, &total);
                join(sent)?;
                Ok(end? - start)
            })
        })?;
        line.caller.end()?;
        line.target
            .set_read_timeout(Some(Duration::from_millis(150)))?;
        sink.verify(&mut line.target, &total)?;
        Ok(elapsed)
    }

    fn toward_caller(&self, scene: &Scene, line: &mut Line) -> Result<Duration> {
        let total = AtomicU64::new(0);
        let limit = self.limit(scene);
        let source = Source::new(&scene.noise, Speech::Plain, scene.kind(), self.len, false);
        let bytes = limit.messages * self.len;
        let least = bytes + bytes / RECORD * OVERHEAD;
        let (caller, target) = (&mut line.caller, &mut line.target);
        let ready = std::sync::Barrier::new(2);
        let (start, capture) = line.processes.watched(PATIENCE, || {
            thread::scope(|scope| {
                let sent = scope.spawn(|| {
                    ready.wait();
                    let start = Instant::now();
                    source.run(target, limit, &total)?;
                    Ok(start)
                });
                let capture = caller.capture(least as usize, &ready);
                Ok((join(sent)?, capture?))
            })
        })?;
        let speech = match line.speech {
            Speech::Plain => Speech::Plain,
            Speech::Frames(_) => Speech::Frames(Role::Server),
        };
        let mut sink = Sink::new(&scene.expected, speech, self.len, None);
        let mut opener = line.caller.open(&capture);
        sink.run(&mut opener, &total)?;
        let end = opener.time().context("nothing came")?;
        sink.verify(&mut opener, &total)?;
        Ok(end - start)
    }
}
