//! What all measurements share: the prebuilt contents, the times, and the shape of what they find.

use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::content::{Content, Kind};
use crate::link::Speech;

/// The place of all measurements.
pub struct Lab {
    noise: Arc<Content>,
    /// For configuration files.
    pub dir: TempDir,
    /// How long one run sends.
    pub time: Duration,
    /// How long a stalled reader does not read.
    pub stall: Duration,
}

impl Lab {
    pub fn new(time: Duration, stall: Duration) -> Result<Lab> {
        Ok(Lab {
            noise: Arc::new(Content::noise()),
            dir: TempDir::new()?,
            time,
            stall,
        })
    }

    /// Any bytes.
    pub fn noise(&self) -> &Arc<Content> {
        &self.noise
    }

    /// What flows where `speech` is spoken, in messages of `len` bytes: a line has its newline outside of frames only.
    pub fn content(&self, kind: Kind, speech: Speech, len: u64) -> Arc<Content> {
        let line = usize::try_from(len).unwrap_or(usize::MAX);
        match kind {
            Kind::Noise => Arc::clone(&self.noise),
            Kind::Lines => Arc::new(Content::lines(line, speech == Speech::Plain)),
        }
    }
}

/// One figure that one run has found, with what it cost.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which of the run's figures it is, if there are several.
    pub part: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// Whether more is better.
    pub is_rate: bool,
    /// Processor time of the bridge per unit.
    pub cpu: Option<f64>,
    pub cpu_unit: &'static str,
    /// The bridge's highest resident set in KiB, if it was seen.
    pub peak: u64,
}

impl Sample {
    /// More is better.
    pub fn rate(value: f64, unit: &'static str) -> Sample {
        Sample {
            part: "",
            value,
            unit,
            is_rate: true,
            cpu: None,
            cpu_unit: "",
            peak: 0,
        }
    }

    /// Less is better.
    pub fn cost(part: &'static str, value: f64, unit: &'static str) -> Sample {
        Sample {
            part,
            is_rate: false,
            ..Sample::rate(value, unit)
        }
    }

    pub fn with_cpu(mut self, cpu: f64, unit: &'static str) -> Sample {
        (self.cpu, self.cpu_unit) = (Some(cpu), unit);
        self
    }

    pub fn with_peak(mut self, peak: u64) -> Sample {
        self.peak = peak;
        self
    }
}

/// What a thread has found; its panic is an error.
pub fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("a thread of the load generator panicked"),
    }
}
