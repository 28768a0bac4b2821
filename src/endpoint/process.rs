//! `exec:`, `sh-c:` and `LEFT -- PROGRAM ARGS...`: a program for each caller, its input and output joined to it.

mod apart;
mod environment;
mod options;
mod stderr;
mod streams;
mod terminal;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::size::{Asked, Size};
use super::{BoxFuture, Dial, Endpoint, Facts, Scheme, Settings, read_framing, read_options};
use crate::address::{Address, AddressError};
use crate::caller::Caller;
use crate::child::{Child, Children, Command};
use crate::ending::{Cause, errno_text, is_out_of_descriptors};
use crate::framing::{self, Cut, Framing};
use crate::memory::Memory;
use crate::peer::{Opened, StreamFacts};
use apart::Apart;
pub use options::{Options, Stderr};
use streams::Streams;
use terminal::Resizable;

/// `exec:`
pub const EXEC: Scheme = Scheme {
    names: &["exec"],
    syntax: "exec:PROGRAM | LEFT -- PROGRAM ARGS...",
    summary: "Run a program for each caller, without a shell",
    example: "wsbridge ws-l:8080 -- bc",
    is_raw: true,
    options: &[Options::augment_args, framing::Options::augment_args],
    build: |address, settings| {
        let program = address.place.clone();
        if program.is_empty() {
            return Err(address.place_error("a program is missing").into());
        }
        // Found once: a search at each start would try to execute it in every folder of PATH.
        let file = find(&program)?;
        let words = [program].into_iter().chain(settings.words.iter().cloned());
        build(&EXEC, address, settings, file, words.collect())
    },
};

/// Descriptors of a program that runs: three pipes, or a terminal in two halves, and what tells its end.
const DESCRIPTORS: usize = 4;

/// `sh-c:`
pub const SHELL: Scheme = Scheme {
    names: &["sh-c", "cmd", "system"],
    syntax: "sh-c:LINE",
    summary: "Run a line of shell for each caller; nothing that a caller says becomes part of it",
    example: "wsbridge ws-l:8080 'sh-c:tail -f log | grep error'",
    is_raw: true,
    options: &[Options::augment_args, framing::Options::augment_args],
    build: |address, settings| {
        if address.place.is_empty() {
            return Err(address.place_error("a line of shell is missing").into());
        }
        let words = vec!["/bin/sh".into(), "-c".into(), address.place.clone()];
        build(&SHELL, address, settings, "/bin/sh".into(), words)
    },
};

struct Program {
    name: String,
    file: PathBuf,
    /// The first is what it was called.
    words: Vec<OsString>,
    options: Options,
    framing: Framing,
    memory: Memory,
    children: Children,
    permits: Arc<Semaphore>,
}

fn build(
    scheme: &Scheme,
    address: &Address,
    settings: &Settings,
    file: PathBuf,
    words: Vec<OsString>,
) -> Result<Endpoint> {
    let options: Options = read_options(scheme, address, settings)?;
    environment::check(&options)?;
    let own = if options.pty {
        Framing::BYTES
    } else {
        Framing::LINES
    };
    let framing = read_framing(scheme, address, settings, own)?;
    if options.stderr == Some(Stderr::Json) && (options.pty || framing.cut != Cut::Json) {
        let what = match options.pty {
            true => "--stderr json does not apply to --pty",
            false => {
                "--stderr json goes with --framing json: its lines come between a program's objects"
            }
        };
        return Err(AddressError::elsewhere(what.to_owned()).into());
    }
    let facts = Facts {
        framing: Some(framing),
        can_half_close: !options.pty && framing.can_half_close(),
        descriptors: DESCRIPTORS,
        runs_programs: !options.allow_remote_exec,
        kill_after: Some(options.kill_after),
        has_terminal: options.pty,
        ..Facts::default()
    };
    let dial = Program {
        name: Address::shown(&address.place),
        file,
        words,
        children: settings.children.clone(),
        permits: Arc::new(Semaphore::new(options.max_children as usize)),
        framing,
        memory: settings.memory.clone(),
        options,
    };
    Ok(Endpoint::dial(dial, facts))
}

/// Finds a program as a shell would, so that a wrong name is told at the start and not to the first caller.
fn find(program: &OsString) -> Result<PathBuf> {
    let path = Path::new(program);
    let is_program = |path: &PathBuf| {
        let mode = path
            .metadata()
            .map(|meta| (meta.is_file(), meta.permissions().mode()));
        mode.is_ok_and(|(is_file, mode)| is_file && mode & 0o111 != 0)
    };
    let candidates: Vec<PathBuf> = if program.as_encoded_bytes().contains(&b'/') {
        vec![path.to_owned()]
    } else {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs)
            .map(|dir| dir.join(path))
            .collect()
    };
    if let Some(found) = candidates.iter().find(|path| is_program(path)) {
        return Ok(found.clone());
    }
    let shown = Address::shown(program);
    match candidates.iter().any(|path| path.exists()) {
        true => {
            let what = match candidates.iter().any(|path| path.is_dir()) {
                true => format!("{shown}: a folder, and no program"),
                false => format!("{shown}: not executable; chmod +x makes it so"),
            };
            Err(anyhow::Error::new(Cause::NotExecutable).context(what))
        }
        false => {
            // Most likely a whole command line.
            let hint = match shown.split_once(' ') {
                Some((first, rest)) => format!("; write '-- {first} {rest}', or sh-c: for a shell"),
                None if shown.contains(',') => "; its options are flags".to_owned(),
                None if shown.contains('/') => String::new(),
                None => " in PATH".to_owned(),
            };
            let what = format!("{shown}: no such program{hint}");
            Err(anyhow::Error::new(Cause::NoProgram).context(what))
        }
    }
}

impl Dial for Program {
    fn dial<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
                anyhow::Error::new(Cause::Busy).context(format!(
                    "{} programs are running; --max-children allows more",
                    self.options.max_children
                ))
            })?;
            let started = match self.options.pty {
                true => self.start_in_terminal(caller, permit),
                false => self.start(caller, permit),
            };
            let streams = started.map_err(|error| {
                let cause = match error.kind() {
                    io::ErrorKind::NotFound => Cause::NoProgram,
                    io::ErrorKind::PermissionDenied => Cause::NotExecutable,
                    io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Cause::Busy,
                    _ if is_out_of_descriptors(&error) => Cause::Busy,
                    _ => Cause::NotStarted,
                };
                anyhow::Error::new(cause).context(errno_text(&error))
            });
            streams.with_context(|| format!("starting {}", self.name))
        })
    }
}

impl Program {
    /// What to run for a caller; what its stderr says comes out of the pipe where it is to be read.
    fn command(
        &self,
        caller: &Caller,
        (stdin, stdout): (OwnedFd, OwnedFd),
        stderr: Stderr,
    ) -> io::Result<(Command, Option<pipe::Receiver>)> {
        let (stderr, logged) = lead(stderr, &stdout)?;
        let command = Command {
            file: self.file.clone(),
            words: self.words.clone(),
            environment: environment::of(caller, &self.options),
            stdin,
            stdout,
            stderr,
            has_terminal: self.options.pty,
        };
        Ok((command, logged))
    }

    /// What is known about the streams of a program.
    fn facts(&self) -> StreamFacts {
        let own = StreamFacts::of_bytes(self.framing);
        StreamFacts {
            // A terminal hangs up as a whole.
            can_half_close: own.can_half_close && !self.options.pty,
            is_whole: !self.options.pty,
            ..own
        }
    }

    fn start(&self, caller: &Caller, permit: OwnedSemaphorePermit) -> io::Result<Opened> {
        let (their_input, input) = io::pipe()?;
        let (output, their_output) = io::pipe()?;
        let own = if caller.is_local {
            Stderr::Inherit
        } else {
            Stderr::Log
        };
        let theirs = (their_input.into(), their_output.into());
        let how = self.options.stderr.unwrap_or(own);
        let (command, logged) = self.command(caller, theirs, how)?;
        let (input, output) = (
            pipe::Sender::from_owned_fd(input.into())?,
            pipe::Receiver::from_owned_fd(output.into())?,
        );
        let patience = self.options.kill_after;
        let child = self.children.start(command, patience, permit)?;
        let streams = self.streams(input, output, child, logged, false);
        Ok(Opened::bytes(streams, self.facts()))
    }

    fn start_in_terminal(
        &self,
        caller: &Caller,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Opened> {
        let asked = Asked::by(caller);
        let (ours, theirs) = terminal::open(asked.size().unwrap_or(Size::USUAL))?;
        let how = self.options.stderr.unwrap_or(Stderr::Merge);
        let (mut command, logged) = self.command(caller, (theirs.try_clone()?, theirs), how)?;
        if std::env::var_os("TERM").is_none() {
            let (name, value) = ("TERM".into(), "xterm-256color".into());
            Command::set(&mut command.environment, name, value);
        }
        let again = ours.try_clone()?;
        let (input, output) = (
            pipe::Sender::from_owned_fd_unchecked(ours.try_clone()?)?,
            pipe::Receiver::from_owned_fd_unchecked(ours)?,
        );
        let patience = self.options.kill_after;
        let child = self.children.start(command, patience, permit)?;
        let streams = self.streams(input, output, child, logged, true);
        let opened = Opened::bytes(streams, self.facts());
        if !asked.resizes {
            return Ok(opened);
        }
        Ok(Resizable::over(opened.into_messages(&self.memory), again).into())
    }

    fn streams(
        &self,
        input: pipe::Sender,
        output: pipe::Receiver,
        child: Child,
        logged: Option<pipe::Receiver>,
        is_terminal: bool,
    ) -> Box<Streams> {
        let apart = match (logged, self.options.stderr) {
            (Some(errors), Some(Stderr::Json)) => Some(Apart::new(errors, self.framing.limit)),
            (Some(errors), _) => {
                tokio::spawn(stderr::log(errors, self.name.clone()));
                None
            }
            (None, _) => None,
        };
        let patience = self.options.kill_after;
        Box::new(Streams::new(
            (input, output),
            apart,
            child,
            patience,
            is_terminal,
        ))
    }
}

/// Where stderr is to lead, and the pipe that what is to be logged comes out of.
fn lead(how: Stderr, stdout: &OwnedFd) -> io::Result<(Option<OwnedFd>, Option<pipe::Receiver>)> {
    Ok(match how {
        Stderr::Inherit => (None, None),
        Stderr::Null => {
            let null = File::options().write(true).open("/dev/null")?;
            (Some(null.into()), None)
        }
        Stderr::Merge => (Some(stdout.try_clone()?), None),
        Stderr::Log | Stderr::Json => {
            let (errors, their_errors) = io::pipe()?;
            let errors = pipe::Receiver::from_owned_fd(errors.into())?;
            (Some(their_errors.into()), Some(errors))
        }
    })
}
