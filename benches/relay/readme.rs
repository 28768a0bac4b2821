//! The figures as a short table in Markdown, for README.

use std::fmt::Write;

use crate::contestant::{RELAY, WSBRIDGE};
use crate::machine;
use crate::report::{Figures, Row};

/// The columns, of those who took part.
const COLUMNS: &[(&str, &str)] = &[
    (WSBRIDGE, "wsbridge"),
    (RELAY, "plain TCP relay"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("websocat4", "websocat 4"),
    ("websocat1", "websocat 1"),
    ("wstunnel", "wstunnel"),
];

/// What a cell says.
#[derive(Clone, Copy)]
enum Cell {
    /// The ratios to the relay, of the figure and of processor time; the relay's figure itself.
    Ratio,
    /// The figure itself.
    Value,
}
use Cell::{Ratio, Value};

/// The lines, by the mode and what it is called here.
const LINES: &[(&str, &str, Cell)] = &[
    ("to-tcp/server/64B", "ws → tcp, 64 B messages", Ratio),
    ("to-tcp/server/1KiB", "ws → tcp, 1 KiB", Ratio),
    ("to-tcp/server/64KiB", "ws → tcp, 64 KiB", Ratio),
    ("to-tcp/server/1MiB", "ws → tcp, 1 MiB", Ratio),
    ("to-tcp/client/64KiB", "ws → tcp, 64 KiB, as client", Ratio),
    ("from-tcp/server/64KiB", "tcp → ws, 64 KiB", Ratio),
    (
        "from-tcp/client/64KiB",
        "tcp → ws, 64 KiB, as client",
        Ratio,
    ),
    ("chain/64KiB", "two bridges in a row, 64 KiB", Ratio),
    ("parallel x16", "16 connections, 64 KiB", Ratio),
    ("ws-ws/text/16B", "ws → ws, texts of 15 B", Value),
    ("ws-lines/16B", "ws → stdout, lines of 16 B", Value),
    ("lines-ws/16B", "stdin → ws, lines of 16 B", Value),
    ("ping/64B p50", "round trip, 64 B, median", Ratio),
    ("ping/16KiB p50", "round trip, 16 KiB, median", Ratio),
    ("connections", "handshake, echo, close", Value),
    ("start-up", "one-shot client", Value),
    ("idle/5000 fresh", "memory of an idle connection", Value),
    ("idle/5000 used", "the same, after 64 KiB", Value),
];

/// Makes the table.
pub fn table(rows: &[Row], rounds: usize) -> String {
    let columns = COLUMNS
        .iter()
        .filter(|(name, _)| rows.iter().any(|row| row.contestant == *name));
    let mut head = String::from("|");
    let mut rule = String::from("|---");
    for (_, title) in columns.clone() {
        let _ = write!(head, " | {title}");
        rule += "|---:";
    }
    let mut table = format!("{head} |\n{rule}|\n");
    for (mode, title, cell) in LINES {
        let of_mode = rows.iter().filter(|row| row.mode == *mode);
        let of_mode: Vec<&Row> = of_mode.collect();
        if of_mode.is_empty() {
            continue;
        }
        let _ = write!(table, "| {title}");
        for (name, _) in columns.clone() {
            let row = of_mode.iter().find(|row| row.contestant == *name);
            let figures = row.and_then(|row| row.figures.as_ref());
            let text = figures.map_or_else(
                || if row.is_some() { "fails" } else { "" }.to_owned(),
                |figures| text(figures, *cell, *name == RELAY),
            );
            let _ = write!(table, " | {text}");
        }
        table += " |\n";
    }
    let _ = write!(
        table,
        "\n`cargo bench --bench relay -- --readme` on {}, {} cores, Linux {}, {}; medians of {rounds} rounds. Two numbers are \
         the throughput (of a round trip: the time) and the processor time per unit, both as multiples of the relay's.\n",
        machine::processor(),
        machine::cores(),
        machine::kernel(),
        machine::date(),
    );
    table
}

fn text(figures: &Figures, cell: Cell, is_relay: bool) -> String {
    match (cell, figures.ratio, figures.cpu_ratio) {
        (Ratio, Some(ratio), Some(cpu)) if !is_relay => format!("{ratio:.2} / {cpu:.2}"),
        (Ratio, Some(ratio), None) if !is_relay => format!("{ratio:.2}"),
        _ => value(figures),
    }
}

/// The figure with its unit, in three digits or so.
fn value(figures: &Figures) -> String {
    let (value, unit) = match figures.unit {
        "messages/s" => (figures.value / 1e6, "M/s"),
        "MiB/s" => (figures.value / 1024.0, "GiB/s"),
        "conn/s" => (figures.value / 1e3, "k/s"),
        "KiB/idle" => (figures.value, "KiB"),
        unit => (figures.value, unit),
    };
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}
