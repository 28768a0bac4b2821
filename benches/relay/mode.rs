//! The table of modes: what is measured, and what wsbridge wants to reach there.

use anyhow::Result;

use crate::bulk::Bulk;
use crate::content::Kind;
use crate::contestant::{Contestant, Route};
use crate::lab::{Lab, Sample};
use crate::{connections, idle, ping, startup};

/// One mode.
pub struct Mode {
    pub name: String,
    run: Run,
    pub goals: &'static [Goal],
    /// Rounds at most, where one takes long.
    pub rounds: usize,
    /// Whether wsbridge is measured alone, because it takes long.
    pub is_alone: bool,
}

/// What wsbridge wants to reach in a figure; ratios are to the relay of the same round.
pub struct Goal {
    /// Which figure of the mode.
    pub part: &'static str,
    /// The throughput's ratio is at least this, a cost's at most.
    pub ratio: Option<f64>,
    /// The ratio of processor time is at most this.
    pub cpu: Option<f64>,
    /// The figure itself is at most this.
    pub most: Option<f64>,
}

enum Run {
    Bulk(Bulk),
    Ping(usize),
    Connections,
    Idle(usize),
    StartUp,
}

const fn goal(part: &'static str, ratio: f64, cpu: Option<f64>) -> Goal {
    Goal {
        part,
        ratio: Some(ratio),
        cpu,
        most: None,
    }
}

const AS_FAST: &[Goal] = &[goal("", 1.0, Some(1.10))];
const SHORT: &[Goal] = &[goal("", 0.85, Some(1.7))];
const PROMPT: &[Goal] = &[goal("p50", 1.05, Some(1.15)), goal("p99", 1.15, None)];
const SMALL: &[Goal] = &[Goal {
    part: "",
    ratio: None,
    cpu: None,
    most: Some(4.0),
}];

const SIZES: [(&str, u64); 5] = [
    ("64B", 64),
    ("1KiB", 1 << 10),
    ("64KiB", 1 << 16),
    ("1MiB", 1 << 20),
    ("64MiB", 1 << 26),
];

const BULK: Bulk = Bulk {
    route: Route::Serve,
    is_forward: true,
    kind: Kind::Noise,
    len: 1 << 16,
    is_gathered: true,
    connections: 1,
    messages: None,
    is_exact: false,
    is_stalled: false,
};

/// Text messages between two WebSockets or a WebSocket and lines. The pipes are as a shell makes them: 64 KiB.
const LINES: Bulk = Bulk {
    kind: Kind::Lines,
    route: Route::Pipe,
    len: 64,
    is_exact: true,
    ..BULK
};

impl Mode {
    fn new(name: impl Into<String>, run: Run) -> Mode {
        Mode {
            name: name.into(),
            run,
            goals: &[],
            rounds: usize::MAX,
            is_alone: false,
        }
    }

    fn bulk(name: impl Into<String>, bulk: Bulk) -> Mode {
        Mode::new(name, Run::Bulk(bulk))
    }

    /// Measures a contestant once; nothing if it can not serve this mode.
    pub fn run(&self, lab: &Lab, contestant: &Contestant) -> Result<Option<Vec<Sample>>> {
        match self.run {
            Run::Bulk(bulk) => bulk.run(lab, contestant),
            Run::Ping(len) => ping::run(lab, contestant, len),
            Run::Connections => connections::run(lab, contestant),
            Run::Idle(count) => idle::run(lab, contestant, count),
            Run::StartUp => startup::run(lab, contestant),
        }
    }
}

/// All modes, in the order of the table.
pub fn all() -> Vec<Mode> {
    let mut modes = Vec::new();
    modes.extend(sizes("to-tcp/server", Route::Serve, true));
    modes.extend(sizes("from-tcp/server", Route::Serve, false));
    modes.extend(sizes("to-tcp/client", Route::Connect, false));
    modes.extend(sizes("from-tcp/client", Route::Connect, true));
    modes.extend(streams());
    modes.extend(messages());
    modes.extend(small_modes());
    modes.extend(stalls());
    modes
}

fn sizes(name: &str, route: Route, is_forward: bool) -> impl Iterator<Item = Mode> {
    let is_to_tcp = name.starts_with("to-tcp");
    SIZES.iter().map(move |(size, len)| Mode {
        goals: match (is_to_tcp, len) {
            (true, 64) => SHORT,
            (false, 64) => &[],
            _ => AS_FAST,
        },
        ..Mode::bulk(
            format!("{name}/{size}"),
            Bulk {
                route,
                is_forward,
                len: *len,
                is_gathered: is_to_tcp,
                ..BULK
            },
        )
    })
}

fn streams() -> Vec<Mode> {
    let parallel = |connections| {
        let name = format!("parallel/{connections}");
        Mode::bulk(
            name,
            Bulk {
                connections,
                ..BULK
            },
        )
    };
    let frame = Bulk {
        len: 1 << 30,
        messages: Some(1),
        ..BULK
    };
    let chain = Bulk {
        route: Route::Chain,
        is_gathered: false,
        ..BULK
    };
    vec![
        Mode::bulk("frame/1GiB", frame),
        Mode::bulk("chain/64KiB", chain),
        parallel(1),
        parallel(4),
        parallel(16),
    ]
}

fn messages() -> Vec<Mode> {
    let between = move |kind| Bulk {
        kind,
        route: Route::Between,
        ..LINES
    };
    let from_ws = Bulk {
        is_forward: false,
        ..LINES
    };
    let lengths = [("16B", 16), ("64B", 64)];
    let modes = lengths.into_iter().flat_map(|(size, len)| {
        let mode = |name: &str, bulk| Mode::bulk(format!("{name}/{size}"), Bulk { len, ..bulk });
        [
            mode("ws-ws/binary", between(Kind::Noise)),
            mode("ws-ws/text", between(Kind::Lines)),
            mode("ws-lines", from_ws),
            mode("lines-ws", LINES),
        ]
    });
    modes.collect()
}

fn small_modes() -> Vec<Mode> {
    let ping = |name: &str, len| Mode {
        goals: PROMPT,
        ..Mode::new(name, Run::Ping(len))
    };
    let idle = |count, goals| Mode {
        goals,
        rounds: 2,
        ..Mode::new(format!("idle/{count}"), Run::Idle(count))
    };
    vec![
        ping("ping/64B", 64),
        ping("ping/16KiB", 16 << 10),
        Mode::new("connections", Run::Connections),
        Mode::new("start-up", Run::StartUp),
        idle(1000, &[]),
        idle(5000, SMALL),
    ]
}

fn stalls() -> Vec<Mode> {
    let stall = |name: &str, is_forward| Mode {
        rounds: 1,
        is_alone: true,
        ..Mode::bulk(
            name,
            Bulk {
                is_forward,
                connections: 16,
                is_stalled: true,
                ..BULK
            },
        )
    };
    vec![stall("stall/to-tcp", true), stall("stall/from-tcp", false)]
}
