//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub const USAGE: &str = "\
usage: cargo bench --bench relay -- [OPTIONS]
  --rounds N         rounds of each mode (5)
  --quick            wsbridge and the relay only, short runs: about two minutes
  --only MODE,...    only modes whose names begin so: to-tcp/server/64KiB, ping, idle ...
  --without NAME     leave out a contestant (repeatable)
  --readme           ends with a short table in Markdown
  --json FILE        where the figures go (target/tmp/relay.json)
  --time SECONDS     how long one run sends (0.25; 0.15 with --quick)
  --stall SECONDS    how long a stalled reader does not read (60; 3 with --quick)
  --generator        only what the load generator's sink takes by itself
  --list             name the modes and the contestants
WSBRIDGE=path measures another binary; RELAY_STDERR=1 shows what contestants complain of.";

/// What was asked for.
pub struct Options {
    pub rounds: usize,
    pub is_quick: bool,
    pub only: Vec<String>,
    pub without: Vec<String>,
    pub is_for_readme: bool,
    pub json: PathBuf,
    pub time: Duration,
    pub stall: Duration,
    pub lists: bool,
    pub is_alone: bool,
}

impl Options {
    /// Reads the arguments.
    pub fn parse(args: &[String]) -> Result<Options> {
        let is_quick = args.iter().any(|arg| arg == "--quick");
        let mut options = Options {
            rounds: 5,
            is_quick,
            only: Vec::new(),
            without: Vec::new(),
            is_for_readme: false,
            json: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("relay.json"),
            time: Duration::from_secs_f64(if is_quick { 0.15 } else { 0.25 }),
            stall: Duration::from_secs(if is_quick { 3 } else { 60 }),
            lists: false,
            is_alone: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--without" => options
                    .without
                    .extend(value()?.split(',').map(str::to_owned)),
                "--json" => options.json = PathBuf::from(value()?),
                "--time" => options.time = seconds(value()?)?,
                "--stall" => options.stall = seconds(value()?)?,
                "--readme" => options.is_for_readme = true,
                "--list" => options.lists = true,
                "--generator" => options.is_alone = true,
                "--quick" | "--bench" => {}
                "--help" | "-h" => bail!("{USAGE}"),
                other => bail!("unknown option {other}\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse().context("a number of seconds is needed")?;
    Ok(Duration::from_secs_f64(seconds.clamp(0.05, 300.0)))
}
