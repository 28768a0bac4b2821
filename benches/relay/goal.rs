//! The table of goals: what wsbridge wants to reach, beside whom.

use crate::contestant::RELAY;

/// A goal for one figure of a mode. It is judged where those that it names have a figure too.
pub struct Goal {
    /// Which figure of the mode.
    pub part: &'static str,
    /// Who the ratios are to, within the same round.
    pub over: &'static str,
    /// The throughput's ratio is at least this, a cost's at most.
    pub ratio: Option<f64>,
    /// The ratio of processor time is at most this.
    pub cpu: Option<f64>,
    /// The figure itself is at least this, where the relay's is.
    pub least: Option<f64>,
    /// The figure itself is at most this.
    pub most: Option<f64>,
}

/// No goal at all.
pub const ANY: Goal = Goal {
    part: "",
    over: RELAY,
    ratio: None,
    cpu: None,
    least: None,
    most: None,
};

/// A throughput beside another one.
pub const fn at_least(over: &'static str, ratio: f64) -> Goal {
    Goal {
        over,
        ratio: Some(ratio),
        ..ANY
    }
}

/// A limit of a cost.
pub const fn at_most(part: &'static str, most: f64) -> Goal {
    Goal {
        part,
        most: Some(most),
        ..ANY
    }
}

/// Streams of messages of 1 KiB and more.
pub const AS_FAST: &[Goal] = &[Goal {
    cpu: Some(1.10),
    ..at_least(RELAY, 1.0)
}];

/// Streams of messages of 64 bytes.
pub const SHORT: &[Goal] = &[Goal {
    cpu: Some(1.7),
    ..at_least(RELAY, 0.85)
}];

const MILLIONS: Goal = Goal {
    least: Some(20e6),
    ..ANY
};
/// Short messages that stay as they are.
pub const EXACT: &[Goal] = &[MILLIONS];
/// Short lines to messages.
pub const LINES_IN: &[Goal] = &[MILLIONS, at_least("websocat4", 12.0)];
/// Short messages to lines.
pub const LINES_OUT: &[Goal] = &[MILLIONS, at_least("websocat1", 20.0)];

/// Two bridges in a row.
pub const CHAIN: &[Goal] = &[Goal {
    cpu: Some(1.0),
    ..at_least("wstunnel", 1.0)
}];

/// Many connections beside one.
pub const PARALLEL: &[Goal] = &[Goal {
    part: "gain",
    least: Some(1.7),
    ..ANY
}];

/// Round trips.
pub const PROMPT: &[Goal] = &[
    Goal {
        part: "p50",
        cpu: Some(1.15),
        ..at_least(RELAY, 1.05)
    },
    Goal {
        part: "p99",
        ..at_least(RELAY, 1.15)
    },
];

/// Whole connections.
pub const CONNECTIONS: &[Goal] = &[at_least("nginx", 0.75), at_least("websocat4", 1.8)];

/// The milliseconds of a one-shot client.
pub const START_UP: &[Goal] = &[at_most("", 3.0)];

/// KiB of an idle connection, and what is left of all, in percent.
pub const IDLE: &[Goal] = &[
    at_most("fresh", 4.0),
    at_most("used", 4.0),
    at_most("closed", 10.0),
];

/// KiB of a reader that does not read: 4 MiB are read on for it, so that the end of its caller is seen, and it has its usual
/// buffers. All sessions together read on no more than 128 MiB.
pub const STALL: &[Goal] = &[at_most("to-tcp", 4608.0), at_most("from-tcp", 4608.0)];

impl Goal {
    /// Whether a figure reaches it, if that can be judged. `ratio` and `cpu` are to `over`, `relay` is the relay's figure.
    pub fn is_reached(
        &self,
        value: f64,
        relay: Option<f64>,
        is_rate: bool,
        [ratio, cpu]: [Option<f64>; 2],
    ) -> Option<bool> {
        // Judged as they are printed.
        let [ratio, cpu] = [ratio, cpu].map(|ratio| Some((ratio? * 100.0).round() / 100.0));
        let verdicts = [
            self.ratio.zip(ratio).map(|(goal, ratio)| {
                if is_rate {
                    ratio >= goal
                } else {
                    ratio <= goal
                }
            }),
            self.cpu.zip(cpu).map(|(goal, cpu)| cpu <= goal),
            self.least
                .filter(|least| relay.is_some_and(|relay| relay >= *least))
                .map(|least| value >= least),
            self.most.map(|most| value <= most),
        ];
        all(verdicts)
    }
}

/// Whether all of those hold that were judged, if any was.
pub fn all(verdicts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let judged = verdicts.into_iter().flatten();
    judged.reduce(|all, one| all && one)
}
