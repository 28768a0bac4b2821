//! The process edge: parses, sets up logging and the runtime, and turns an outcome into an exit status.

#[cfg(target_os = "linux")]
mod closed;
mod signals;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use wsbridge::bridge;
use wsbridge::child;
use wsbridge::cli::{self, Args, LogFormat};
use wsbridge::doctor::{self, Patient};
use wsbridge::ending::Cause;
use wsbridge::log;
use wsbridge::shown::{self, Shown};
use wsbridge::variables::Variables;
use wsbridge::workers;

/// How long the end of the program waits for the log at most.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Has what waits in the log written, whichever way `main` is left.
struct Log;

impl Drop for Log {
    fn drop(&mut self) {
        log::finish(LAST_LINES);
    }
}

fn main() -> ExitCode {
    if let Err(error) = log::start(show_above) {
        // Nothing runs yet that would have to wait.
        let _ = writeln!(std::io::stderr(), "wsbridge: starting a thread: {error}");
        return ExitCode::FAILURE;
    }
    let _log = Log;
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
    let world = args.world();
    match args.explanation(&matches, &world) {
        Ok(None) => {}
        Ok(Some(page)) => return show(&page, &args.variables),
        Err(error) => {
            report(&error);
            return ExitCode::from(cli::exit_status(&error));
        }
    }
    start_logging(&args);
    match args.patients(&matches, &world) {
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
    let result = args.plan(&matches, &world).and_then(|plan| {
        let runtime = workers::runtime()?;
        let status = runtime.block_on(async {
            signals::watch(&plan, &world)?;
            tokio::spawn(child::reap_orphans(vec![world.children.clone()]));
            bridge::run(&plan, &world).await
        });
        // A thread may be blocked in a read of stdin for ever.
        runtime.shutdown_background();
        status
    });
    restore_terminal();
    log::take_all();
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
            say(&format!("writing to stdout: {error}"));
            ExitCode::from(23)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Leaves the terminal as it was found.
fn restore_terminal() {
    #[cfg(feature = "interactive")]
    wsbridge::endpoint::prompt::restore();
}

/// Shows a line above the prompt, where there is one.
fn show_above(line: &str) -> bool {
    #[cfg(feature = "interactive")]
    return wsbridge::endpoint::prompt::show(line);
    #[cfg(not(feature = "interactive"))]
    {
        let _ = line;
        false
    }
}

/// Puts lines into the log, which never waits.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        log::line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Says what is wrong with the command line, or shows what it asks for.
fn refuse(error: &clap::Error) -> ExitCode {
    match cli::line(error) {
        None => error.exit(),
        Some(line) => say(&Shown::lines(&line).to_string()),
    }
    ExitCode::from(2)
}

fn report(error: &anyhow::Error) {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        refuse(error);
        return;
    }
    say(&words(error));
}

/// Puts a line into the log that is a text whatever the format.
fn say(line: &str) {
    log::line(format!("wsbridge: {line}\n").as_bytes());
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
        .with_writer(|| Lines)
        // What it cannot write it cannot tell either.
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
