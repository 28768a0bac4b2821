//! The imports between the files of `src/`, and that they form no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The circles that are left, each by its files: none may come to them.
const CIRCLES: &[&[&str]] = &[
    &["cli", "cli/explain"],
    &[
        "endpoint",
        "endpoint/facts",
        "endpoint/reconnect/backoff",
        "endpoint/room",
        "endpoint/room/message",
        "endpoint/room/queue",
        "endpoint/room/rooms",
        "endpoint/room/speech",
        "endpoint/spoken",
    ],
    &[
        "endpoint/proxy",
        "endpoint/route",
        "endpoint/tcp",
        "endpoint/unix",
    ],
    &["endpoint/reconnect", "endpoint/reconnect/link"],
    &[
        "endpoint/share",
        "endpoint/share/desk",
        "endpoint/share/driver",
        "endpoint/share/farewell",
    ],
    &["endpoint/ws", "endpoint/ws/over", "endpoint/ws/secure"],
    &[
        "framing",
        "framing/chunks",
        "framing/collect",
        "framing/encoded",
        "framing/json",
        "framing/length",
        "framing/lines",
        "framing/lsp",
        "framing/options",
        "framing/requests",
        "peer",
        "peer/carry",
        "peer/early",
        "peer/ext",
        "peer/opened",
    ],
    &["session", "session/turns"],
];

/// A module by its path below the crate: `endpoint/ws/over`.
type Module = Vec<String>;

/// Each file of the program with the files that it imports.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files by their modules, `lib.rs` and what only tests have excepted.
fn files() -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    collect(&root(), &mut found);
    let tests: Vec<Module> = found
        .iter()
        .flat_map(|(at, text)| of_tests(at, text))
        .collect();
    found.retain(|at, _| !tests.iter().any(|test| at.starts_with(test)));
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let below = path.strip_prefix(root()).unwrap().with_extension("");
        let mut module: Module = below
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        module.pop_if(|last| last == "mod");
        if !["lib", "main"].contains(&module[0].as_str()) {
            found.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The modules that a file declares for tests alone.
fn of_tests(at: &Module, text: &str) -> Vec<Module> {
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| {
        let line = pair[1]
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names
        .map(|name| [&at[..], &[name.to_owned()]].concat())
        .collect()
}

/// A file without comments and without the tests at its end.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut is_test = false;
    for line in text.lines() {
        if is_test && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        is_test = line == "#[cfg(test)]";
        code += line.split("//").next().unwrap();
        code.push('\n');
    }
    code
}

/// The paths of a tree behind `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in tree.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let words = |path: &str| -> Vec<String> {
        let words = path
            .split("::")
            .map(|word| word.split_whitespace().next().unwrap_or(""));
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut found = Vec::new();
    for part in parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
    {
        match part.split_once('{') {
            None => found.push(words(part)),
            Some((before, inner)) => {
                let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
                found.extend(
                    paths(inner)
                        .into_iter()
                        .map(|path| [words(before), path].concat()),
                );
            }
        }
    }
    found
}

/// The modules that a file declares.
fn children(code: &str) -> Vec<String> {
    let names = code.lines().filter_map(|line| {
        let line = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        let line = line.trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(str::to_owned).collect()
}

/// The paths that a file names: behind `use` at its top, and in its code those that begin with `crate`, `super`, `self` or a
/// module of its own.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut uses = String::new();
    for line in code.lines() {
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .find_map(|start| line.strip_prefix(start));
        match begins {
            _ if !uses.is_empty() => uses += line,
            Some(tree) => uses += tree,
            // In a module within the file `super` is the file.
            None if !line.trim_start().starts_with("use ") => rest += line,
            None => {}
        }
        rest.push('\n');
        if let Some(tree) = uses.strip_suffix(';') {
            found.extend(paths(tree));
            uses.clear();
        }
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let starts = ["crate", "super", "self"].map(str::to_owned);
    for start in starts.into_iter().chain(children(code)) {
        for (at, _) in rest.match_indices(&format!("{start}::")) {
            if rest[..at].ends_with(is_word) {
                continue;
            }
            let end = rest[at..]
                .find(|c| !is_word(c))
                .map_or(rest.len(), |len| at + len);
            found.extend(paths(&rest[at..end]));
        }
    }
    found
}

fn graph(files: &BTreeMap<Module, String>) -> Graph {
    let mut graph = Graph::new();
    for (at, text) in files {
        let mut imports = BTreeSet::new();
        for path in named(&code(text)) {
            let mut path = &path[..];
            let mut module = at.clone();
            while let Some((first, behind)) = path.split_first() {
                match first.as_str() {
                    "crate" => module.clear(),
                    "super" => drop(module.pop()),
                    "self" => {}
                    _ => break,
                }
                path = behind;
            }
            module.extend_from_slice(path);
            while !module.is_empty() && !files.contains_key(&module) {
                module.pop();
            }
            if !module.is_empty() && module != *at {
                imports.insert(module);
            }
        }
        graph.insert(at.clone(), imports);
    }
    graph
}

/// What a file reaches by its imports and theirs.
fn reached<'a>(graph: &'a Graph, from: &Module) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut left: Vec<_> = graph[from].iter().collect();
    while let Some(module) = left.pop() {
        if found.insert(module) {
            left.extend(&graph[module]);
        }
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let graph = graph(&files());
    let imports: usize = graph.values().map(BTreeSet::len).sum();
    assert!(
        imports > 700,
        "only {imports} imports were found: the test no longer sees them"
    );
    let reached: BTreeMap<_, _> = graph.keys().map(|at| (at, reached(&graph, at))).collect();
    let mut circles = BTreeSet::new();
    for (at, others) in &reached {
        if others.contains(at) {
            let circle = others.iter().filter(|other| reached[*other].contains(at));
            circles.insert(circle.map(|module| module.join("/")).collect::<Vec<_>>());
        }
    }
    let known: BTreeSet<Vec<_>> = CIRCLES
        .iter()
        .map(|circle| circle.iter().map(|file| (*file).to_owned()).collect())
        .collect();
    assert_eq!(circles, known);
}

#[test]
fn the_parser_of_imports_sees_each_form() {
    let code = code(
        "mod n;\nuse crate::a::{b, c::{D, e as f}};\nuse super::g;\npub use self::h::*;\nfn x() { crate::i::j(); n::o() } // crate::k\n\
         mod inner {\n    use super::{L};\n}\n#[cfg(test)]\nmod tests {\n    use crate::m;\n}\n",
    );
    let found: Vec<_> = named(&code).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a::b",
        "crate::a::c::D",
        "crate::a::c::e",
        "super::g",
        "self::h::*",
        "crate::i::j",
        "n::o",
    ];
    assert_eq!(found, expected);
}
