//! What was found: medians, ratios to the relay of the same round, the table and the JSON.

use std::fmt::Write;

use crate::contestant::{RELAY, WSBRIDGE};
use crate::goal::{self, Goal};
use crate::lab::Sample;
use crate::machine;

/// All rounds of one contestant in one mode.
pub struct Runs {
    pub contestant: &'static str,
    /// By round.
    pub rounds: Vec<Option<Vec<Sample>>>,
    pub failure: Option<String>,
}

/// One line of the table.
pub struct Row {
    pub mode: String,
    pub contestant: &'static str,
    /// Why there are no figures.
    failure: Option<String>,
    pub figures: Option<Figures>,
    verdict: Option<bool>,
    /// Ratios to others than the relay.
    notes: Vec<String>,
}

/// The medians of one figure.
pub struct Figures {
    pub unit: &'static str,
    cpu_unit: &'static str,
    pub value: f64,
    pub ratio: Option<f64>,
    cpu: Option<f64>,
    pub cpu_ratio: Option<f64>,
    /// KiB.
    peak: u64,
    values: Vec<f64>,
}

/// Makes the lines of one mode.
pub fn rows(mode: &str, goals: &[Goal], runs: &[Runs]) -> Vec<Row> {
    let parts = runs.iter().flat_map(|runs| runs.rounds.iter().flatten());
    let parts = parts.map(|samples| samples.len()).max().unwrap_or(1);
    let lines = (0..parts).flat_map(|part| runs.iter().map(move |runs| (part, runs)));
    lines
        .filter_map(|(part, one)| row(mode, goals, part, one, runs))
        .collect()
}

fn row(mode: &str, goals: &[Goal], part: usize, runs: &Runs, all: &[Runs]) -> Option<Row> {
    let figures = figures(part, runs, find(all, RELAY));
    if figures.is_none() && (runs.failure.is_none() || part > 0) {
        return None;
    }
    let name = figures.as_ref().map_or("", |(name, _)| *name);
    let figures = figures.map(|(_, figures)| figures);
    let goals = goals.iter().filter(|goal| goal.part == name);
    let goals = goals.filter(|_| runs.contestant == WSBRIDGE);
    let judged = goals.filter_map(|goal| judge(goal, part, runs, all));
    let (verdicts, notes): (Vec<_>, Vec<_>) = judged.unzip();
    Some(Row {
        mode: match name {
            "" => mode.to_owned(),
            part => format!("{mode} {part}"),
        },
        contestant: runs.contestant,
        failure: runs.failure.clone(),
        figures,
        verdict: goal::all(verdicts),
        notes: notes.into_iter().flatten().collect(),
    })
}

fn find<'a>(all: &'a [Runs], contestant: &str) -> Option<&'a Runs> {
    all.iter().find(|runs| runs.contestant == contestant)
}

/// Whether a goal is reached, and what it was compared with other than the relay.
fn judge(
    goal: &Goal,
    part: usize,
    runs: &Runs,
    all: &[Runs],
) -> Option<(Option<bool>, Option<String>)> {
    let (_, figures) = figures(part, runs, find(all, goal.over))?;
    let relay = find(all, RELAY).and_then(|relay| self::figures(part, relay, None));
    let relay = relay.map(|(_, relay)| relay.value);
    let ratios = [figures.ratio, figures.cpu_ratio];
    let verdict = goal.is_reached(figures.value, relay, is_rate(part, runs), ratios);
    let note = figures.ratio.filter(|_| goal.over != RELAY).map(|ratio| {
        let cpu = number(figures.cpu_ratio, 2);
        format!("{ratio:.2} x {}, cpu {cpu}", goal.over)
    });
    Some((verdict, note))
}

fn is_rate(part: usize, runs: &Runs) -> bool {
    let mut samples = runs.rounds.iter().flatten();
    samples.any(|samples| samples.get(part).is_some_and(|sample| sample.is_rate))
}

/// The medians of a part, with ratios to `base`.
fn figures(part: usize, runs: &Runs, base: Option<&Runs>) -> Option<(&'static str, Figures)> {
    let of_round = |runs: &Runs, round: usize| runs.rounds.get(round)?.as_ref()?.get(part).cloned();
    let rounds = (0..runs.rounds.len()).filter_map(|round| {
        let sample = of_round(runs, round)?;
        let base = base.and_then(|base| of_round(base, round));
        Some((sample, base))
    });
    let rounds: Vec<(Sample, Option<Sample>)> = rounds.collect();
    let (first, _) = rounds.first()?;
    let ratios = rounds
        .iter()
        .filter_map(|(sample, base)| ratio(sample.value, base.as_ref()?.value));
    let cpu_ratios = rounds
        .iter()
        .filter_map(|(sample, base)| ratio(sample.cpu?, base.as_ref()?.cpu?));
    let values: Vec<f64> = rounds.iter().map(|(sample, _)| sample.value).collect();
    let figures = Figures {
        unit: first.unit,
        cpu_unit: first.cpu_unit,
        value: median(values.clone()).unwrap_or(0.0),
        ratio: median(ratios.collect()),
        cpu: median(rounds.iter().filter_map(|(sample, _)| sample.cpu).collect()),
        cpu_ratio: median(cpu_ratios.collect()),
        peak: rounds
            .iter()
            .map(|(sample, _)| sample.peak)
            .max()
            .unwrap_or(0),
        values,
    };
    Some((first.part, figures))
}

fn ratio(value: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| value / base)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (
        values.get(values.len() / 2)?,
        values.get((values.len() - 1) / 2)?,
    );
    Some(f64::midpoint(*lower, *upper))
}

/// The table's head.
pub fn head() -> String {
    format!(
        "{:<22} {:<11} {:>7} {:>7} {:<5} {:>11} {:<11} {:>8} {:<5} {:>9}",
        "mode", "contestant", "x relay", "cpu x", "goal", "value", "", "cpu", "", "peak KiB"
    )
}

impl Row {
    /// The line of the table.
    pub fn line(&self) -> String {
        let mut line = format!("{:<22} {:<11}", self.mode, self.contestant);
        if let Some(figures) = &self.figures {
            let goal = match self.verdict {
                Some(true) => "ok",
                Some(false) => "MISS",
                None => "",
            };
            let _ = write!(
                line,
                " {:>7} {:>7} {goal:<5} {:>11} {:<11} {:>8} {:<5} {:>9}",
                number(figures.ratio, 2),
                number(figures.cpu_ratio, 2),
                number(
                    Some(figures.value),
                    if figures.value < 1000.0 { 2 } else { 0 }
                ),
                figures.unit,
                number(figures.cpu, 3),
                figures.cpu_unit,
                number((figures.peak > 0).then_some(figures.peak as f64), 0),
            );
        }
        for note in &self.notes {
            let _ = write!(line, "  {note}");
        }
        if let Some(failure) = &self.failure {
            let _ = write!(line, " FAIL {failure}");
        }
        line.trim_end().to_owned()
    }

    /// An object of JSON.
    fn json(&self) -> String {
        let mut json = format!(
            "{{\"mode\":{},\"contestant\":{}",
            text(&self.mode),
            text(self.contestant)
        );
        if let Some(figures) = &self.figures {
            let values: Vec<String> = figures
                .values
                .iter()
                .map(|value| bare(Some(*value)))
                .collect();
            let _ = write!(
                json,
                ",\"ratio\":{},\"cpu_ratio\":{},\"value\":{},\"unit\":{},\"cpu\":{},\"cpu_unit\":{},\
                 \"peak_rss_kib\":{},\"values\":[{}]",
                bare(figures.ratio),
                bare(figures.cpu_ratio),
                bare(Some(figures.value)),
                text(figures.unit),
                bare(figures.cpu),
                text(figures.cpu_unit),
                figures.peak,
                values.join(",")
            );
        }
        if let Some(verdict) = self.verdict {
            let _ = write!(json, ",\"goal_reached\":{verdict}");
        }
        let notes: Vec<String> = self.notes.iter().map(|note| text(note)).collect();
        if !notes.is_empty() {
            let _ = write!(json, ",\"beside\":[{}]", notes.join(","));
        }
        if let Some(failure) = &self.failure {
            let _ = write!(json, ",\"failure\":{}", text(failure));
        }
        json + "}"
    }

    /// Whether something of ours failed.
    pub fn is_our_failure(&self) -> bool {
        self.failure.is_some() && [WSBRIDGE, RELAY].contains(&self.contestant)
    }
}

/// All that was found, for programs.
pub fn json(rows: &[Row], missing: &[String], rounds: usize) -> String {
    let rows: Vec<String> = rows.iter().map(Row::json).collect();
    let missing: Vec<String> = missing.iter().map(|line| text(line)).collect();
    format!(
        "{{\"cores\":{},\"cpu\":{},\"kernel\":{},\"date\":{},\"rounds\":{rounds},\n\"missing\":[{}],\n\"rows\":[\n{}\n]}}\n",
        machine::cores(),
        text(&machine::processor()),
        text(&machine::kernel()),
        text(&machine::date()),
        missing.join(","),
        rows.join(",\n")
    )
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn bare(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(|| "null".to_owned(), |value| format!("{value:.6}"))
}

fn text(value: &str) -> String {
    let mut json = String::from("\"");
    for char in value.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            control if control < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json + "\""
}
