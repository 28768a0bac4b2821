//! How much memory the machine, the container and the user leave to this process.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// The least and the most that is taken without `--memory`.
const LEAST: u64 = 32 << 20;
const MOST: u64 = 256 << 20;

/// Returns the bound that holds without `--memory`: a quarter of what there is, between 32 and 256 MiB.
pub fn usual_limit() -> usize {
    let address_space = getrlimit(Resource::As).current;
    limit_of(
        available(Path::new("/"))
            .into_iter()
            .chain(address_space)
            .min(),
    )
}

fn limit_of(available: Option<u64>) -> usize {
    let quarter = available.map_or(MOST, |bytes| bytes / 4);
    usize::try_from(quarter.clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

/// Returns the memory of the machine or of the narrowest control group, as the system below `root` tells it.
fn available(root: &Path) -> Option<u64> {
    let meminfo = read(&root.join("proc/meminfo"));
    let total = meminfo.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?.trim();
        rest.strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let machine = total.map(|kib| kib << 10);
    machine.into_iter().chain(group_limit(root)).min()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns the smallest limit on the path of the process's control group (cgroups(7)), of version 1 and 2.
fn group_limit(root: &Path) -> Option<u64> {
    let groups = read(&root.join("proc/self/cgroup"));
    let mounts = read(&root.join("proc/self/mountinfo"));
    let groups = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        match controllers {
            "" => Some(("cgroup2", "memory.max", path)),
            names if names.split(',').any(|name| name == "memory") => {
                Some(("cgroup", "memory.limit_in_bytes", path))
            }
            _ => None,
        }
    });
    groups
        .flat_map(|(kind, file, path)| {
            let folders = mounts
                .lines()
                .filter_map(move |line| Mount::read(line, kind))
                .flat_map(move |mount| mount.folders(path));
            folders.filter_map(move |folder| {
                let folder = folder.strip_prefix("/").unwrap_or(&folder);
                // "max" is no number.
                read(&root.join(folder).join(file)).trim().parse().ok()
            })
        })
        .min()
}

/// Where control groups with memory are mounted, and which of them is there.
struct Mount<'a> {
    group: &'a str,
    place: &'a str,
}

impl<'a> Mount<'a> {
    /// Reads a line of mountinfo (proc_pid_mountinfo(5)), where it is of that kind.
    fn read(line: &'a str, kind: &str) -> Option<Mount<'a>> {
        let (before, behind) = line.split_once(" - ")?;
        let mut behind = behind.split(' ');
        let is_kind = behind.next() == Some(kind);
        let options = behind.nth(1).unwrap_or_default();
        let has_memory = kind == "cgroup2" || options.split(',').any(|it| it == "memory");
        let mut before = before.split(' ').skip(3);
        let (group, place) = (before.next()?, before.next()?);
        (is_kind && has_memory).then_some(Mount { group, place })
    }

    /// The folders of a group and of those that it is in, as far as they are mounted.
    fn folders(&self, path: &str) -> Vec<PathBuf> {
        let place = Path::new(self.place);
        // One that is mounted by itself, as in a container, is the place.
        let below = Path::new(path)
            .strip_prefix(self.group)
            .unwrap_or(Path::new(""));
        let inner = place.join(below);
        let all = inner
            .ancestors()
            .take_while(|folder| folder.starts_with(place));
        all.map(Path::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A system with these files, where the machine has 64 GiB.
    #[track_caller]
    fn check(files: &[(&str, &str)], expected: u64) {
        let root = tempfile::tempdir().unwrap();
        let machine = [(
            "proc/meminfo",
            "MemTotal:       67108864 kB\nMemFree: 1 kB\n",
        )];
        for (path, content) in machine.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(available(root.path()), Some(expected));
    }

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn without_a_control_group_it_is_the_machines() {
        check(&[], 64 * GIB);
        check(
            &[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", V2)],
            64 * GIB,
        );
    }

    #[test]
    fn the_smallest_limit_on_the_path_counts_in_version_2() {
        let mut files = vec![
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/a/b/d/memory.max", "1\n"),
        ];
        check(&files, GIB);
        files.push(("sys/fs/cgroup/a/b/c/memory.max", "536870912\n"));
        check(&files, GIB / 2);
    }

    #[test]
    fn the_smallest_limit_on_the_path_counts_in_version_1() {
        check(
            &[
                (
                    "proc/self/cgroup",
                    "5:cpu:/x\n4:hugetlb,memory:/docker/1\n0::/\n",
                ),
                ("proc/self/mountinfo", &(V1.to_owned() + V2)),
                (
                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
                (
                    "sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                    "2147483648\n",
                ),
                (
                    "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                    "134217728\n",
                ),
                ("sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "1\n"),
            ],
            128 << 20,
        );
    }

    #[test]
    fn in_a_container_its_own_group_is_the_root_of_the_mount() {
        let mount = "32 23 0:28 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
        for group in ["4:memory:/docker/1\n", "4:memory:/elsewhere\n"] {
            let files = [
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", mount),
                limit,
            ];
            check(&files, 128 << 20);
        }
    }

    #[test]
    fn a_quarter_of_it_is_taken_within_bounds() {
        let mib = |count: u64| Some(count << 20);
        for (available, expected) in [
            (mib(64), 32),
            (mib(128), 32),
            (mib(192), 48),
            (mib(512), 128),
            (mib(65536), 256),
            (None, 256),
        ] {
            assert_eq!(limit_of(available), expected << 20);
        }
    }
}
