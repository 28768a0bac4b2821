//! The servers that are measured: what each member says all of them hear, themselves included.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::{Launch, Processes, free_port};

/// A server of one room.
pub struct Contestant {
    pub name: &'static str,
    program: PathBuf,
    words: fn(u16) -> Vec<String>,
}

/// A broadcast server as the documentation of `ws` shows it.
const NODE: &str = "\
const {WebSocketServer} = require('ws');
const server = new WebSocketServer({host: '127.0.0.1', port: Number(process.argv[1]), perMessageDeflate: false});
server.on('connection', (member) => member.on('message', (data, binary) => {
  for (const other of server.clients) if (other.readyState === 1) other.send(data, {binary});
}));";

/// Those that are there, and a line for each that is not.
pub fn find_all() -> (Vec<Contestant>, Vec<String>) {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_wsbridge"));
    let mut found = vec![Contestant {
        name: "wsbridge",
        program: std::env::var_os("WSBRIDGE").map_or(built, PathBuf::from),
        words: |port| {
            let place = format!("ws-l:127.0.0.1:{port}");
            let words = [
                "-q",
                "--ping",
                "0",
                "--room-members",
                "20000",
                "--max-connections",
            ];
            words
                .into_iter()
                .chain(["20000", &place, "hub:"])
                .map(str::to_owned)
                .collect()
        },
    }];
    let mut missing = Vec::new();
    match program("websocat") {
        Some(program) => found.push(Contestant {
            name: "websocat 1",
            program,
            words: |port| {
                let place = format!("ws-l:127.0.0.1:{port}");
                ["-t", &place, "broadcast:mirror:"]
                    .map(str::to_owned)
                    .into()
            },
        }),
        None => {
            missing
                .push("missing: websocat 1 (cargo install websocat --version 1.14.0)".to_owned());
        }
    }
    match program("node").filter(|_| modules().is_dir()) {
        Some(program) => found.push(Contestant {
            name: "node ws",
            program,
            words: |port| ["-e", NODE, &port.to_string()].map(str::to_owned).into(),
        }),
        None => missing.push("missing: node with ws (tests/conformance/install)".to_owned()),
    }
    (found, missing)
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|dir| dir.join(name));
    files.find(|file| file.is_file())
}

/// Where the conformance tests keep what npm gave them.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("conformance/node/node_modules")
}

impl Contestant {
    /// Starts it on a free port.
    pub fn start(&self) -> Result<(Processes, u16)> {
        let port = free_port();
        let mut args = vec![format!("NODE_PATH={}", modules().display())];
        args.push(self.program.to_string_lossy().into_owned());
        args.extend((self.words)(port));
        let launch = Launch {
            program: "/usr/bin/env".into(),
            args,
            port: Some(port),
            is_piped: false,
        };
        Ok((Processes::start(&[launch])?, port))
    }
}
