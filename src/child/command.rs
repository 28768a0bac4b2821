//! What is to run: a program, its words, its environment, and where its input and output lead.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// A program that is to be started, with nothing of ours but what stands here.
pub struct Command {
    /// Its file; it is not searched for.
    pub file: PathBuf,
    /// What it finds as its arguments; the first is what it was called.
    pub words: Vec<OsString>,
    /// All of its environment, a name once.
    pub environment: Vec<(OsString, OsString)>,
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Its standard output.
    pub stdout: OwnedFd,
    /// Its standard error; ours where there is none.
    pub stderr: Option<OwnedFd>,
    /// Whether its input is a terminal, which is to be that of its session.
    pub has_terminal: bool,
}

impl Command {
    /// Sets a variable, and takes the place of one that has this name already.
    pub fn set(environment: &mut Vec<(OsString, OsString)>, name: OsString, value: OsString) {
        match environment.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => environment.push((name, value)),
        }
    }
}
