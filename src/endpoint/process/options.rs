//! What is asked for of programs, as options.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::address::{number, parse_duration};
use crate::secret::Assignment;

/// Options of everything that runs a program.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Programs")]
pub struct Options {
    /// Give each program a terminal of its own
    ///
    /// Bytes go both ways as they are, in binary messages. Its size is in the query, ?cols=120&rows=40; with &resize=1 too a
    /// text message such as {"cols":120,"rows":40} resizes it, and only binary ones are input.
    #[arg(long)]
    pub pty: bool,
    /// What becomes of a program's stderr (default: inherit with stdin, else log)
    ///
    /// With json, which goes with --framing json, a caller can tell it from stdout: a line of stderr is an object of its own
    /// between the program's, {"kind":"stderr","text":"..."}, with "base64" where it is not UTF-8 and in pieces of 32 KiB. A
    /// WebSocket gets it as a text message. Else a program never waits for its stderr to be read. The log cuts lines at 8 KiB
    /// and takes 100 of them a second from each program; how many more there were is logged too.
    #[arg(long, value_enum, value_name = "HOW")]
    pub stderr: Option<Stderr>,
    /// Give a program this time to end by itself, and again after TERM
    ///
    /// When its caller has gone its stdin ends; after this time its process group is sent TERM, and after it again KILL. So is
    /// what a program leaves behind in its group, once nothing has come of it for this time; what calls setsid leaves the
    /// group, and lives on. A terminal hangs up at once.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub kill_after: Duration,
    /// Run this many programs at a time; a further caller gets HTTP 503
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = number(1..=u32::MAX))]
    pub max_children: u32,
    /// Give programs this header of the request, as WSBRIDGE_HTTP_NAME
    #[arg(long, value_name = "NAME", alias = "header-to-env")]
    pub env_header: Vec<String>,
    /// Give programs this variable too: NAME from our environment, or NAME=VALUE
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<Assignment>,
    /// Name the caller and its URI in WEBSOCAT_CLIENT and WEBSOCAT_URI too, as websocat does
    #[arg(long, short = 'e', hide_short_help = true)]
    pub set_environment: bool,
    /// Let callers from other machines start programs
    #[arg(long)]
    pub allow_remote_exec: bool,
}

/// What becomes of a program's stderr.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// It is ours.
    Inherit,
    /// Nobody reads it.
    Null,
    /// Its lines are logged.
    Log,
    /// It goes where stdout goes.
    Merge,
    /// Its lines come between those of stdout, each as {"kind":"stderr","text":"..."}; with --framing json.
    Json,
}
