//! Generated files are what the tables say: man page, completions and the blocks of the README. `BLESS=1` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate};
use clap_mangen::Man;
use wsbridge::{cli, docs};

/// Compares a file with what it should be, or makes it so.
#[track_caller]
fn check(path: &str, expected: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not what the tables say: run BLESS=1 cargo test",
        path.display()
    );
}

#[test]
fn the_man_page() {
    let command = cli::command().after_help("");
    let man = Man::new(command).date("2026").manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    check(
        "man/wsbridge.1",
        &format!(
            "{}{}",
            String::from_utf8(page).unwrap(),
            docs::man_sections()
        ),
    );
}

#[test]
fn the_completions() {
    for (shell, name) in [
        (Shell::Bash, "wsbridge.bash"),
        (Shell::Zsh, "_wsbridge"),
        (Shell::Fish, "wsbridge.fish"),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut cli::command(), "wsbridge", &mut script);
        check(
            &format!("completions/{name}"),
            &String::from_utf8(script).unwrap(),
        );
    }
}

#[test]
fn the_blocks_of_the_readme() {
    let mut readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (name, block) in [
        ("endpoints", docs::endpoints_markdown()),
        ("endings", docs::endings_markdown()),
        ("exit-statuses", docs::exit_statuses_markdown()),
    ] {
        let begin = format!("<!-- {name} -->\n");
        let from = readme.find(&begin).expect("the README has the block") + begin.len();
        let to = from
            + readme[from..]
                .find("<!-- end -->")
                .expect("the block has an end");
        readme.replace_range(from..to, &block);
    }
    check("README.md", &readme);
}

/// Every command line that the documentation shows is one that the program understands.
#[test]
fn every_example_is_understood() {
    let examples = docs::EXAMPLES.iter().map(|row| row.0);
    let of_schemes = wsbridge::scheme::SCHEMES
        .iter()
        .map(|scheme| scheme.example);
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let of_readme = readme
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split("  #").next());
    let mut count = 0;
    for line in examples.chain(of_schemes).chain(of_readme) {
        let line = line
            .rsplit("| ")
            .next()
            .unwrap()
            .replace("cargo run --release --", "wsbridge");
        if !line.starts_with("wsbridge ") {
            continue;
        }
        let (args, matches) = cli::parse(line.split_whitespace().map(Into::into)).unwrap();
        assert!(args.plan(&matches).is_ok(), "{line}");
        count += 1;
    }
    assert!(count >= 20, "only {count} examples were found");
}
