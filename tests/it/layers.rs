//! The layers of the house, read out of the `use crate::` lines: an arrow never turns back.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom; a file may use what stands below it, and its own row where that is one room.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["signals"],
    &["cli"],
    &["docs"],
    &["scheme"],
    &["bridge", "doctor"],
    &["world"],
    &["session"],
    &["takers"],
    &["endpoint"],
    &["http", "ws", "tls"],
    &["tap"],
    &["pump"],
    &["framing", "peer"],
    &["buffer", "child"],
    &[
        "message",
        "ending",
        "caller",
        "address",
        "extension",
        "variables",
        "secret",
        "shown",
        "utf8",
        "word",
        "host",
        "sendqueue",
        "workers",
        "heap",
        "memory",
        "steps",
        "columns",
        "progress",
        "log",
        "reread",
        "mistake",
    ],
];

/// `peer` is the seam: it makes messages of bytes by `framing`, which reads bytes through `peer`'s trait.
const ONE_ROOM: &[&str] = &["framing", "peer"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room of a file: the first part of its path below `src`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(root()).unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn layer(room: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&room));
    found.unwrap_or_else(|| panic!("{room} is in no layer"))
}

/// The crate's own rooms that a text names by `crate::` or, in the binary, by `wsbridge::`.
fn used(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for start in ["crate::", "wsbridge::"] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at + start.len()..];
            let inside = rest
                .strip_prefix('{')
                .map_or(rest, |inside| inside.split('}').next().unwrap());
            let ends_at = if rest.starts_with('{') {
                inside.len()
            } else {
                0
            };
            let words = if ends_at > 0 {
                inside.split(',').collect()
            } else {
                vec![rest]
            };
            for word in words {
                let word: String = word
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                rooms.push(word);
            }
        }
    }
    rooms
}

#[test]
fn an_arrow_never_turns_back() {
    let mut arrows = 0;
    for path in sources(&root()) {
        let from = room(&path);
        if from == "lib" {
            continue;
        }
        for to in used(&fs::read_to_string(&path).unwrap()) {
            if to == from || to.is_empty() {
                continue;
            }
            arrows += 1;
            let within = ONE_ROOM.contains(&from.as_str()) && ONE_ROOM.contains(&to.as_str());
            let same_row_below = layer(&from) == layer(&to) && layer(&from) == LAYERS.len() - 1;
            assert!(
                layer(&from) < layer(&to) || within || same_row_below,
                "{} uses crate::{to}, which stands above it or beside it",
                path.display()
            );
        }
    }
    assert!(
        arrows > 40,
        "only {arrows} arrows were found: the test no longer sees them"
    );
}

/// The crates that only certain rooms may name.
const KEPT: &[(&str, &[&str])] = &[
    ("tungstenite", &["ws", "http"]),
    ("hyper", &["http"]),
    ("httparse", &["http"]),
    ("rustls", &["tls"]),
];

#[test]
fn protocols_are_named_in_their_rooms_only() {
    let mut named = 0;
    for path in sources(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        for (name, rooms) in KEPT {
            let is_named = text.lines().any(|line| {
                let code = line.split("//").next().unwrap();
                code.contains(&format!("{name}::")) || code.contains(&format!("{name}_util::"))
            });
            named += usize::from(is_named);
            assert!(
                !is_named || rooms.contains(&room(&path).as_str()),
                "{} names {name}",
                path.display()
            );
        }
    }
    assert!(named >= 3, "the test no longer sees the names");
}

#[test]
fn polling_happens_in_the_data_path_and_at_the_transports_only() {
    for path in sources(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        let is_data_path = [
            "pump", "framing", "peer", "buffer", "child", "ws", "tls", "endpoint", "tap",
        ]
        .contains(&room(&path).as_str());
        assert!(
            is_data_path || !text.contains("fn poll_"),
            "{} implements polling",
            path.display()
        );
    }
}
