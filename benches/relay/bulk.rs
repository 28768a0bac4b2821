//! Bulk load in one direction over one or many connections, also towards readers that do not read for a while.

use std::net::TcpListener;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::content::Kind;
use crate::contestant::{Contestant, Place, Route};
use crate::flow::{Limit, Sink, Source, len_of};
use crate::lab::{Lab, Sample, join};
use crate::link::{Link, Speech, listen};
use crate::process::{Processes, Usage};

/// What each connection of a stalled reader may be sent at most.
const FLOOD: u64 = 64 * 1024 * 1024;

/// What flows, and where.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    pub route: Route,
    /// From the caller to the target.
    pub is_forward: bool,
    pub kind: Kind,
    /// Bytes of a message, and of a plain source's write where it is not gathered.
    pub len: u64,
    /// Whether a plain source writes many messages at once.
    pub is_gathered: bool,
    pub connections: usize,
    /// This many messages instead of the usual time.
    pub messages: Option<u64>,
    /// Whether each message must arrive as one, and what is counted are messages.
    pub is_exact: bool,
    /// Whether the readers do not read at first: what the bridge keeps in memory for them is measured.
    pub is_stalled: bool,
}

/// The run that is set up: the contestant's processes, and what our ends speak.
struct Scene {
    processes: Processes,
    source: Speech,
    sink: Speech,
    /// How the lines are cut that arrive.
    lines: Speech,
}

/// Our ends of one bridged connection, and what flows.
struct Flow {
    from: Link,
    to: Link,
    source: Source,
    sink: Sink,
    /// The messages of the whole flow, as soon as that is known.
    total: AtomicU64,
}

/// What a run has found.
struct Measured {
    elapsed: Duration,
    messages: u64,
    /// With the processor time of the flow alone.
    used: Usage,
    /// KiB that the resident set grew by while nobody read.
    grown: u64,
}

impl Bulk {
    /// Measures a contestant, if it can serve this route.
    pub fn run(&self, lab: &Lab, contestant: &Contestant) -> Result<Option<Vec<Sample>>> {
        let listener = listen()?;
        let mut place = Place::before(&listener, lab.dir.path(), self.connections)?;
        place.kind = self.kind;
        let Some(mut processes) = contestant.start(self.route, &place)? else {
            return Ok(None);
        };
        let (caller, target) = contestant.speeches(self.route);
        let links = match self.route {
            Route::Pipe => self.open_pipe(&mut processes.children[0], &listener, target)?,
            _ => (0..self.connections)
                .map(|_| open_pair(place.port, &listener, caller, target))
                .collect::<Result<_>>()?,
        };
        let (source, sink) = self.turn(caller, target);
        let scene = Scene {
            processes,
            source,
            sink,
            lines: contestant.lines_in(self.route, sink),
        };
        let mut flows = self.flows(lab, &scene, links)?;
        // Some take long for what the buffers between hold of short messages.
        let patience = contestant.patience() * (1 + u32::from(self.is_exact)) + self.stall(lab);
        let measured = scene.processes.watched(patience, || {
            let measured = self.flow(lab, &scene, &mut flows)?;
            verify(&scene, &mut flows)?;
            Ok(measured)
        })?;
        Ok(Some(vec![self.sample(&measured)]))
    }

    /// The source first.
    fn turn<T>(&self, caller: T, target: T) -> (T, T) {
        match self.is_forward {
            true => (caller, target),
            false => (target, caller),
        }
    }

    fn stall(&self, lab: &Lab) -> Duration {
        match self.is_stalled {
            true => lab.stall,
            false => Duration::ZERO,
        }
    }

    fn open_pipe(
        &self,
        child: &mut Child,
        listener: &TcpListener,
        speech: Speech,
    ) -> Result<Vec<(Link, Link)>> {
        let target = Link::Tcp(Link::accept(listener, speech)?);
        let caller = match self.is_forward {
            true => Link::Stdin(child.stdin.take()),
            false => Link::Stdout(child.stdout.take().context("it has no stdout")?),
        };
        Ok(vec![(caller, target)])
    }

    fn flows(&self, lab: &Lab, scene: &Scene, links: Vec<(Link, Link)>) -> Result<Vec<Flow>> {
        let (kind, len) = (self.kind, self.len);
        let flows = links.into_iter().map(|(caller, target)| {
            let (from, to) = self.turn(caller, target);
            from.be_patient(self.stall(lab))?;
            to.be_patient(self.stall(lab))?;
            let (sent, received) = (scene.source, scene.sink);
            let content = lab.content(kind, sent, len);
            let source = Source::new(
                &content,
                sent,
                kind,
                len_of(kind, sent, len),
                self.is_gathered,
            );
            let content = lab.content(kind, scene.lines, len);
            let sink = Sink::new(
                &content,
                received,
                len_of(kind, scene.lines, len),
                self.is_exact.then_some(kind),
            );
            Ok(Flow {
                from,
                to,
                source,
                sink,
                total: AtomicU64::new(0),
            })
        });
        flows.collect()
    }

    /// Lets all connections flow at once.
    fn flow(&self, lab: &Lab, scene: &Scene, flows: &mut [Flow]) -> Result<Measured> {
        let stall = self.stall(lab);
        let limit = self.limit(lab);
        let before = scene.processes.usage();
        let start = Instant::now();
        let (ends, stalled) = thread::scope(|scope| {
            let running: Vec<_> = flows
                .iter_mut()
                .map(|flow| {
                    let Flow {
                        from,
                        to,
                        source,
                        sink,
                        total,
                    } = flow;
                    let total = &*total;
                    let sent = scope.spawn(move || source.send(from, limit, total));
                    let received = scope.spawn(move || {
                        thread::sleep(stall);
                        sink.run(to, total)
                    });
                    (sent, received)
                })
                .collect();
            let stalled = self.is_stalled.then(|| {
                thread::sleep(stall.saturating_sub(Duration::from_millis(200)));
                scene.processes.usage()
            });
            let ends = running.into_iter().map(|(sent, received)| {
                let (sent, received) = (join(sent), join(received));
                // What the sink saw is the cause, what the source saw follows from it.
                received.and_then(|end| sent.map(|()| end))
            });
            (ends.collect::<Result<Vec<_>>>(), stalled)
        });
        let end = ends?.into_iter().max().unwrap_or(start);
        let mut used = scene.processes.usage();
        used.cpu -= before.cpu;
        Ok(Measured {
            elapsed: end - start,
            messages: flows
                .iter()
                .map(|flow| flow.total.load(Ordering::Acquire))
                .sum(),
            used,
            grown: stalled.unwrap_or_default().peak.saturating_sub(before.rss),
        })
    }

    fn limit(&self, lab: &Lab) -> Limit {
        match self.messages {
            _ if self.is_stalled => Limit {
                time: lab.stall,
                messages: FLOOD / self.len,
            },
            Some(messages) => Limit {
                time: Duration::MAX,
                messages,
            },
            None => Limit {
                time: lab.time,
                messages: u64::MAX,
            },
        }
    }

    fn sample(&self, measured: &Measured) -> Sample {
        let Measured {
            elapsed,
            messages,
            used,
            grown,
        } = measured;
        let (seconds, count) = (elapsed.as_secs_f64(), *messages as f64);
        let mib = count * self.len as f64 / f64::from(1 << 20);
        let sample = if self.is_stalled {
            Sample::cost("", *grown as f64 / self.connections as f64, "KiB/stalled")
        } else if self.is_exact {
            Sample::rate(count / seconds, "messages/s").with_cpu(used.cpu / count * 1e6, "s/M")
        } else {
            Sample::rate(mib / seconds, "MiB/s").with_cpu(used.cpu / mib * 1024.0, "s/GiB")
        };
        sample.with_peak(used.peak)
    }
}

/// Opens one bridged connection: both of our ends, their handshakes at the same time.
fn open_pair(
    port: u16,
    listener: &TcpListener,
    caller: Speech,
    target: Speech,
) -> Result<(Link, Link)> {
    thread::scope(|scope| {
        let called = scope.spawn(|| Link::accept(listener, target));
        let calling = Link::call(port, caller);
        let called = join(called);
        Ok((Link::Tcp(calling?), Link::Tcp(called?)))
    })
}

/// Ends all flows, and judges what has come.
fn verify(scene: &Scene, flows: &mut [Flow]) -> Result<()> {
    for flow in flows {
        flow.from.end(scene.source)?;
        flow.to.be_impatient()?;
        flow.sink.verify(&mut flow.to, &flow.total)?;
    }
    Ok(())
}
