//! Rooms: wsbridge's `hub:` beside websocat's `broadcast:mirror:` and a Node server, in turn, every delivery verified.
//!
//! `cargo bench --bench hub`, with `--help` behind `--` for what it takes. Members and speakers are one thread of this
//! program; a speaker goes on as it hears itself, so that no server is outrun. All figures are medians over the rounds,
//! ratios are within a round.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

#[path = "../relay/content.rs"]
mod content;
mod contestant;
mod crowd;
#[path = "../relay/digest.rs"]
mod digest;
#[path = "../relay/frame.rs"]
mod frame;
#[path = "../relay/handshake.rs"]
mod handshake;
#[path = "../relay/machine.rs"]
mod machine;
#[path = "../relay/process.rs"]
mod process;
#[path = "../relay/relay.rs"]
mod relay;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};

use contestant::{Contestant, find_all};
use crowd::Crowd;

const USAGE: &str = "\
usage: cargo bench --bench hub -- [OPTIONS]
  --rounds N         rounds of each mode (5)
  --time SECONDS     how long is spoken (2)
  --only NAME        only modes whose names begin so
WSBRIDGE=path measures another binary.";
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A room of some size.
pub struct Mode {
    name: &'static str,
    /// Bytes of a message.
    payload: usize,
    members: usize,
    stalled: usize,
    speakers: usize,
    /// Whether only wsbridge takes part.
    is_alone: bool,
    /// The ratio to each other contestant is at least this.
    goals: &'static [(&'static str, f64)],
}

const MODES: &[Mode] = &[
    Mode {
        name: "8-speakers",
        payload: 64,
        members: 1000,
        stalled: 0,
        speakers: 8,
        is_alone: false,
        goals: &[("websocat 1", 10.0), ("node ws", 4.0)],
    },
    Mode {
        name: "1-speaker",
        payload: 64,
        members: 1000,
        stalled: 0,
        speakers: 1,
        is_alone: false,
        goals: &[],
    },
    Mode {
        name: "5%-stalled",
        payload: 4096,
        members: 1000,
        stalled: 50,
        speakers: 1,
        is_alone: false,
        goals: &[],
    },
    Mode {
        name: "10000-members",
        payload: 64,
        members: 9900,
        stalled: 0,
        speakers: 8,
        is_alone: true,
        goals: &[],
    },
];

/// What one run found.
struct Figure {
    /// Deliveries in a second.
    rate: f64,
    /// Seconds of processor time of a million deliveries.
    cpu: f64,
    sent_away: usize,
    /// KiB.
    peak: u64,
}

struct Options {
    rounds: usize,
    time: Duration,
    only: String,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match relay::run(&args) {
        Some(result) => result,
        // `cargo test --benches` does not ask for figures.
        None if args.iter().all(|arg| arg != "--bench") => check(),
        None => options(&args).and_then(|options| measure(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &[String]) -> Result<Options> {
    let mut options = Options {
        rounds: 5,
        time: Duration::from_secs(2),
        only: String::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
            "--time" => {
                options.time = Duration::from_secs_f64(value()?.parse::<f64>()?.clamp(0.05, 30.0));
            }
            "--only" => options.only.clone_from(value()?),
            "--bench" => {}
            "--help" | "-h" => bail!("{USAGE}"),
            other => bail!("unknown option {other}\n{USAGE}"),
        }
    }
    Ok(options)
}

/// Runs a small room once.
fn check() -> Result<()> {
    let (contestants, _) = find_all();
    let mode = Mode {
        name: "check",
        payload: 64,
        members: 20,
        stalled: 2,
        speakers: 3,
        is_alone: true,
        goals: &[],
    };
    run(&mode, &contestants[0], Duration::from_millis(20))?;
    println!("every delivery is verified; for figures: cargo bench --bench hub");
    Ok(())
}

fn measure(options: &Options) -> Result<()> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).context("allowing as many open files as the system does")?;
    let (contestants, missing) = find_all();
    println!(
        "mode, contestant, deliveries/s (millions), cpu-s of a million, ratio (goal): {}, {} cores, Linux {}, {}",
        machine::processor(),
        machine::cores(),
        machine::kernel(),
        machine::date()
    );
    for mode in MODES
        .iter()
        .filter(|mode| mode.name.starts_with(&options.only))
    {
        measure_mode(mode, &contestants, options);
    }
    missing.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Measures one mode in turn, every other round backwards.
fn measure_mode(mode: &Mode, contestants: &[Contestant], options: &Options) {
    let part = contestants
        .iter()
        .take(if mode.is_alone { 1 } else { usize::MAX });
    let part: Vec<&Contestant> = part.collect();
    let mut rounds: Vec<Vec<Result<Figure>>> = Vec::new();
    for round in 0..options.rounds {
        let mut found: Vec<(usize, Result<Figure>)> = Vec::new();
        let mut order: Vec<usize> = (0..part.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            found.push((at, run(mode, part[at], options.time)));
        }
        found.sort_by_key(|(at, _)| *at);
        rounds.push(found.into_iter().map(|(_, figure)| figure).collect());
    }
    for (at, contestant) in part.iter().enumerate() {
        let good = |round: &&Vec<Result<Figure>>| round[at].is_ok() && round[0].is_ok();
        let of = |of: &dyn Fn(&Figure, &Figure) -> f64| {
            let rows = rounds.iter().filter(good);
            let values = rows
                .filter_map(|round| Some(of(round[at].as_ref().ok()?, round[0].as_ref().ok()?)));
            median(values.collect())
        };
        let failed = rounds.iter().find_map(|round| round[at].as_ref().err());
        let ratio = of(&|own, ours| ours.rate / own.rate);
        let goal = mode.goals.iter().find(|goal| goal.0 == contestant.name);
        let goal = goal.map_or(String::new(), |(_, goal)| {
            let verdict = if ratio >= *goal { "ok" } else { "MISS" };
            format!(" ({goal} {verdict})")
        });
        let mut line = format!(
            "{:14} {:11} {:7.3} {:8.3}  {ratio:5.2}{goal}  peak {:.0} MiB",
            mode.name,
            contestant.name,
            of(&|own, _| own.rate) / 1e6,
            of(&|own, _| own.cpu),
            of(&|own, _| own.peak as f64) / 1024.0,
        );
        if mode.stalled > 0 {
            let sent_away = of(&|own, _| own.sent_away as f64);
            line += &format!(
                "; {sent_away} of {} stalled seen to be sent away",
                mode.stalled
            );
        }
        if let Some(error) = failed {
            let count = rounds.iter().filter(|round| round[at].is_err()).count();
            line += &format!("; FAIL {count} of {}: {error:#}", rounds.len());
        }
        println!("{line}");
    }
}

fn run(mode: &Mode, contestant: &Contestant, time: Duration) -> Result<Figure> {
    let (processes, port) = contestant.start()?;
    processes.watched(PATIENCE, || {
        let mut crowd = Crowd::gather(port, mode)?;
        let before = processes.usage().cpu;
        // Until a member is stalled the system has taken megabytes for it.
        let heard = crowd.speak(if mode.stalled > 0 { 3 * time } else { time })?;
        let usage = processes.usage();
        let millions = heard.deliveries as f64 / 1e6;
        Ok(Figure {
            rate: heard.deliveries as f64 / heard.seconds,
            cpu: (usage.cpu - before) / millions,
            sent_away: crowd.sent_away()?,
            peak: usage.peak,
        })
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
