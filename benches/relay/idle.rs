//! Memory of idle connections: after a short echo, after a long one, and after all have closed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit};

use crate::contestant::{Contestant, Place, Route};
use crate::lab::{Lab, Sample, join};
use crate::link::{Link, Speech, listen};
use crate::ping::{Caller, Message};
use crate::process::Processes;

const SHORT: usize = 64;
const LONG: usize = 64 * 1024;
/// How long connections have been idle, or gone, when memory is read.
const SETTLE: Duration = Duration::from_millis(500);
/// How much longer than another run this one may take.
const LONGER: u32 = 3;

/// Where connections are opened, and what is spoken there.
struct Opening<'a> {
    port: u16,
    listener: &'a TcpListener,
    caller: Speech,
    target: Speech,
}

/// Both of our ends of bridged connections, in the same order.
struct Pairs {
    callers: Vec<Caller>,
    targets: Vec<TcpStream>,
}

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
    let (caller, target) = contestant.speeches(Route::Serve);
    let opening = Opening {
        port: place.port,
        listener: &listener,
        caller,
        target,
    };
    let mut short = Message::new(lab, caller, SHORT);
    let mut long = Message::new(lab, caller, LONG);
    processes.watched(LONGER * contestant.patience(), || {
        // What is kept for all connections to come is not counted as that of those that came.
        let mut first = Pairs::open(&opening, 1, &mut short)?;
        first.echo(&mut long)?;
        first.close()?;
        let before = settled(&processes);
        let mut pairs = Pairs::open(&opening, count, &mut short)?;
        let fresh = settled(&processes);
        pairs.echo(&mut long)?;
        let used = settled(&processes);
        // All of them still work.
        pairs.echo(&mut short)?;
        pairs.close()?;
        let closed = settled(&processes);
        let each = |part, after: u64| {
            let grown = after.saturating_sub(before) as f64;
            Sample::cost(part, grown / count as f64, "KiB/idle")
        };
        let left = (closed as f64 / before as f64 - 1.0) * 100.0;
        let samples = vec![
            each("fresh", fresh),
            each("used", used),
            Sample::cost("closed", left, "% left"),
        ];
        let peak = processes.usage().peak;
        let samples = samples.into_iter().map(|sample| sample.with_peak(peak));
        Ok(Some(samples.collect()))
    })
}

/// The resident set in KiB, when all is quiet.
fn settled(processes: &Processes) -> u64 {
    thread::sleep(SETTLE);
    processes.usage().rss
}

impl Pairs {
    /// Opens connections one after the other, with one echo on each, which keeps both ends in the same order.
    fn open(place: &Opening<'_>, count: usize, message: &mut Message) -> Result<Pairs> {
        let len = message.len();
        thread::scope(|scope| {
            let accepted = scope.spawn(move || {
                let accept = || {
                    let mut stream = Link::accept(place.listener, place.target)?;
                    echo_once(&mut stream, &mut vec![0; len])?;
                    Ok(stream)
                };
                std::iter::repeat_with(accept).take(count).collect()
            });
            let call = || {
                let stream = Link::call(place.port, place.caller)?;
                let mut caller = Caller::new(stream, place.caller);
                caller.round_trip(message)?;
                Ok(caller)
            };
            let callers: Result<Vec<Caller>> = std::iter::repeat_with(call).take(count).collect();
            let targets = join(accepted);
            Ok(Pairs {
                callers: callers?,
                targets: targets?,
            })
        })
    }

    /// One echo on each connection.
    fn echo(&mut self, message: &mut Message) -> Result<()> {
        let mut buf = vec![0; message.len()];
        let targets = &mut self.targets;
        thread::scope(|scope| {
            let echoes = scope.spawn(move || {
                let mut targets = targets.iter_mut();
                targets.try_for_each(|stream| echo_once(stream, &mut buf))
            });
            let mut callers = self.callers.iter_mut();
            let called = callers.try_for_each(|caller| caller.round_trip(message));
            join(echoes).and(called)
        })
    }

    /// Closes all, the caller first.
    fn close(self) -> Result<()> {
        let Pairs { callers, targets } = self;
        thread::scope(|scope| {
            let ended = scope.spawn(move || {
                for mut stream in targets {
                    // It ends with nothing or with a reset.
                    let _ = stream.read(&mut [0; 64]);
                }
                Ok(())
            });
            let called = callers.into_iter().try_for_each(Caller::close);
            join(ended).and(called)
        })
    }
}

fn echo_once(stream: &mut TcpStream, buf: &mut [u8]) -> Result<()> {
    stream.read_exact(buf)?;
    Ok(stream.write_all(buf)?)
}
