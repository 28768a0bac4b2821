//! The table of modes: what is measured, and what wsbridge wants to reach there.

use anyhow::Result;

use crate::bulk::Bulk;
use crate::content::Kind;
use crate::contestant::{Contestant, Route};
use crate::goal::{self, Goal};
use crate::lab::{Lab, Sample};
use crate::{connections, idle, parallel, ping, stall, startup};

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

enum Run {
    Bulk(Bulk),
    Parallel(Bulk),
    Stall(Bulk),
    Ping(usize),
    Connections,
    Idle(usize),
    StartUp,
}

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
    fn new(name: impl Into<String>, goals: &'static [Goal], run: Run) -> Mode {
        Mode {
            name: name.into(),
            run,
            goals,
            rounds: usize::MAX,
            is_alone: false,
        }
    }

    fn bulk(name: impl Into<String>, goals: &'static [Goal], bulk: Bulk) -> Mode {
        Mode::new(name, goals, Run::Bulk(bulk))
    }

    /// Measures a contestant once; nothing if it can not serve this mode.
    pub fn run(&self, lab: &Lab, contestant: &Contestant) -> Result<Option<Vec<Sample>>> {
        match self.run {
            Run::Bulk(bulk) => bulk.run(lab, contestant),
            Run::Parallel(bulk) => parallel::run(lab, contestant, bulk),
            Run::Stall(bulk) => stall::run(lab, contestant, bulk),
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
    modes.push(stall());
    modes
}

fn sizes(name: &str, route: Route, is_forward: bool) -> impl Iterator<Item = Mode> {
    let is_to_tcp = name.starts_with("to-tcp");
    // A source that writes 64 bytes at a time has 15 to 40 MiB/s by itself. What is measured then is how often whoever is
    // between was woken: once for 3 to 12 KiB, with the same program from run to run. `ping` has what that costs.
    let sizes = SIZES.iter().filter(move |(_, len)| is_to_tcp || *len > 64);
    sizes.map(move |(size, len)| {
        let goals = match (is_to_tcp, len) {
            (true, 64) => goal::SHORT,
            (true, _) => goal::AS_FAST,
            (false, _) => goal::CUT,
        };
        let bulk = Bulk {
            route,
            is_forward,
            len: *len,
            is_gathered: is_to_tcp,
            ..BULK
        };
        Mode::bulk(format!("{name}/{size}"), goals, bulk)
    })
}

fn streams() -> Vec<Mode> {
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
        Mode::bulk("frame/1GiB", &[], frame),
        Mode::bulk("chain/64KiB", goal::CHAIN, chain),
        Mode::new("parallel", goal::PARALLEL, Run::Parallel(BULK)),
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
    let lengths = [
        ("16B", 16, goal::EXACT, goal::LINES_OUT, goal::LINES_IN),
        // Copying alone has no such figures here.
        ("64B", 64, &[], &[], &[]),
    ];
    let modes = lengths
        .into_iter()
        .flat_map(|(size, len, exact, out, into)| {
            let mode = |name: &str, goals, bulk| {
                Mode::bulk(format!("{name}/{size}"), goals, Bulk { len, ..bulk })
            };
            [
                mode("ws-ws/binary", exact, between(Kind::Noise)),
                mode("ws-ws/text", exact, between(Kind::Lines)),
                mode("ws-lines", out, from_ws),
                mode("lines-ws", into, LINES),
            ]
        });
    modes.collect()
}

fn small_modes() -> Vec<Mode> {
    let idle = |count, goals| Mode {
        rounds: 2,
        ..Mode::new(format!("idle/{count}"), goals, Run::Idle(count))
    };
    vec![
        Mode::new("ping/64B", goal::PROMPT, Run::Ping(64)),
        Mode::new("ping/16KiB", goal::PROMPT, Run::Ping(16 << 10)),
        Mode::new("connections", goal::CONNECTIONS, Run::Connections),
        Mode::new("start-up", goal::START_UP, Run::StartUp),
        idle(1000, &[]),
        idle(5000, goal::IDLE),
    ]
}

fn stall() -> Mode {
    let bulk = Bulk {
        connections: 16,
        is_stalled: true,
        ..BULK
    };
    Mode {
        rounds: 1,
        is_alone: true,
        ..Mode::new("stall", goal::STALL, Run::Stall(bulk))
    }
}
