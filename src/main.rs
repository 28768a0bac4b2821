//! The process edge: parses, sets up logging and the runtime, and turns an outcome into an exit status.

#[cfg(target_os = "linux")]
mod closed;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::{ExitCode, Stdio, exit};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use wsbridge::bridge::{self, Plan};
use wsbridge::child;
use wsbridge::cli::{self, Args, LogFormat};
use wsbridge::doctor::{self, Patient};
use wsbridge::ending::{Cause, Stop};
use wsbridge::progress;
use wsbridge::shown::{self, Shown};
use wsbridge::variables::Variables;
use wsbridge::workers;

fn main() -> ExitCode {
    let (mut args, matches) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error),
    };
    args.variables = Variables::of(std::env::vars_os());
    match args.page() {
        Ok(None) => {}
        Ok(Some(page)) => return show(&page, &args.variables),
        Err(error) => return refuse(&error),
    }
    match args.explanation(&matches) {
        Ok(None) => {}
        Ok(Some(page)) => return show(&page, &args.variables),
        Err(error) => {
            report(&error);
            return ExitCode::from(cli::exit_status(&error));
        }
    }
    start_logging(&args);
    match args.patients(&matches) {
        Ok(None) => {}
        Ok(Some(patients)) => return examine(&patients, &args.variables),
        Err(error) => {
            report(&error);
            return ExitCode::from(cli::exit_status(&error));
        }
    }
    // A bug of ours ends one session, in one line; the others go on.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("a session failed by a bug: {panic}");
    }));
    let result = args.plan(&matches).and_then(|plan| {
        let runtime = workers::runtime()?;
        let status = runtime.block_on(async { bridge::run(&plan, signals(&plan)?).await });
        // A thread may be blocked in a read of stdin for ever.
        runtime.shutdown_background();
        status
    });
    restore_terminal();
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            match args.log_format {
                LogFormat::Json => tracing::error!("{}", words(&error)),
                LogFormat::Text => report(&error),
            }
            ExitCode::from(cli::exit_status(&error))
        }
    }
}

/// Looks at endpoints; the exit status is that of the first that fails.
fn examine(patients: &[Patient], variables: &Variables) -> ExitCode {
    let is_set = |name| variables.get(name).is_some_and(|value| !value.is_empty());
    let is_coloured = std::io::stdout().is_terminal() && !is_set("NO_COLOR");
    let looked = workers::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let mut status = 0;
            for patient in patients {
                let found = doctor::look(patient, std::io::stdout(), is_coloured).await?;
                status = if status == 0 { found } else { status };
            }
            Ok(status)
        })
    });
    match looked {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            report(&error.into());
            ExitCode::from(23)
        }
    }
}

/// Shows a page: through a pager at a terminal.
fn show(page: &str, variables: &Variables) -> ExitCode {
    let pager = variables.get("PAGER").unwrap_or("less -FRX");
    let pager = if std::io::stdout().is_terminal() {
        pager
    } else {
        ""
    };
    let mut words = pager.split_whitespace();
    if let Some(program) = words.next() {
        let mut command = std::process::Command::new(program);
        if let Ok(mut child) = command.args(words).stdin(Stdio::piped()).spawn() {
            if let Some(mut stdin) = child.stdin.take() {
                // Whoever has read enough has left.
                let _ = stdin.write_all(page.as_bytes());
            }
            let _ = child.wait();
            return ExitCode::SUCCESS;
        }
    }
    match std::io::stdout().write_all(page.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "wsbridge: writing to stdout: {error}");
            ExitCode::from(23)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Watches for the signals that stop: the first asks for a graceful stop, the second ends at once. One that was ignored when
/// we were started (nohup, a shell's background job) stays so, and SIGHUP is left to a listener that reads its files again.
fn signals(plan: &Plan) -> std::io::Result<watch::Receiver<Option<Stop>>> {
    let (stop, stopped) = watch::channel(None);
    let stop = Arc::new(stop);
    for (kind, why) in [
        (SignalKind::hangup(), Stop::HangUp),
        (SignalKind::interrupt(), Stop::Interrupt),
        (SignalKind::terminate(), Stop::Terminate),
    ] {
        let reloads = plan.left.reloads() || plan.right.reloads();
        if is_ignored(kind) || (why == Stop::HangUp && reloads) {
            continue;
        }
        let (mut signal, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if stop.borrow().is_some() {
                    restore_terminal();
                    child::kill_all();
                    exit(i32::from(why.exit_status()));
                }
                stop.send_replace(Some(why));
            }
        });
    }
    Ok(stopped)
}

/// Whether a signal is ignored, as far as the system tells (proc_pid_status(5)).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Leaves the terminal as it was found.
fn restore_terminal() {
    #[cfg(feature = "interactive")]
    wsbridge::endpoint::prompt::restore();
}

/// Stderr, but what a prompt shows goes around the line that is typed.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        #[cfg(feature = "interactive")]
        if std::io::stderr().is_terminal()
            && wsbridge::endpoint::prompt::show(&String::from_utf8_lossy(bytes))
        {
            return Ok(bytes.len());
        }
        progress::aside(|| std::io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Says what is wrong with the command line, or shows what it asks for.
fn refuse(error: &clap::Error) -> ExitCode {
    match cli::line(error) {
        None => error.exit(),
        // Where stderr is gone nobody is left to tell.
        Some(line) => drop(writeln!(
            std::io::stderr(),
            "wsbridge: {}",
            Shown::lines(&line)
        )),
    }
    ExitCode::from(2)
}

fn report(error: &anyhow::Error) {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        refuse(error);
        return;
    }
    let _ = writeln!(std::io::stderr(), "wsbridge: {}", words(error));
}

fn words(error: &anyhow::Error) -> String {
    let usage = error.downcast_ref::<clap::Error>().and_then(cli::line);
    let words = usage.unwrap_or_else(|| Cause::parts(error).join(": "));
    Shown::lines(&words).to_string()
}

fn start_logging(args: &Args) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::INFO,
        (_, 1) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(|| Log)
        // Where stderr is gone there is nobody to tell of it.
        .log_internal_errors(false)
        .with_max_level(level);
    match args.log_format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_target(false)
            .map_event_format(Object)
            .init(),
        LogFormat::Text => builder.with_ansi(false).event_format(Line).init(),
    }
}

/// Lines as other tools write them: `wsbridge: listening on ...`, the level only where it is a warning.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let level = match *event.metadata().level() {
            tracing::Level::WARN => "warning: ",
            _ => "",
        };
        let mut line = String::new();
        context.format_fields(Writer::new(&mut line), event)?;
        // What a peer says is in it.
        writeln!(writer, "wsbridge: {level}{}", Shown::lines(&line))
    }
}

/// Lines as another format makes them, each an object of JSON.
struct Object<F>(F);

impl<S, N, F> FormatEvent<S, N> for Object<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&shown::json_line(&line))
    }
}
