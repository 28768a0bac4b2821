//! The processes that programs start themselves: those of a group that live on, and those that are left to us.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, test_kill_process_group, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::groups;

/// How long a look at a group comes after the one before, first and at most.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(250)];
/// How long what has ended is left to who may be about to wait for it.
const GRACE: Duration = Duration::from_secs(1);
/// The first process of a container; those whose parents have gone are its children.
const FIRST: i32 = 1;

/// A process, as proc_pid_stat(5) shows it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: i32,
    has_ended: bool,
    parent: i32,
    group: i32,
}

impl Process {
    fn parse(stat: &str) -> Option<Process> {
        let (id, rest) = stat.split_once(' ')?;
        // The name may have anything in it.
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        Some(Process {
            id: id.parse().ok()?,
            has_ended: matches!(fields.next()?, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }
}

/// All processes that can be seen.
fn processes() -> io::Result<impl Iterator<Item = Process>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| Process::parse(&stat)))
}

/// Whether a group has a process that has not ended. One that is waited for by nobody has.
fn is_alive(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    // Where none can be seen, all that is known is that there are some.
    let Ok(all) = processes() else { return true };
    let mut members = all
        .filter(|process| process.group == group.as_raw_nonzero().get())
        .peekable();
    members.peek().is_none() || members.any(|process| !process.has_ended)
}

/// Waits until all processes of a group have ended, at most until then; whether they have.
pub(super) async fn all_ended(group: Pid, until: Instant) -> bool {
    let [mut pause, longest] = LOOKS;
    while is_alive(group) {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return false;
        }
        sleep(pause.min(rest)).await;
        pause = (2 * pause).min(longest);
    }
    true
}

/// Reaps what programs leave behind where we are the first process of a container, for as long as it is polled: nobody else
/// does, and what nobody waits for stays.
pub async fn reap_orphans() {
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
            .filter(|process| process.has_ended && process.parent == FIRST)
            .map(|process| process.id)
            .filter(|id| !groups().contains(id))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn what_is_shown_of_a_process_is_read() {
        let process = |id, has_ended, parent, group| {
            Some(Process {
                id,
                has_ended,
                parent,
                group,
            })
        };
        for (stat, expected) in [
            ("12 (sleep) S 1 10 9 0 -1", process(12, false, 1, 10)),
            ("12 (a) Z 1 (b)) Z 1 10 9", process(12, true, 1, 10)),
            ("12 (sleep) S", None),
            ("", None),
        ] {
            assert_eq!(Process::parse(stat), expected, "{stat}");
        }
        let own = processes()
            .unwrap()
            .find(|process| process.id == getpid().as_raw_nonzero().get());
        assert!(own.is_some_and(|own| !own.has_ended));
    }

    #[tokio::test]
    async fn a_group_of_which_nobody_lives_is_not_waited_for() {
        // Its only process has ended, and we have yet to wait for it.
        let mut ended = std::process::Command::new("true")
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut out = ended.stdout.take().unwrap();
        io::Read::read_to_end(&mut out, &mut Vec::new()).unwrap();
        let group = Pid::from_child(&ended);
        assert!(all_ended(group, Instant::now() + Duration::from_secs(3600)).await);
        assert!(test_kill_process_group(group).is_ok());
        ended.wait().unwrap();
        assert!(!is_alive(group));
    }
}
