//! What this machine is called: the names by which its own users reach it.

use std::fs;

/// Returns the names of this machine, in lower case: its host name, and its full names by `/etc/hosts` and by the domains that
/// `/etc/resolv.conf` searches.
pub fn names() -> Vec<String> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    names_of(&host, &read("/etc/hosts"), &read("/etc/resolv.conf"))
}

fn names_of(host: &str, hosts: &str, resolver: &str) -> Vec<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() {
        return Vec::new();
    }
    let mut names = vec![host.clone()];
    for line in hosts.to_ascii_lowercase().lines() {
        let line = line.split('#').next().unwrap_or_default();
        let of_line: Vec<_> = line.split_whitespace().skip(1).collect();
        if of_line.contains(&host.as_str()) {
            names.extend(of_line.into_iter().map(str::to_owned));
        }
    }
    for line in resolver.to_ascii_lowercase().lines() {
        let mut words = line.split_whitespace();
        if let Some("search" | "domain") = words.next()
            && !host.contains('.')
        {
            let domains = words.map(|domain| domain.trim_matches('.'));
            let domains = domains.filter(|domain| !domain.is_empty());
            names.extend(domains.map(|domain| format!("{host}.{domain}")));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_come_from_the_files_that_the_resolver_reads() {
        let hosts =
            "127.0.0.1 localhost\n127.0.1.1 Box.example.com box # other.test\n10.0.0.1 db\n";
        let resolver = "# search no.test\nnameserver 10.0.0.1\nsearch corp.test. lab.test\n";
        let expected = ["box", "box.corp.test", "box.example.com", "box.lab.test"];
        assert_eq!(names_of("box", hosts, resolver), expected);
        assert_eq!(names_of("BOX.corp.test", "", resolver), ["box.corp.test"]);
        assert!(names_of("", hosts, resolver).is_empty());
    }

    #[test]
    fn this_machine_has_a_name() {
        let own = rustix::system::uname();
        let own = own.nodename().to_string_lossy().to_ascii_lowercase();
        assert!(names().contains(&own));
    }
}
