//! The two that are measured, and how each is told to run a program for every caller.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{Launch, Processes, free_port};

/// A server of programs.
pub struct Server {
    program: PathBuf,
    /// Its words before the program's, for this port, and whether messages are binary.
    words: fn(u16, bool) -> Vec<String>,
}

impl Server {
    pub fn wsbridge() -> Server {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_wsbridge"));
        Server {
            program: std::env::var_os("WSBRIDGE").map_or(built, PathBuf::from),
            words: |port, is_binary| {
                let kind = if is_binary { "-b" } else { "-t" };
                ["-q", kind, &format!("ws-l:127.0.0.1:{port}"), "--"]
                    .map(str::to_owned)
                    .into()
            },
        }
    }

    /// The one that is installed, `apt install websocketd`.
    pub fn websocketd() -> Result<Server> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut files = std::env::split_paths(&path).map(|dir| dir.join("websocketd"));
        let program = files.find(|file| file.is_file());
        Ok(Server {
            program: program.context("websocketd is not installed (apt install websocketd)")?,
            words: |port, is_binary| {
                let kind = format!("--binary={is_binary}");
                let port = format!("--port={port}");
                ["--address=127.0.0.1", "--loglevel=fatal", &kind, &port]
                    .map(str::to_owned)
                    .into()
            },
        })
    }

    /// Starts it on a free port, with a program for its callers.
    pub fn start(&self, is_binary: bool, program: &[&str]) -> Result<(Processes, u16)> {
        let port = free_port();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut args = vec!["-i".to_owned(), format!("PATH={path}")];
        args.push(self.program.to_string_lossy().into_owned());
        args.extend((self.words)(port, is_binary));
        args.extend(program.iter().map(ToString::to_string));
        let launch = Launch {
            program: "/usr/bin/env".into(),
            args,
            port: Some(port),
            is_piped: false,
        };
        Ok((Processes::start(&[launch])?, port))
    }
}
