//! Generated files are what the tables say: man page, completions and the blocks of the README. `BLESS=1` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};

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
fn the_manual_pages_and_completions() {
    let command = cli::command();
    for file in docs::GENERATED {
        check(file.path, &(file.text)(&command));
    }
}

/// What is installed can be had from the program itself.
#[test]
fn the_program_prints_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in docs::GENERATED {
        let printed = std::process::Command::new(env!("CARGO_BIN_EXE_wsbridge"))
            .args(["--generate", file.name])
            .output()
            .unwrap();
        assert!(printed.status.success(), "{}", file.name);
        let kept = fs::read_to_string(root.join(file.path)).unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), kept);
    }
}

#[test]
fn the_blocks_of_the_readme() {
    let mut readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (name, block) in [
        ("cookbook", docs::cookbook_markdown()),
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

#[test]
fn the_promises_of_the_readme_are_tests_of_their_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let tests = fs::read_to_string(root.join("tests/it/promises.rs")).unwrap();
    let (_, promises) = readme.split_once("## Eight promises\n").unwrap();
    let (promises, _) = promises.split_once("\n## ").unwrap();
    let mut count = 0;
    for (number, bold) in promises.split("**").skip(1).step_by(2).enumerate() {
        let words = bold.to_lowercase().replace([',', '.'], "");
        let name = words.split_whitespace().collect::<Vec<_>>().join("_");
        let test = format!("#[test]\nfn {name}() {{");
        assert!(tests.contains(&test), "{}: {name}", number + 1);
        count += 1;
    }
    assert_eq!(count, 8);
}

/// Every command line that the documentation shows is one that the program understands.
#[test]
fn every_example_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("both.pem");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let text = made.cert.pem() + &made.signing_key.serialize_pem();
    fs::write(&pem, text).unwrap();
    fs::write(folder.path().join("token"), "secret").unwrap();
    let place = |word: &str| {
        let pem = pem.to_str().unwrap();
        let word = word.replace("/etc/wsbridge/chain.pem", pem);
        let word = word.replace("/etc/wsbridge/key.pem", pem);
        let token = folder.path().join("token");
        let word = word.replace("/etc/wsbridge/token", token.to_str().unwrap());
        match word.as_str() {
            // Programs that are not on every machine.
            "./count.sh" | "./program" | "bc" | "typescript-language-server" | "python3" => {
                "cat".to_owned()
            }
            _ => word.replace("@subscribe.json", "@Cargo.toml"),
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let of_readme = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let recipes = docs::COOKBOOK.iter().flat_map(|recipe| recipe.lines);
    let schemes = wsbridge::scheme::SCHEMES.iter();
    let lines = docs::EXAMPLES
        .iter()
        .map(|row| row.0)
        .chain(schemes.map(|scheme| scheme.example))
        .chain(recipes.copied())
        .chain(of_readme);
    let mut count = 0;
    for line in lines {
        for words in commands(&line.replace("cargo run --release --", "wsbridge")) {
            let words = words.iter().map(|word| place(word).into());
            let (args, matches) = cli::parse(words).unwrap_or_else(|why| panic!("{line}: {why}"));
            if let Ok(Some(_)) = args.page() {
                count += 1;
                continue;
            }
            if let Ok(Some(_)) = args.patients(&matches, &args.world()) {
                count += 1;
                continue;
            }
            if let Err(why) = args.plan(&matches, &args.world()) {
                panic!("{line}: {why:#}");
            }
            count += 1;
        }
    }
    assert!(count >= 80, "only {count} examples were found");
}

#[test]
fn every_recipe_calls_us() {
    for recipe in docs::COOKBOOK {
        let count: usize = recipe.lines.iter().map(|line| commands(line).len()).sum();
        assert!(count > 0, "{}", recipe.title);
    }
}

#[test]
fn commands_are_found_in_lines() {
    #[track_caller]
    fn check(line: &str, expected: &[&[&str]]) {
        assert_eq!(commands(line), expected, "{line}");
    }
    check("a | wsbridge 'b c' >d | e", &[&["wsbridge", "b c"]]);
    check("ssh -o P='wsbridge -b x' h", &[&["wsbridge", "-b", "x"]]);
    check(
        "ExecStart=/usr/bin/wsbridge x  # y",
        &[&["/usr/bin/wsbridge", "x"]],
    );
    check(
        "run --init wsbridge 'ws-l:*:1'",
        &[&["wsbridge", "ws-l:*:1"]],
    );
    check("COPY wsbridge /usr/bin/wsbridge", &[]);
    check("[Service]", &[]);
}

/// The calls of the program in a line of shell or of a file, as words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut current: Option<Vec<String>> = None;
    let line = line.replace("ExecStart=", "ExecStart= ");
    if line.starts_with("COPY ") || line.starts_with("ENTRYPOINT ") {
        return found;
    }
    for word in shell_words(&line) {
        let is_ours = word == "wsbridge" || word == "/usr/bin/wsbridge";
        match (&mut current, word.as_str()) {
            (None, _) if is_ours => current = Some(vec![word]),
            (None, inside) if inside.contains("wsbridge ") => {
                let at = inside.find("wsbridge ").unwrap();
                found.extend(commands(&inside[at..]));
            }
            (Some(_), "|" | "&" | "&&" | ";" | "#" | "<" | ">") => found.extend(current.take()),
            (Some(words), _) => words.push(word),
            (None, _) => {}
        }
    }
    found.extend(current);
    found
}

/// Words as a shell makes them of a line without variables; what ends a command is a word of its own.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | ';' | '<' | '>') => {
                words.extend(word.take());
                words.push(character.to_string());
            }
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
