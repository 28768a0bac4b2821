//! What this program is as a child of itself: the plain relay that all are compared with, and the guard.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

/// The practical limit of copying: more gains nothing.
const BUFFER: usize = 256 * 1024;
/// Where the buffer begins, behind a page of memory: copies to and from its beginning are slow on some processors.
const BEHIND_PAGE: usize = 128;
const PAGE: usize = 4096;

/// Runs as a child if the arguments say so.
pub fn run(args: &[String]) -> Option<Result<()>> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--relay", port, target] => Some(relay(port, target)),
        ["--pipe", target] => Some(pipe(target)),
        ["--guard", program, ref args @ ..] => Some(guard(program, args)),
        _ => None,
    }
}

/// Becomes another program, which is killed when our parent ends.
fn guard(program: &str, args: &[&str]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let error = Command::new(program).args(args).exec();
    bail!("{program}: {error}");
}

/// Copies between each caller of `port` and a connection of its own to `target`: a thread for each direction.
fn relay(port: &str, target: &str) -> Result<()> {
    let (port, target): (u16, u16) = (port.parse()?, target.parse()?);
    let listener = TcpListener::bind(("127.0.0.1", port)).context("listening")?;
    loop {
        let (caller, _) = listener.accept().context("accepting")?;
        let Ok(called) = TcpStream::connect(("127.0.0.1", target)) else {
            continue;
        };
        caller.set_nodelay(true)?;
        called.set_nodelay(true)?;
        let (back_from, back_to) = (called.try_clone()?, caller.try_clone()?);
        thread::spawn(move || copy(&caller, &called, &called));
        thread::spawn(move || copy(&back_from, &back_to, &back_to));
    }
}

/// Copies stdin to `target` and what comes from there to stdout, until both have ended.
fn pipe(target: &str) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", target.parse::<u16>()?)).context("connecting")?;
    stream.set_nodelay(true)?;
    let called = stream.try_clone()?;
    thread::spawn(move || copy(io::stdin().lock(), &called, &called));
    // Not `Stdout`: it would cut at newlines.
    let stdout = std::fs::File::from(rustix::io::dup(rustix::stdio::stdout())?);
    copy_bytes(&stream, stdout)?;
    Ok(())
}

fn copy(from: impl Read, to: impl Write, called: &TcpStream) {
    // An error ends this direction as the end does; the verification sees what is missing.
    let _ = copy_bytes(from, to);
    let _ = called.shutdown(Shutdown::Write);
}

fn copy_bytes(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut memory = vec![0; BUFFER + PAGE];
    let begin = (PAGE + BEHIND_PAGE - memory.as_ptr().addr() % PAGE) % PAGE;
    let buf = &mut memory[begin..begin + BUFFER];
    loop {
        match from.read(buf)? {
            0 => return Ok(()),
            count => to.write_all(&buf[..count])?,
        }
    }
}
