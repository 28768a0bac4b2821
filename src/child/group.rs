//! What is left of a process group whose leader has ended.

use std::fs;
use std::io;

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

/// Whether a group has a process beside its leader that has not ended; one that waits to be reaped has. `None` where that
/// cannot be seen: the leader, which waits to be reaped too, is not among those that are shown.
pub(super) fn others_live(leader: Pid) -> Option<bool> {
    let group = leader.as_raw_nonzero().get();
    let mut is_shown = false;
    for id in processes().ok()? {
        if id == leader {
            is_shown = true;
            continue;
        }
        // Only of members more is read: a look at all of /proc costs more than the start of a program.
        if group_of(id) == Some(group) && Shown::of(id).is_some_and(|it| !it.has_ended) {
            return Some(true);
        }
    }
    is_shown.then_some(false)
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
        assert_eq!(others_live(group), Some(true));
        let other = Pid::from_raw(other).unwrap();
        rustix::process::kill_process(other, rustix::process::Signal::KILL).unwrap();
        // The pipe ends with the last of them.
        io::Read::read_to_end(&mut out, &mut Vec::new()).unwrap();
        while others_live(group) == Some(true) {
            std::thread::yield_now();
        }
        assert_eq!(others_live(group), Some(false));
        leader.wait().unwrap();
        assert_eq!(others_live(group), None);
    }
}
