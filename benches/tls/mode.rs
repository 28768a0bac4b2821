//! The table of modes: what is measured, and what wsbridge wants to reach there.

use anyhow::Result;

use crate::bulk::Bulk;
use crate::contestant::{Contestant, RELAY};
use crate::goal::{ANY, Goal, at_least, at_most};
use crate::lab::Sample;
use crate::scene::Scene;
use crate::{connections, idle};

/// One mode.
pub struct Mode {
    pub name: &'static str,
    pub goals: &'static [Goal],
    /// Rounds at most, where they hardly differ.
    pub rounds: usize,
    run: Run,
}

enum Run {
    Bulk(Bulk),
    Connections,
    Idle,
}

/// Streams: faster than nginx with less, and as fast as what does nothing but TLS.
const STREAM: &[Goal] = &[
    Goal {
        cpu: Some(0.70),
        ..at_least("nginx", 1.3)
    },
    Goal {
        cpu: Some(1.08),
        ..at_least(RELAY, 0.98)
    },
];

/// KiB of an idle connection with its other side.
const IDLE: &[Goal] = &[at_most("fresh", 20.0), at_most("used", 20.0)];

const MANY: usize = usize::MAX;

/// All of them.
pub const MODES: &[Mode] = &[
    Mode {
        name: "to-tcp/64KiB",
        goals: STREAM,
        rounds: MANY,
        run: Run::Bulk(Bulk {
            is_to_tcp: true,
            len: 64 * 1024,
        }),
    },
    Mode {
        name: "to-tcp/1KiB",
        goals: STREAM,
        rounds: MANY,
        run: Run::Bulk(Bulk {
            is_to_tcp: true,
            len: 1024,
        }),
    },
    Mode {
        name: "from-tcp/64KiB",
        goals: STREAM,
        rounds: MANY,
        run: Run::Bulk(Bulk {
            is_to_tcp: false,
            len: 64 * 1024,
        }),
    },
    Mode {
        name: "connections",
        goals: &[Goal {
            over: "nginx",
            ..ANY
        }],
        rounds: MANY,
        run: Run::Connections,
    },
    Mode {
        name: "idle",
        goals: IDLE,
        rounds: 3,
        run: Run::Idle,
    },
];

impl Mode {
    /// Measures a contestant once.
    pub fn run(&self, scene: &Scene, contestant: &Contestant) -> Result<Vec<Sample>> {
        match &self.run {
            Run::Bulk(bulk) => bulk.run(scene, contestant),
            Run::Connections => connections::run(scene, contestant),
            Run::Idle => idle::run(scene, contestant),
        }
    }
}
