//! What the program says of itself on one screen: `-h`.

use std::fmt::Write;

use clap::Command;

use super::examples::EXAMPLES;

/// How it is called, in the ways that there are.
pub const USAGE: &str = "\
wsbridge LEFT RIGHT              join two; a listening LEFT serves many
       wsbridge LEFT -- PROGRAM ARGS    a program for each caller
       wsbridge ADDRESS                 the other side is stdin and stdout";

/// The endpoints that people begin with.
const ENDPOINTS: &str = "
Endpoints:
  ws://HOST/PATH  wss://HOST/PATH  a WebSocket server to connect to
  ws-l:PORT  wss-l:PORT            serve WebSockets; on loopback, or *:PORT
  tcp:HOST:PORT  tcp-l:PORT        and tls: unix: udp: and their -l
  -  exec:PROGRAM  file:PATH       and hub: echo: reconnect: ...
";

/// Where more is said.
const MORE: &str = "
wsbridge --help                    every option
wsbridge help [TOPIC]              addresses, framing, endings, security ...
wsbridge --explain LEFT RIGHT      what that would do, in words
wsbridge doctor ADDRESS            how far one gets there, and why no further
";

/// The options that people begin with, and what they do in the room that there is.
const USUAL: &[(&str, &str)] = &[
    ("text", "lines as text messages"),
    ("binary", "bytes as binary messages"),
    ("header", "send this header too"),
    ("origin", "let pages of this origin connect"),
    ("insecure", "trust any server"),
    ("no-close", "stay when stdin has ended"),
    ("one-message", "one message each way, then end"),
    ("reconnect", "connect again when it is lost"),
    ("dump", "show on stderr what passes"),
    ("verbose", "say more"),
];

/// How many examples there is room for.
const EXAMPLES_SHOWN: usize = 5;

/// The version, what was built in, and for what.
pub fn version() -> String {
    let features: Vec<_> = [
        ("interactive", cfg!(feature = "interactive")),
        ("aws-lc", cfg!(feature = "aws-lc")),
    ]
    .iter()
    .filter_map(|(name, is_on)| is_on.then_some(*name))
    .collect();
    let features = match features.join(" ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    };
    format!(
        "{}\nfeatures: {features}\nbuild: {} for {} {}",
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// One screen of help: at most 40 lines of 80 columns.
pub fn short(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string);
    let mut text = format!(
        "{}\n\nUsage: {USAGE}\n\nExamples:\n",
        about.unwrap_or_default()
    );
    for (line, what) in EXAMPLES.iter().take(EXAMPLES_SHOWN) {
        // Writing to a string can not fail.
        let _ = writeln!(text, "  {line:41}  {what}");
    }
    text += ENDPOINTS;
    text += "\nOptions:\n";
    for (name, what) in USUAL {
        let found = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name));
        let Some(arg) = found else { continue };
        let short = arg.get_short();
        let short = short.map_or("    ".to_owned(), |it| format!("-{it}, "));
        let value = match arg.get_value_names() {
            Some([value, ..]) if arg.get_action().takes_values() => {
                format!(" {}", value.replace(' ', ""))
            }
            _ => String::new(),
        };
        let _ = writeln!(text, "  {:31}  {what}", format!("{short}--{name}{value}"));
    }
    text += MORE;
    text
}
