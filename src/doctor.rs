//! `wsbridge doctor`: how far one gets on the way to an endpoint, and why no further.

use std::future::poll_fn;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::caller::Caller;
use crate::columns::indented;
use crate::ending::{Cause, Close, Ending};
use crate::endpoint::Endpoint;
use crate::peer::{Event, MessageStream, MessageStreamExt, Notice, Opened, Stream, StreamFacts};
use crate::shown::Shown;
use crate::steps::{Step, Watch};

/// How long a pong is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for whether a server speaks first.
const GREETING: Duration = Duration::from_millis(300);
/// Columns before the words of a line.
const INDENT: usize = 28;

/// What is looked at.
pub struct Patient {
    /// What it is called, without secrets.
    pub name: String,
    /// The endpoint, which could be built.
    pub endpoint: Endpoint,
    /// Why it is not opened, where that would do something: start a program, take our stdin.
    pub is_left_alone: Option<&'static str>,
}

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();

/// What helps: the step that it is for, where it is for one, the cause, and the words.
type Advice = (Option<&'static str>, Cause, &'static str);

/// What helps where it stops.
const ADVICE: &[Advice] = &[
    (
        Some("listen"),
        Cause::Refused,
        "another program has it, or the address is none of this machine, or the port is for root alone (below 1024)",
    ),
    (
        None,
        Cause::NotResolved,
        "the name has no address here: is it spelled right, and does DNS answer? --resolve gives it one",
    ),
    (
        None,
        Cause::ProxyNotResolved,
        "the name of the proxy has no address here; --no-proxy goes without it",
    ),
    (
        Some("ping"),
        Cause::Refused,
        "it ends what it has opened: does it want a subprotocol (--protocol), another path, or to know who we are?",
    ),
    (
        Some("ping"),
        Cause::Timeout,
        "it neither speaks nor answers; a server that wants a subprotocol may stay silent without one: --protocol NAME",
    ),
    (
        Some("upgrade"),
        Cause::TlsCut,
        "it asked for a certificate of ours in the TLS handshake: --cert FILE and --key FILE are one",
    ),
    (
        None,
        Cause::Refused,
        "nobody listens there, or a firewall says so: does the server run, on this port and this address?",
    ),
    (
        None,
        Cause::Timeout,
        "no answer at all: a firewall that drops, or a server that hangs; --connect-timeout waits longer",
    ),
    (
        None,
        Cause::Proxy,
        "the proxy does not let us through; --proxy names another, --no-proxy goes without",
    ),
    (
        None,
        Cause::ProxyAway,
        "the proxy does not reach it now, or went away; --no-proxy goes without it",
    ),
    (
        None,
        Cause::Handshake,
        "something answers there that is no WebSocket server; over TLS it is wss://",
    ),
    (
        None,
        Cause::Tls,
        "it does not speak TLS as we do; without TLS it is ws:// or tcp:",
    ),
    (
        None,
        Cause::TlsCut,
        "does it speak TLS there? without TLS it is ws:// or tcp:",
    ),
    (
        None,
        Cause::OwnCertificate,
        "look at --cert and --key, and whom the server takes",
    ),
    (
        None,
        Cause::CaFile,
        "look at --cacert: certificates in PEM are wanted",
    ),
    (None, Cause::Busy, "it serves as many as it may already"),
];

/// Looks at an endpoint and writes a line for each step, its verdict in green or red where colours are seen; returns the exit
/// status.
///
/// # Errors
/// Where the lines can not be written.
pub async fn look(
    patient: &Patient,
    out: impl Write + Send + 'static,
    is_coloured: bool,
) -> io::Result<u8> {
    let out = Arc::new(Mutex::new(Lines {
        out: Box::new(out),
        failed: None,
    }));
    let write = {
        let out = out.clone();
        move |line: &str| {
            // Nothing panics while it is held.
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write(line);
        }
    };
    write(&patient.name);
    let watch = Watch::new({
        let write = write.clone();
        move |name, what, took| {
            let verdict = painted("ok", GREEN, is_coloured);
            write(&line(&verdict, name, what, took));
        }
    });
    let begun = Instant::now();
    let found = watch.over(examine(patient)).await;
    let status = match found {
        Ok(()) => 0,
        Err(error) => {
            let (step, took) = watch.broken().unwrap_or(("open", begun.elapsed()));
            let what = Cause::line(&error);
            let doing = ["connecting to", "listening on", "opening"];
            let mut doing = doing
                .iter()
                .map(|doing| format!("{doing} {}: ", patient.name));
            let bare = doing.find_map(|doing| what.strip_prefix(&doing));
            let mut lines = bare.unwrap_or(&what).lines();
            let verdict = painted("FAIL", RED, is_coloured);
            write(&line(
                &verdict,
                step,
                lines.next().unwrap_or_default(),
                took,
            ));
            lines.for_each(|line| write(&Shown::line(line).to_string()));
            let cause = Cause::of(&error);
            let mut rows = ADVICE.iter();
            let fits =
                |row: &&Advice| row.0.is_none_or(|name| name == step) && Some(row.1) == cause;
            if let Some((_, _, advice)) = rows.find(fits) {
                write(indented(advice, INDENT).trim_end());
            }
            cause.map_or(1, Cause::exit_status)
        }
    };
    let failed = out
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .failed
        .take();
    failed.map_or(Ok(status), Err)
}

struct Lines {
    out: Box<dyn Write + Send>,
    failed: Option<io::Error>,
}

impl Lines {
    fn write(&mut self, line: &str) {
        if self.failed.is_none() {
            let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
            self.failed = written.err();
        }
    }
}

/// A verdict in four columns.
fn painted(verdict: &str, style: Style, is_coloured: bool) -> String {
    match is_coloured {
        true => format!("{style}{verdict:4}{style:#}"),
        false => format!("{verdict:4}"),
    }
}

/// One step in lines: `  ok       1.2 ms  connect   127.0.0.1:80`.
fn line(verdict: &str, name: &str, what: &str, took: Duration) -> String {
    let took = took.as_secs_f64() * 1000.0;
    let head = format!("  {verdict} {took:7.1} ms  {name:8} ");
    // What a peer says is in it.
    let words = indented(&Shown::lines(what).to_string(), INDENT);
    head + words.trim()
}

async fn examine(patient: &Patient) -> Result<()> {
    if let Some(why) = patient.is_left_alone {
        Step::begin("found").done(|| why.to_owned());
        return Ok(());
    }
    match &patient.endpoint {
        Endpoint::Listen(inlet) => {
            let step = Step::begin("listen");
            let bound = inlet.listen.bind(None).await?;
            let whom = match bound.is_exposed {
                true => "other machines reach it",
                false => "this machine alone reaches it",
            };
            step.done(|| format!("{}; {whom}", bound.announcement()));
            Ok(())
        }
        Endpoint::Dial(outlet) => {
            let caller = Caller {
                half_closes: true,
                ..Caller::local()
            };
            let step = Step::begin("open");
            match outlet.dial.dial(&caller).await? {
                Opened {
                    stream: Stream::Messages(stream),
                    facts,
                } => {
                    step.done(|| "in all; it takes messages".to_owned());
                    ping(stream, &facts).await
                }
                Opened {
                    stream: Stream::Bytes(mut io),
                    ..
                } => {
                    step.done(|| "in all; it takes bytes".to_owned());
                    greeted(&mut io).await;
                    Ok(())
                }
            }
        }
    }
}

/// Says what a server of bytes says first, where it does.
async fn greeted(io: &mut (impl AsyncReadExt + Unpin)) {
    let mut buf = [0; 256];
    let step = Step::begin("greeting");
    let what = match timeout(GREETING, io.read(&mut buf)).await {
        Err(_) => "it waits for us to speak".to_owned(),
        Ok(Ok(0)) => "it ends the connection at once".to_owned(),
        Ok(Err(error)) => format!("it breaks the connection: {error}"),
        Ok(Ok(len)) => {
            let text = String::from_utf8_lossy(&buf[..len]);
            let first = text.lines().next().unwrap_or_default();
            format!(
                "'{}'",
                first.chars().take(48).collect::<String>().escape_debug()
            )
        }
    };
    step.done(|| what);
}

/// Says so where a server with which no subprotocol was agreed upon says nothing by itself.
async fn silent(stream: &mut dyn MessageStream) {
    let step = Step::begin("greeting");
    if timeout(GREETING, stream.next()).await.is_err() {
        step.done(|| {
            "it says nothing by itself; a server that wants a subprotocol may stay silent without one: --protocol NAME"
                .to_owned()
        });
    }
}

/// Sends a ping, waits for its pong, and closes.
async fn ping(mut stream: Box<dyn MessageStream>, facts: &StreamFacts) -> Result<()> {
    let step = Step::begin("ping");
    stream.notify(Notice::Prove(None));
    stream.notify(Notice::Probe);
    let Some(number) = stream.tally().asked else {
        step.done(|| "it has none".to_owned());
        return Ok(());
    };
    let mut messages = 0_u64;
    let pong = poll_fn(|cx| {
        let _ = stream.poll_flush(cx);
        while stream.tally().answered < number {
            match stream.poll_next(cx) {
                Poll::Ready(Event::End(ending)) => return Poll::Ready(Some(ending)),
                Poll::Ready(_) => messages += 1,
                Poll::Pending if stream.tally().answered < number => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(None)
    });
    let pong = timeout(PATIENCE, pong).await;
    match pong {
        Ok(None) => step.done(|| {
            let meanwhile = match messages {
                0 => String::new(),
                _ => format!(", and {messages} messages meanwhile"),
            };
            let half_close = match stream.tally().marks.map(|marks| marks.proof_wait) {
                None => "",
                Some(None) => "; half-close in force",
                Some(Some(_)) => "; half-close agreed, but a proxy on the way forgot it",
            };
            format!("pong{meanwhile}{half_close}")
        }),
        Ok(Some(ending)) => {
            return Err(anyhow::anyhow!(Cause::Refused).context(format!("it ends: {ending}")));
        }
        Err(_) => {
            let what = format!("no pong within {PATIENCE:?}");
            return Err(anyhow::anyhow!(Cause::Timeout).context(what));
        }
    }
    if messages == 0 && facts.protocol.as_deref() == Some("") {
        silent(&mut *stream).await;
    }
    let bye = Ending::Close(Close::new(1000, ""));
    let step = Step::begin("close");
    let closed = poll_fn(|cx| stream.poll_close(cx, &bye));
    if timeout(PATIENCE, closed).await.is_ok() {
        step.done(|| "Close 1000".to_owned());
    }
    Ok(())
}
