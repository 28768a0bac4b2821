//! Ping-pong: one message at a time, to an echo behind the bridge and back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::content::Kind;
use crate::contestant::{Contestant, Place, Route};
use crate::digest::Digest;
use crate::frame::{self, Parser, Role};
use crate::lab::{Lab, Sample, join};
use crate::link::{Link, Speech, listen};
use crate::process::{Processes, Usage};

/// Round trips that are not counted.
const WARM_UP: usize = 200;

/// A message whose echo is verified.
pub struct Message {
    /// As it is on the wire.
    wire: Vec<u8>,
    len: usize,
    digest: u64,
    /// Where its echo is read to.
    buf: Vec<u8>,
}

impl Message {
    /// Makes a message of `len` bytes, as it is where `speech` is spoken.
    pub fn new(lab: &Lab, speech: Speech, len: usize) -> Message {
        let content = lab.noise();
        let payload = &content.bytes()[..len];
        let mut wire = Vec::new();
        match speech {
            Speech::Plain => wire.extend_from_slice(payload),
            Speech::Frames(role) => frame::put(&mut wire, Kind::Noise, role, payload),
        }
        Message {
            wire,
            len,
            digest: content.digest(len as u64),
            buf: vec![0; (2 * len).min(64 * 1024)],
        }
    }

    /// Bytes of its payload.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// A caller that sends messages one at a time and verifies their echoes.
pub struct Caller {
    stream: TcpStream,
    parser: Option<Parser>,
}

impl Caller {
    /// Makes a caller on an open connection.
    pub fn new(stream: TcpStream, speech: Speech) -> Caller {
        Caller {
            stream,
            parser: (speech != Speech::Plain).then(|| Parser::new(None)),
        }
    }

    /// One round trip.
    pub fn round_trip(&mut self, message: &mut Message) -> Result<()> {
        self.stream.write_all(&message.wire)?;
        let (mut digest, len) = (Digest::new(), message.len as u64);
        while digest.count() < len {
            let count = self.read(&mut message.buf, &mut digest)?;
            ensure!(count > 0, "the connection ended within a round trip");
        }
        let is_same = digest.count() == len && digest.value() == message.digest;
        ensure!(is_same, "the echo is not what was sent");
        Ok(())
    }

    fn read(&mut self, buf: &mut [u8], digest: &mut Digest) -> Result<usize> {
        let count = self.stream.read(buf)?;
        match &mut self.parser {
            Some(parser) => parser.feed(&buf[..count], digest),
            None => digest.update(&buf[..count], [0; 4]),
        }
        Ok(count)
    }

    /// Ends our direction and waits for the other's end, within which nothing more may come.
    pub fn close(mut self) -> Result<()> {
        match self.parser {
            Some(_) => self.stream.write_all(&frame::close(Role::Client))?,
            None => self.stream.shutdown(Shutdown::Write)?,
        }
        let mut digest = Digest::new();
        let is_open = |caller: &Caller| caller.parser.as_ref().is_none_or(|p| !p.is_closed);
        // Some peers end with a reset, which ends it too.
        let mut buf = [0; 1024];
        while is_open(&self)
            && self
                .read(&mut buf, &mut digest)
                .is_ok_and(|count| count > 0)
        {}
        ensure!(digest.count() == 0, "more came than was sent");
        Ok(())
    }
}

/// Sends back each `len` bytes, until the end.
pub fn echo(stream: &mut TcpStream, len: usize) -> Result<()> {
    let mut buf = vec![0; len];
    loop {
        let mut have = 0;
        while have < len {
            match stream.read(&mut buf[have..])? {
                0 => return Ok(()),
                count => have += count,
            }
        }
        stream.write_all(&buf)?;
    }
}

/// Measures a contestant with messages of `len` bytes.
pub fn run(lab: &Lab, contestant: &Contestant, len: usize) -> Result<Option<Vec<Sample>>> {
    let listener = listen()?;
    let place = Place::before(&listener, lab.dir.path(), 1)?;
    let Some(processes) = contestant.start(Route::Serve, &place)? else {
        return Ok(None);
    };
    let (speech, target) = contestant.speeches(Route::Serve);
    let (mut times, used) = processes.watched(contestant.patience(), || {
        thread::scope(|scope| {
            let echo = scope.spawn(|| echo(&mut Link::accept(&listener, target)?, len));
            let stream = Link::call(place.port, speech)?;
            let caller = Caller::new(stream, speech);
            let message = Message::new(lab, speech, len);
            let times = round_trips(lab, caller, message, &processes)?;
            // Its end may be a reset: how peers end is not what is measured here.
            let _ = join(echo);
            Ok(times)
        })
    })?;
    times.sort_unstable();
    let micros = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    let cpu = used.cpu / times.len() as f64 * 1e6;
    Ok(Some(vec![
        Sample::cost("p50", micros(50), "us")
            .with_cpu(cpu, "s/M")
            .with_peak(used.peak),
        Sample::cost("p99", micros(99), "us").with_peak(used.peak),
    ]))
}

fn round_trips(
    lab: &Lab,
    mut caller: Caller,
    mut message: Message,
    processes: &Processes,
) -> Result<(Vec<Duration>, Usage)> {
    for _ in 0..WARM_UP {
        caller.round_trip(&mut message)?;
    }
    let (before, start) = (processes.usage(), Instant::now());
    let mut times = Vec::new();
    let mut last = Instant::now();
    while start.elapsed() < lab.time {
        caller.round_trip(&mut message)?;
        let now = Instant::now();
        times.push(now - last);
        last = now;
    }
    let mut used = processes.usage();
    used.cpu -= before.cpu;
    caller.close()?;
    Ok((times, used))
}
