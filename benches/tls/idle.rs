//! Memory of idle connections: after a short echo, and after a long one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::caller::Caller;
use crate::contestant::Contestant;
use crate::lab::Sample;
use crate::link::{Link, Speech, listen};
use crate::process::Processes;
use crate::scene::Scene;

const SHORT: usize = 64;
const LONG: usize = 64 * 1024;
/// How long connections have been idle when memory is read.
const SETTLE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);

/// Both ends of a connection.
type Pair = (Caller, TcpStream);

/// Measures a contestant with many connections.
pub fn run(scene: &Scene, contestant: &Contestant) -> Result<Vec<Sample>> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    // Where it fails, what is missing is said when it is.
    let _ = setrlimit(Resource::Nofile, files);
    let listener = listen()?;
    let (processes, port) = contestant.start(scene, &listener)?;
    let open = || open(scene, contestant, port, &listener);
    processes.watched(PATIENCE, || {
        // What is kept for all connections to come is not counted as that of those that came.
        let mut first = open()?;
        echo(scene, &mut first, LONG)?;
        let before = settled(&processes);
        let pairs: Result<Vec<Pair>> = (0..scene.pairs).map(|_| open()).collect();
        let mut pairs = pairs?;
        let fresh = settled(&processes);
        pairs
            .iter_mut()
            .try_for_each(|pair| echo(scene, pair, LONG))?;
        let used = settled(&processes);
        let peak = processes.usage().peak;
        let each = |part, after: u64| {
            let grown = after.saturating_sub(before) as f64;
            Sample::cost(part, grown / scene.pairs as f64, "KiB/idle").with_peak(peak)
        };
        Ok(vec![each("fresh", fresh), each("used", used)])
    })
}

fn open(scene: &Scene, contestant: &Contestant, port: u16, listener: &TcpListener) -> Result<Pair> {
    let caller = Caller::call(&scene.client, port, contestant.speech)?;
    let mut pair = (caller, Link::accept(listener, Speech::Plain)?);
    echo(scene, &mut pair, SHORT)?;
    Ok(pair)
}

/// One echo. It fits into what the system keeps: nobody needs to read while another one writes.
fn echo(scene: &Scene, (caller, target): &mut Pair, len: usize) -> Result<()> {
    caller.send(&scene.noise.bytes()[..len])?;
    let mut buf = vec![0; len];
    target.read_exact(&mut buf)?;
    target.write_all(&buf)?;
    let digest = caller.receive(len as u64)?;
    let expected = scene.expected.digest(len as u64);
    ensure!(digest == expected, "the echo is not what was sent");
    Ok(())
}

/// The resident set in KiB, when all is quiet.
fn settled(processes: &Processes) -> u64 {
    thread::sleep(SETTLE);
    processes.usage().rss
}
