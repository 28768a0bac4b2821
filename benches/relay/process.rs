//! The processes that are measured: started, watched through /proc, and ended by their ids, also on panic.

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(10);
/// Ports below those that the system gives to outgoing connections.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
const FIRST_PORT: u16 = 15_000;
const PORTS: u16 = 15_000;
/// Clock ticks of a second in /proc: Linux's USER_HZ.
const TICKS: f64 = 100.0;

/// A free port, not one that was handed out lately.
pub fn free_port() -> u16 {
    let first = u16::try_from(std::process::id() % 97).unwrap_or(0) * 150;
    loop {
        let next = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + first.wrapping_add(next) % PORTS;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The processes of one contestant.
pub struct Processes {
    pub children: Vec<Child>,
}

/// Processor time in seconds, and the highest resident set in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: f64,
    pub rss: u64,
    pub peak: u64,
}

impl Processes {
    /// Starts commands one after the other; each that names a port is waited for until it listens there.
    pub fn start(launches: &[Launch]) -> Result<Processes> {
        let mut processes = Processes {
            children: Vec::new(),
        };
        for launch in launches {
            let child = launch.guarded()?.spawn().context("starting")?;
            processes.children.push(child);
            if let Some(port) = launch.port {
                processes.wait_until_listening(port)?;
            }
        }
        Ok(processes)
    }

    fn wait_until_listening(&mut self, port: u16) -> Result<()> {
        let deadline = Instant::now() + START;
        while !is_listening(port) {
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("it ended before it listened: {status}");
                }
            }
            if Instant::now() > deadline {
                bail!("it does not listen on port {port}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What all processes have used, children that they made included.
    pub fn usage(&self) -> Usage {
        let groups: HashSet<u32> = self.children.iter().map(Child::id).collect();
        let used = processes_of(&groups).into_iter().map(usage_of);
        used.fold(Usage::default(), |sum, one| Usage {
            cpu: sum.cpu + one.cpu,
            rss: sum.rss + one.rss,
            peak: sum.peak + one.peak,
        })
    }

    fn groups(&self) -> Vec<Pid> {
        let pids = self.children.iter().map(Child::id);
        pids.filter_map(|pid| Pid::from_raw(pid.try_into().ok()?))
            .collect()
    }

    /// Runs `work`; if it takes longer than `limit`, the processes are killed, which ends every wait for them.
    pub fn watched<T>(&self, limit: Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let groups = self.groups();
        let (done, ended) = mpsc::channel::<()>();
        let is_late = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                let ended = ended;
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    is_late.store(true, Ordering::Relaxed);
                    end(&groups, Signal::KILL);
                }
            });
            // Dropped also when the work panics.
            let _done = done;
            work()
        });
        match is_late.into_inner() {
            true => bail!("it took longer than {} s", limit.as_secs()),
            false => result,
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let groups = self.groups();
        end(&groups, Signal::TERM);
        let deadline = Instant::now() + Duration::from_millis(50);
        for child in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        end(&groups, Signal::KILL);
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn end(groups: &[Pid], signal: Signal) {
    for group in groups {
        // It fails when all of the group have ended.
        let _ = kill_process_group(*group, signal);
    }
}

/// A program to start.
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Where it will listen.
    pub port: Option<u16>,
    /// Whether its stdin and stdout are pipes to us.
    pub is_piped: bool,
}

impl Launch {
    /// The program behind ourselves as `--guard`, which ends it when we end in any way.
    fn guarded(&self) -> Result<Command> {
        let mut guard = Command::new(std::env::current_exe()?);
        guard.arg("--guard").arg(&self.program).args(&self.args);
        let pipe = || match self.is_piped {
            true => Stdio::piped(),
            false => Stdio::null(),
        };
        guard.stdin(pipe()).stdout(pipe()).process_group(0);
        // To see what a contestant complains of.
        if std::env::var_os("RELAY_STDERR").is_none() {
            guard.stderr(Stdio::null());
        }
        Ok(guard)
    }
}

/// Whether someone listens on a port of the loopback; nobody is called for it.
fn is_listening(port: u16) -> bool {
    let end = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|path| {
        let table = fs::read_to_string(path).unwrap_or_default();
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let is_port = words.next().is_some_and(|local| local.ends_with(&end));
            is_port && words.nth(1) == Some("0A")
        })
    })
}

/// All processes of these process groups.
fn processes_of(groups: &HashSet<u32>) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let group = stat(*pid).and_then(|fields| fields.get(2)?.parse().ok());
        group.is_some_and(|group| groups.contains(&group))
    })
    .collect()
}

/// The fields of /proc/PID/stat after the name, which may have blanks: the state is the first.
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = line.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// What a process has used.
pub fn usage_of(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    Usage {
        cpu: cpu_in_ticks(pid).max(cpu_of_threads(pid)),
        rss: kib("VmRSS:"),
        peak: kib("VmHWM:"),
    }
}

/// Seconds by the process's own count, rounded down to ticks: it has threads and children that have ended too.
fn cpu_in_ticks(pid: u32) -> f64 {
    let fields = stat(pid).unwrap_or_default();
    let ticks = fields.iter().skip(11).take(4);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS
}

/// Seconds by the scheduler's count of each thread that lives: exact to the nanosecond.
fn cpu_of_threads(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e9
}
