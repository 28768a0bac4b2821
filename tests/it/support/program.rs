//! The program as a child process: started, fed, listened to, stopped by its id, never left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;
use super::peers::Ws;

pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbridge"));
    command.args(words);
    // What the machine of the test says of proxies is not part of it.
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// What a program left behind: its exit status (128 and the number of a signal), and all that it printed.
#[derive(Debug)]
pub struct Finished {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Runs the program with `input` on its stdin to its end.
#[track_caller]
pub fn run(words: &[&str], input: impl AsRef<[u8]>) -> Finished {
    run_in(&[], words, input)
}

/// Runs the program with variables in its environment.
#[track_caller]
pub fn run_in(variables: &[(&str, &str)], words: &[&str], input: impl AsRef<[u8]>) -> Finished {
    let mut command = command(words);
    command.envs(variables.iter().copied());
    let mut running = start(command);
    let mut stdin = running.stdin();
    let input = input.as_ref().to_vec();
    // Where the program ends early it does not take all of its input.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = running.finish();
    writer.join().unwrap();
    finished
}

/// Starts the program with pipes on stdin and stdout; nothing is read from stdout until `finish` or `stdout`.
pub fn spawn(words: &[&str]) -> Running {
    start(command(words))
}

/// Starts the program under limits that a shell sets: `ulimit -n 64`.
pub fn spawn_under(limits: &str, words: &[&str]) -> Running {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_wsbridge")).args(words);
    start(shell)
}

fn start(mut command: Command) -> Running {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = Stderr::collect(child.stderr.take().unwrap());
    Running { child, stderr }
}

/// A program that runs.
pub struct Running {
    child: Child,
    stderr: Stderr,
}

struct Stderr {
    text: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Stderr {
    fn collect(stderr: impl Read + Send + 'static) -> Stderr {
        let text = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let shared = text.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                shared.lock().unwrap().push_str(&format!("{line}\n"));
                // After the test has lost interest in lines the text is still collected.
                let _ = sender.send(line);
            }
        });
        Stderr {
            text,
            lines,
            reader: Some(reader),
        }
    }
}

impl Running {
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stderr that contains `part` and returns it.
    #[track_caller]
    pub fn line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stderr.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(_) => panic!(
                    "no line with '{part}' on stderr; it has:\n{}",
                    self.stderr.text.lock().unwrap()
                ),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// The peak of its resident memory so far, in bytes (`VmHWM` of proc(5)).
    pub fn peak_memory(&self) -> u64 {
        memory(self.child.id(), "VmHWM:")
    }

    /// Its resident memory now, in bytes (`VmRSS` of proc(5)).
    pub fn memory(&self) -> u64 {
        memory(self.child.id(), "VmRSS:")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, reading stdout meanwhile, unless that was taken.
    #[track_caller]
    pub fn finish(&mut self) -> Finished {
        drop(self.child.stdin.take());
        let stdout = self.child.stdout.take();
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.map(|mut stdout| stdout.read_to_end(&mut bytes).unwrap());
            bytes
        });
        let status = self.wait();
        self.stderr.reader.take().unwrap().join().unwrap();
        Finished {
            status,
            stdout: reader.join().unwrap(),
            stderr: self.stderr.text.lock().unwrap().clone(),
        }
    }

    /// Waits for its end without touching its streams; the exit status.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap());
            }
            assert!(
                Instant::now() < deadline,
                "it does not end; stderr:\n{}",
                self.stderr.text.lock().unwrap()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn memory(id: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    1024 * line
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that listens.
pub struct Bridge {
    pub running: Running,
    /// What stands behind `listening on`, first place only: `ws://127.0.0.1:40000`.
    pub place: String,
    /// Its port, where it has one.
    pub port: u16,
}

impl Bridge {
    /// Starts the program and waits until it listens.
    #[track_caller]
    pub fn start(words: &[&str]) -> Bridge {
        Bridge::of(spawn(words))
    }

    /// Waits until a program that was started listens.
    #[track_caller]
    pub fn of(running: Running) -> Bridge {
        let line = running.line("listening on ");
        let place = line
            .split("listening on ")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned();
        let port = place
            .rsplit(':')
            .next()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap_or(0);
        Bridge {
            running,
            place,
            port,
        }
    }

    /// The URL of a WebSocket bridge.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Opens a raw WebSocket to it.
    #[track_caller]
    pub fn client(&self) -> Ws {
        Ws::connect(self.port)
    }

    /// The closing line of the next session that ends.
    #[track_caller]
    pub fn closed(&self) -> String {
        self.running.line("closed caller=")
    }

    /// Asks it to stop and waits for its end.
    #[track_caller]
    pub fn stop(mut self) -> Finished {
        self.running.signal(Signal::TERM);
        self.running.finish()
    }
}
