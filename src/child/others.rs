//! The processes that programs leave to us, where we are the first process of a container.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::Children;
use super::group::{Shown, processes};

/// How long what has ended is left to who may be about to wait for it.
const GRACE: Duration = Duration::from_secs(1);
/// The first process of a container; those whose parents have gone are its children.
const FIRST: i32 = 1;

/// Reaps what programs leave behind where we are the first process of a container, for as long as it is polled: nobody else
/// does, and what nobody waits for stays. It is the process's, once: `owners` are all that have started programs, whose own are
/// left to them.
pub async fn reap_orphans(owners: Vec<Children>) {
    if getpid().as_raw_nonzero().get() != FIRST {
        return;
    }
    let Ok(mut ended) = signal(SignalKind::child()) else {
        return;
    };
    let mut seen = BTreeSet::new();
    loop {
        if seen.is_empty() {
            ended.recv().await;
        }
        sleep(GRACE).await;
        let Ok(all) = processes() else { return };
        let orphans: BTreeSet<i32> = all
            .filter_map(Shown::of)
            .filter(|process| process.has_ended && process.parent == FIRST)
            .map(|process| process.id)
            // A leader waits for the rest of its group.
            .filter(|id| !owners.iter().any(|owner| owner.has(*id)))
            .collect();
        for id in orphans
            .intersection(&seen)
            .copied()
            .filter_map(Pid::from_raw)
        {
            // Who has been reaped meanwhile is none of ours.
            let _ = waitpid(Some(id), WaitOptions::NOHANG);
        }
        seen = &orphans - &seen;
    }
}
