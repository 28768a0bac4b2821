//! Readers that do not read while they are flooded, in both directions at the same time: what is kept for them.

use std::thread;

use anyhow::Result;

use crate::bulk::Bulk;
use crate::contestant::Contestant;
use crate::lab::{Lab, Sample, join};

/// Measures a contestant: a process of its own for each direction.
pub fn run(lab: &Lab, contestant: &Contestant, bulk: Bulk) -> Result<Option<Vec<Sample>>> {
    let [forward, back] = [true, false].map(|is_forward| Bulk { is_forward, ..bulk });
    let (to_tcp, from_tcp) = thread::scope(|scope| {
        let to_tcp = scope.spawn(|| forward.run(lab, contestant));
        let from_tcp = back.run(lab, contestant);
        (join(to_tcp), from_tcp)
    });
    let (Some(to_tcp), Some(from_tcp)) = (to_tcp?, from_tcp?) else {
        return Ok(None);
    };
    let named = |part, found: Vec<Sample>| {
        let samples = found.into_iter();
        samples.map(move |sample| Sample { part, ..sample })
    };
    let samples = named("to-tcp", to_tcp).chain(named("from-tcp", from_tcp));
    Ok(Some(samples.collect()))
}
