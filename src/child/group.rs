//! What is left of a process group whose leader has ended.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::Pid;

use super::spawn::group_of;

/// A process, as proc_pid_stat(5) shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: i32,
    pub(super) has_ended: bool,
    pub(super) parent: i32,
}

impl Shown {
    fn parse(stat: &str) -> Option<Shown> {
        let (id, rest) = stat.split_once(' ')?;
        // The name may have anything in it.
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        Some(Shown {
            id: id.parse().ok()?,
            has_ended: matches!(fields.next()?, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
        })
    }

    /// Shows a process; `None` where it is gone.
    pub(super) fn of(id: Pid) -> Option<Shown> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
        Shown::parse(&stat)
    }
}

/// The numbers of all processes that can be seen.
pub(super) fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.filter_map(Pid::from_raw))
}

/// The age below which the numbers that came after a process's own are those of younger processes. The system gives out all
/// of its numbers, 32,768 or more, before it begins anew: at 100,000 starts a second that takes a third of one.
const YOUNG: Duration = Duration::from_millis(100);
/// The most numbers that are looked at one by one; more take longer than a look at all processes.
const FEW: i32 = 1024;

/// Whether a group has a process beside its leader that has not ended; one that waits to be reaped has. `None` where that
/// cannot be seen: the leader, which waits to be reaped too, is not among those that are shown. `age` is how long ago the
/// leader was started, at least.
///
/// A look at all processes may cost more than the start of a program: for a leader that is young it is not needed.
pub(super) fn others_live(leader: Pid, age: Duration) -> Option<bool> {
    let younger = (age < YOUNG).then(|| younger_live(leader)).flatten();
    younger.or_else(|| any_live(leader))
}

/// Looks at all processes.
fn any_live(leader: Pid) -> Option<bool> {
    let mut is_shown = false;
    for id in processes().ok()? {
        is_shown |= id == leader;
        if is_live_member(id, leader) {
            return Some(true);
        }
    }
    is_shown.then_some(false)
}

/// Looks at the numbers that were given out since the leader's. `None` where they are many or have begun anew.
fn younger_live(leader: Pid) -> Option<bool> {
    let first = leader.as_raw_nonzero().get();
    let mut seen = first;
    loop {
        let last = last_started()?;
        if last < seen || last - first > FEW {
            return None;
        }
        if last == seen {
            return Some(false);
        }
        // One that is seen may have started another meanwhile.
        let mut ids = (seen + 1..=last).filter_map(Pid::from_raw);
        if ids.any(|id| is_live_member(id, leader)) {
            return Some(true);
        }
        seen = last;
    }
}

/// The number that was given out last (proc_loadavg(5)).
fn last_started() -> Option<i32> {
    // One that stays open is read in one call.
    static LOAD: LazyLock<io::Result<File>> = LazyLock::new(|| File::open("/proc/loadavg"));
    let mut room = [0; 128];
    let count = LOAD.as_ref().ok()?.read_at(&mut room, 0).ok()?;
    let load = std::str::from_utf8(&room[..count]).ok()?;
    load.split_whitespace().last()?.parse().ok()
}

fn is_live_member(id: Pid, leader: Pid) -> bool {
    let group = leader.as_raw_nonzero().get();
    // Only of members more is read.
    id != leader && group_of(id) == Some(group) && Shown::of(id).is_some_and(|it| !it.has_ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn what_is_shown_of_a_process_is_read() {
        let shown = |id, has_ended, parent| {
            Some(Shown {
                id,
                has_ended,
                parent,
            })
        };
        for (stat, expected) in [
            ("12 (sleep) S 1 10 9 0 -1", shown(12, false, 1)),
            ("12 (a) Z 1 (b)) Z 1 10 9", shown(12, true, 1)),
            ("12 (sleep) S", None),
            ("", None),
        ] {
            assert_eq!(Shown::parse(stat), expected, "{stat}");
        }
        assert!(processes().unwrap().any(|id| id == getpid()));
        assert!(Shown::of(getpid()).is_some_and(|own| !own.has_ended));
    }

    #[test]
    fn of_a_group_those_count_that_have_not_ended() {
        let mut leader = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut out = io::BufReader::new(leader.stdout.take().unwrap());
        let mut line = String::new();
        io::BufRead::read_line(&mut out, &mut line).unwrap();
        let (group, other) = (Pid::from_child(&leader), line.trim().parse().unwrap());
        let old = Duration::from_secs(1);
        for age in [Duration::ZERO, old] {
            assert_eq!(others_live(group, age), Some(true));
        }
        let other = Pid::from_raw(other).unwrap();
        rustix::process::kill_process(other, rustix::process::Signal::KILL).unwrap();
        // The pipe ends with the last of them.
        io::Read::read_to_end(&mut out, &mut Vec::new()).unwrap();
        while others_live(group, old) == Some(true) {
            std::thread::yield_now();
        }
        for age in [Duration::ZERO, old] {
            assert_eq!(others_live(group, age), Some(false));
        }
        leader.wait().unwrap();
        assert_eq!(others_live(group, old), None);
    }
}
