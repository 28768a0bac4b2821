//! What the figures were measured on, and when.

use std::process::Command;

/// The processor's name.
pub fn processor() -> String {
    let table = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = table.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or_else(String::new, |(_, name)| name.to_owned())
}

/// How many cores we may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// The kernel's release.
pub fn kernel() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    file.trim().to_owned()
}

/// Today, as year-month-day.
pub fn date() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
