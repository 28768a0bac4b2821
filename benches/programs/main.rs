//! Programs behind a WebSocket server, wsbridge beside websocketd: starts, lines and bytes in a second, all verified.
//!
//! `cargo bench --bench programs`, with `--help` behind `--` for what it takes. The two take turns, every other round
//! backwards; all figures are medians over the rounds, ratios are within a round. Both have an environment of PATH alone:
//! with a LANG, which only wsbridge passes on, a program reads its locale first.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

#[path = "../relay/content.rs"]
mod content;
#[path = "../relay/digest.rs"]
mod digest;
mod figure;
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
mod server;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use figure::{FIGURES, Figure, Rate};
use server::Server;

const USAGE: &str = "\
usage: cargo bench --bench programs -- [OPTIONS]
  --rounds N         rounds of each figure (5)
  --time SECONDS     how long one run lasts at least (1)
  --only NAME        only figures whose names begin so
  --echo PROGRAM     what is started for its one line `up`, in place of echo: a small one shows more of the servers
WSBRIDGE=path measures another binary.";

struct Options {
    rounds: usize,
    time: Duration,
    only: String,
    echo: String,
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
        time: Duration::from_secs(1),
        only: String::new(),
        echo: "echo".to_owned(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
            "--time" => {
                options.time = Duration::from_secs_f64(value()?.parse::<f64>()?.clamp(0.05, 60.0));
            }
            "--only" => options.only.clone_from(value()?),
            "--echo" => options.echo.clone_from(value()?),
            "--bench" => {}
            "--help" | "-h" => bail!("{USAGE}"),
            other => bail!("unknown option {other}\n{USAGE}"),
        }
    }
    Ok(options)
}

/// Starts every program once, and once expects what it does not say.
fn check() -> Result<()> {
    let server = Server::wsbridge();
    for figure in FIGURES {
        let mut expected = figure.expected();
        figure.run(&server, "echo", &expected, Duration::ZERO)?;
        expected.damage();
        let found = figure.run(&server, "echo", &expected, Duration::ZERO);
        ensure!(found.is_err(), "{}: damage is not noticed", figure.name);
    }
    println!("the verification notices damage; for figures: cargo bench --bench programs");
    Ok(())
}

fn measure(options: &Options) -> Result<()> {
    let servers = [Server::wsbridge(), Server::websocketd()?];
    println!(
        "figure, wsbridge, websocketd, ratio (goal), cpu of one with its program in us: {}, {} cores, Linux {}, {}",
        machine::processor(),
        machine::cores(),
        machine::kernel(),
        machine::date()
    );
    let wanted = FIGURES
        .iter()
        .filter(|figure| figure.name.starts_with(&options.only));
    for figure in wanted {
        println!("{}", line(figure, &servers, options));
    }
    Ok(())
}

/// Measures one figure in turn, and says what was found.
fn line(figure: &Figure, servers: &[Server; 2], options: &Options) -> String {
    let expected = figure.expected();
    let mut rounds: Vec<[Rate; 2]> = Vec::new();
    for round in 0..options.rounds {
        let run = |server| figure.run(server, &options.echo, &expected, options.time);
        let found = match round % 2 {
            0 => (run(&servers[0]), run(&servers[1])),
            _ => {
                let last = run(&servers[1]);
                (run(&servers[0]), last)
            }
        };
        match found {
            (Ok(ours), Ok(theirs)) => rounds.push([ours, theirs]),
            // Who loses data has no figure.
            (Err(error), _) => return format!("{:12} wsbridge: {error:#}", figure.name),
            (_, Err(error)) => return format!("{:12} websocketd: {error:#}", figure.name),
        }
    }
    let of = |of: fn(&[Rate; 2]) -> f64| median(rounds.iter().map(of).collect());
    let ratio = of(|[ours, theirs]| ours.value / theirs.value);
    let verdict = if ratio >= figure.goal { "ok" } else { "MISS" };
    format!(
        "{:12} {:9.3} {:9.3} {:6} {ratio:5.2} ({:.1} {verdict}) {:9.3} {:9.3}",
        figure.name,
        of(|[ours, _]| ours.value) / figure.scale,
        of(|[_, theirs]| theirs.value) / figure.scale,
        figure.unit,
        figure.goal,
        of(|[ours, _]| ours.cpu) * 1e6,
        of(|[_, theirs]| theirs.cpu) * 1e6,
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
