//! What the start of a program costs, from the call to when its end is known: with the clone(2) of `child/spawn.rs`, with a fork of
//! the standard library that does the same before exec (`pre_exec`), and with the `posix_spawn` of the standard library, which
//! does none of it. They take turns, start by start; the medians and their ratios are printed at the end.
//!
//! A fork copies the page tables of its parent: so it is measured with 256 MiB of touched memory too.
// The closure that `pre_exec` takes is what is measured.
#![allow(unsafe_code)]

use std::fs::File;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::mem::zeroed;
use std::process::Stdio;
use std::ptr;
use std::time::{Duration, Instant};

use criterion::Criterion;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid};
use tokio::runtime::Runtime;
use wsbridge::child::{Children, Command};
use wsbridge::workers;

/// What is started: it ends at once.
const PROGRAM: &str = "/bin/true";
/// Bytes of touched memory, with their names.
const SIZES: [(&str, usize); 2] = [("small", 0), ("256MiB", 256 * 1024 * 1024)];
const WAYS: [&str; 3] = ["clone", "pre_exec", "posix_spawn"];

/// What is measured of each start: the time until the call returned, that until its end was known, and the processor time of
/// both processes until it was reaped.
const FIGURES: [&str; 3] = [
    "until the call returned",
    "until its end was known",
    "of the processor",
];

/// The figures of all starts, by way and figure.
type Times = [[Vec<Duration>; 3]; 3];

/// Starts a program by each way in turn.
pub(crate) fn spawn(criterion: &mut Criterion) {
    let runtime = workers::runtime().expect("there is a runtime");
    for (size, bytes) in SIZES {
        let memory = black_box(vec![1_u8; bytes]);
        let mut times = Times::default();
        let mut group = criterion.benchmark_group("spawn");
        group.bench_function(size, |bencher| bencher.iter(|| turn(&runtime, &mut times)));
        drop(black_box(memory));
        report(size, &mut times);
    }
}

/// Starts a program by each way.
fn turn(runtime: &Runtime, times: &mut Times) {
    for (way, times) in times.iter_mut().enumerate() {
        let before = processor_time();
        let [called, ended] = runtime.block_on(async {
            match way {
                0 => by_clone().await,
                1 => by_standard_library(true).await,
                _ => by_standard_library(false).await,
            }
        });
        for (times, figure) in times
            .iter_mut()
            .zip([called, ended, processor_time() - before])
        {
            times.push(figure);
        }
    }
}

/// What we and those that we have reaped have used of the processor.
fn processor_time() -> Duration {
    // SAFETY: a plain system call, which writes the value; one is valid with all bits zero.
    let used = |who| unsafe {
        let mut used: libc::rusage = zeroed();
        libc::getrusage(who, &raw mut used);
        used
    };
    let times = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].map(used);
    let times = times.iter().flat_map(|it| [it.ru_utime, it.ru_stime]);
    let micros: i64 = times.map(|it| it.tv_sec * 1_000_000 + it.tv_usec).sum();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

async fn by_clone() -> [Duration; 2] {
    let begun = Instant::now();
    let null = || File::options().read(true).write(true).open("/dev/null");
    let command = Command {
        file: PROGRAM.into(),
        words: vec![PROGRAM.into()],
        environment: Vec::new(),
        stdin: null().expect("it is there").into(),
        stdout: null().expect("it is there").into(),
        stderr: None,
        has_terminal: false,
    };
    let children = Children::default();
    let child = children.start(command, Duration::from_secs(5), ());
    let called = begun.elapsed();
    let mut child = child.expect("it starts");
    poll_fn(|cx| child.poll_exit(cx)).await;
    let ended = begun.elapsed();
    // What it may have left behind is looked for, whichever way it was started.
    poll_fn(|cx| child.poll_over(cx)).await;
    [called, ended]
}

async fn by_standard_library(prepares: bool) -> [Duration; 2] {
    let begun = Instant::now();
    let mut command = std::process::Command::new(PROGRAM);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut command = tokio::process::Command::from(command);
    if prepares {
        let parent = getpid();
        // SAFETY: the closure makes system calls alone; it neither allocates nor takes a lock.
        unsafe { command.pre_exec(move || prepare(parent)) };
    } else {
        command.process_group(0);
    }
    let child = command.spawn();
    let called = begun.elapsed();
    let status = child.expect("it starts").wait().await;
    assert!(status.expect("it is waited for").success());
    [called, begun.elapsed()]
}

/// Does what `child/spawn.rs` does before exec.
fn prepare(parent: Pid) -> io::Result<()> {
    setsid()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    // SAFETY: plain system calls on values of this frame. The masks and actions are valid with all bits zero.
    unsafe {
        let usual: libc::sigaction = zeroed();
        for signal in 1..=64 {
            let mut action: libc::sigaction = zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN {
                libc::sigaction(signal, &raw const usual, ptr::null_mut());
            }
        }
        let none = zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 1 << 2);
    }
    Ok(())
}

/// Prints the medians, and how many times that of the clone each of them is.
fn report(size: &str, times: &mut Times) {
    let medians = times
        .each_mut()
        .map(|way| way.each_mut().map(|it| median(it)));
    for (name, way) in WAYS.iter().zip(medians) {
        let figures = FIGURES.iter().zip(way).zip(medians[0]);
        for ((figure, median), of_clone) in figures {
            let ratio = median.as_secs_f64() / of_clone.as_secs_f64().max(1e-9);
            let micros = median.as_micros();
            println!("spawn/{size}/{name}: {micros} us ({ratio:.2}) {figure}");
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
