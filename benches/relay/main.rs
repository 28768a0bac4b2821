//! The benchmark: wsbridge beside a plain copying relay and whichever peers are found, in turn, each stream verified.
//!
//! `cargo bench --bench relay -- --help` says what it takes. Nothing of wsbridge's own code is used: the load generator
//! writes prebuilt frames with few big writes and hashes what comes out. Contestants are processes of their own, also the
//! relay, which is this program once more. A plain TCP relay carries the same payload without frames.
//!
//! Sizes: toward TCP they are those of the messages. From TCP they are those of the source's writes, which the system may
//! gather; what they become are messages of at most 32 KiB. All figures are medians over the rounds, all ratios are to the relay of the same round.

#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod bulk;
mod connections;
mod content;
mod contestant;
mod digest;
mod flow;
mod frame;
mod generator;
mod goal;
mod handshake;
mod idle;
mod lab;
mod link;
mod machine;
mod mode;
mod options;
mod parallel;
mod peer;
mod ping;
mod process;
mod readme;
mod relay;
mod report;
mod selfcheck;
mod stall;
mod startup;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};

use contestant::{Contestant, RELAY, WSBRIDGE};
use lab::Lab;
use mode::Mode;
use options::Options;
use report::{Row, Runs};

/// A peer that has taken so long in one mode, and so many times longer than the relay, leaves out the other rounds of it.
const SLOW: Duration = Duration::from_secs(4);
const TIMES_SLOWER: u32 = 3;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match relay::run(&args) {
        Some(result) => result.map(|()| true),
        // `cargo test --benches` does not ask for figures.
        None if args.iter().all(|arg| arg != "--bench") => selfcheck::run().map(|()| {
            println!("the verification notices damage; for figures: cargo bench --bench relay");
            true
        }),
        None => measure(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all that was asked for; returns whether nothing of ours failed.
fn measure(args: &[String]) -> Result<bool> {
    let options = Options::parse(args)?;
    let (contestants, missing) = contestant::find_all(!options.is_quick, &options.without)?;
    let modes: Vec<Mode> = mode::all()
        .into_iter()
        .filter(|mode| is_wanted(mode, &options))
        .collect();
    if options.lists {
        modes.iter().for_each(|mode| println!("{}", mode.name));
        contestants
            .iter()
            .for_each(|one| println!("contestant: {}", one.name));
        missing.iter().for_each(|line| println!("{line}"));
        return Ok(true);
    }
    selfcheck::run().context("the verification is broken")?;
    open_all_files();
    let start = Instant::now();
    let lab = Lab::new(options.time, options.stall)?;
    if options.is_alone {
        generator::print(&lab)?;
        return Ok(true);
    }
    println!("{} on {}", report::head(), machine::processor());
    let mut rows: Vec<Row> = Vec::new();
    for mode in &modes {
        let runs = run_mode(&lab, mode, &contestants, options.rounds);
        let found = report::rows(&mode.name, mode.goals, &runs);
        found.iter().for_each(|row| println!("{}", row.line()));
        rows.extend(found);
    }
    missing.iter().for_each(|line| println!("{line}"));
    if options.is_for_readme {
        println!("\n{}", readme::table(&rows, options.rounds));
    }
    std::fs::write(&options.json, report::json(&rows, &missing, options.rounds))
        .with_context(|| format!("writing {}", options.json.display()))?;
    println!(
        "{} s; JSON: {}",
        start.elapsed().as_secs(),
        options.json.display()
    );
    Ok(!rows.iter().any(Row::is_our_failure))
}

fn is_wanted(mode: &Mode, options: &Options) -> bool {
    options.only.is_empty() || options.only.iter().any(|name| mode.name.starts_with(name))
}

/// Runs all contestants in turn, round by round, every other round backwards.
fn run_mode(lab: &Lab, mode: &Mode, contestants: &[Contestant], rounds: usize) -> Vec<Runs> {
    let takes_part = |one: &&Contestant| !mode.is_alone || one.name == WSBRIDGE;
    let contestants: Vec<&Contestant> = contestants.iter().filter(takes_part).collect();
    let mut spent = vec![Duration::ZERO; contestants.len()];
    let mut runs: Vec<Runs> = contestants
        .iter()
        .map(|one| Runs {
            contestant: one.name,
            rounds: Vec::new(),
            failure: None,
        })
        .collect();
    let relay = contestants.iter().position(|one| one.name == RELAY);
    for round in 0..rounds.min(mode.rounds) {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let (one, runs) = (contestants[at], &mut runs[at]);
            let usual = relay.map_or(Duration::ZERO, |relay| spent[relay]);
            let is_slow = !one.is_ours() && spent[at] > SLOW.max(TIMES_SLOWER * usual);
            if runs.failure.is_some() || is_slow {
                continue;
            }
            let start = Instant::now();
            let found = mode.run(lab, one);
            spent[at] += start.elapsed();
            match found {
                Ok(samples) => runs.rounds.push(samples),
                Err(error) => runs.failure = Some(format!("{error:#}")),
            }
        }
    }
    runs
}

/// Allows as many open files as the system does.
fn open_all_files() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    // Where it fails, idle connections say what they miss.
    let _ = setrlimit(Resource::Nofile, files);
}
