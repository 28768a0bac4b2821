//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::caller::Cipher;

pub const USAGE: &str = "\
usage: cargo bench --bench tls -- [OPTIONS]
  --rounds N         rounds of each mode (9)
  --only MODE,...    only modes whose names begin so: to-tcp/64KiB, to-tcp/1KiB, from-tcp/64KiB, connections, idle
  --without NAME     leave out a contestant (repeatable)
  --mib N            how much one run carries, in MiB (512)
  --time SECONDS     how long connections are made (1)
  --pairs N          idle connections (500)
  --cipher NAME      of TLS 1.3: aes128, aes256, chacha20 (aes128, which browsers ask for first)
  --json FILE        where the figures go (target/tmp/tls.json)
WSBRIDGE=path measures another binary; RELAY_STDERR=1 shows what contestants complain of.";

/// What was asked for.
pub struct Options {
    pub rounds: usize,
    pub only: Vec<String>,
    pub without: Vec<String>,
    pub mib: u64,
    pub time: Duration,
    pub pairs: usize,
    pub cipher: Cipher,
    pub json: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rounds: 9,
            only: Vec::new(),
            without: Vec::new(),
            mib: 512,
            time: Duration::from_secs(1),
            pairs: 500,
            cipher: Cipher::Aes128,
            json: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tls.json"),
        }
    }
}

impl Options {
    /// Reads the arguments.
    pub fn parse(args: &[String]) -> Result<Options> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--without" => options.without.push(value()?.clone()),
                "--mib" => options.mib = value()?.parse::<u64>()?.clamp(1, 4096),
                "--time" => {
                    let seconds = value()?.parse::<f64>()?.clamp(0.05, 60.0);
                    options.time = Duration::from_secs_f64(seconds);
                }
                "--pairs" => options.pairs = value()?.parse::<usize>()?.clamp(1, 10_000),
                "--cipher" => options.cipher = Cipher::named(value()?)?,
                "--json" => options.json = PathBuf::from(value()?),
                "--bench" => {}
                "--help" | "-h" => bail!("{USAGE}"),
                other => bail!("unknown option {other}\n{USAGE}"),
            }
        }
        Ok(options)
    }
}
