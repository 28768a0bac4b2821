//! TLS: wsbridge beside nginx's stream module and a plain relay of our own with rustls, in turn, each stream verified.
//!
//! `cargo bench --bench tls`, with `--help` behind `--` for what it takes. All show the same certificate (ECDSA P-256) and
//! speak TLS 1.3 with the one cipher that the load generator offers. So that what is measured is not the generator: what it
//! sends is encrypted before the clock starts, and what it receives is decrypted and verified after the clock has stopped.
//!
//! `wsbridge` is `wss-l:` before `tcp:`, `wsbridge-tls` is `tls-l:`, which like the others carries the payload without
//! frames. Ratios are to the relay of the same round and to nginx. Processor time is of the contestant alone.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod bulk;
mod caller;
mod connections;
#[path = "../relay/content.rs"]
mod content;
mod contestant;
#[path = "../relay/digest.rs"]
mod digest;
#[path = "../relay/flow.rs"]
mod flow;
#[path = "../relay/frame.rs"]
mod frame;
#[path = "../relay/goal.rs"]
mod goal;
#[path = "../relay/handshake.rs"]
mod handshake;
mod idle;
#[path = "../relay/lab.rs"]
mod lab;
#[path = "../relay/link.rs"]
mod link;
#[path = "../relay/machine.rs"]
mod machine;
mod mode;
mod options;
mod plain;
#[path = "../relay/process.rs"]
mod process;
#[path = "../relay/relay.rs"]
mod relay;
#[path = "../relay/report.rs"]
mod report;
mod scene;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use mode::{MODES, Mode};
use options::Options;
use report::{Row, Runs};
use scene::Scene;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let child = relay::run(&args).or_else(|| plain::run(&args));
    let result = match child {
        Some(result) => result.map(|()| true),
        // `cargo test --benches` does not ask for figures.
        None if args.iter().all(|arg| arg != "--bench") => check().map(|()| true),
        None => Options::parse(&args).and_then(|options| measure(&options)),
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

/// Runs what is ours in every mode with little load, and once expects other bytes than those that are sent.
fn check() -> Result<()> {
    let mut scene = Scene::new(Options::default().cipher, 4, 8, Duration::ZERO)?;
    for mode in MODES {
        for one in contestant::OURS {
            let found = mode.run(&scene, one);
            found.with_context(|| format!("{}, {}", mode.name, one.name))?;
        }
    }
    scene.damage();
    for mode in MODES {
        let found = mode.run(&scene, &contestant::OURS[0]);
        ensure!(found.is_err(), "{}: damage is not noticed", mode.name);
    }
    println!("the verification notices damage; for figures: cargo bench --bench tls");
    Ok(())
}

/// Measures all that was asked for; returns whether nothing of ours failed.
fn measure(options: &Options) -> Result<bool> {
    let scene = Scene::new(options.cipher, options.mib, options.pairs, options.time)?;
    let (contestants, missing) = contestant::find_all(&options.without);
    println!(
        "{} on {}, {}",
        report::head(),
        machine::processor(),
        options.cipher.name()
    );
    let mut rows: Vec<Row> = Vec::new();
    let is_wanted = |mode: &&Mode| {
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|name| mode.name.starts_with(name))
    };
    for mode in MODES.iter().filter(is_wanted) {
        let mut runs: Vec<Runs> = contestants
            .iter()
            .map(|one| Runs {
                contestant: one.name,
                rounds: Vec::new(),
                failure: None,
            })
            .collect();
        for round in 0..options.rounds.min(mode.rounds) {
            let mut order: Vec<usize> = (0..contestants.len()).collect();
            // Who is measured first is another one each time.
            order.rotate_left(round % contestants.len());
            for at in order {
                let runs = &mut runs[at];
                if runs.failure.is_none() {
                    match mode.run(&scene, &contestants[at]) {
                        Ok(samples) => runs.rounds.push(Some(samples)),
                        Err(error) => runs.failure = Some(format!("{error:#}")),
                    }
                }
            }
        }
        let found = report::rows(mode.name, mode.goals, &runs);
        found.iter().for_each(|row| println!("{}", row.line()));
        rows.extend(found);
    }
    missing.iter().for_each(|line| println!("{line}"));
    std::fs::write(&options.json, report::json(&rows, &missing, options.rounds))
        .with_context(|| format!("writing {}", options.json.display()))?;
    println!("JSON: {}", options.json.display());
    Ok(!rows.iter().any(Row::is_our_failure))
}
