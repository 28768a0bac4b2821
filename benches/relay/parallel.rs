//! The same load over one, a few and many connections at once, and what the many gain.

use anyhow::Result;

use crate::bulk::Bulk;
use crate::contestant::Contestant;
use crate::lab::{Lab, Sample};

const COUNTS: [(&str, usize); 3] = [("x1", 1), ("x4", 4), ("x16", 16)];

/// Measures a contestant.
pub fn run(lab: &Lab, contestant: &Contestant, bulk: Bulk) -> Result<Option<Vec<Sample>>> {
    let mut samples = Vec::new();
    for (part, connections) in COUNTS {
        let bulk = Bulk {
            connections,
            ..bulk
        };
        let Some(found) = bulk.run(lab, contestant)? else {
            return Ok(None);
        };
        samples.extend(found.into_iter().map(|sample| Sample { part, ..sample }));
    }
    if let [one, .., many] = &samples[..] {
        let gain = Sample::rate(many.value / one.value, "x one");
        samples.push(Sample {
            part: "gain",
            ..gain
        });
    }
    Ok(Some(samples))
}
