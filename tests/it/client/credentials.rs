//! Who the client says that it is, and that nobody else hears of it.

use std::fs;

use data_encoding::BASE64;

use super::{OPEN, server};
use crate::http::headers;
use crate::support::{Finished, run_in};

/// Variables, words, what stands before the `@` of the URL, and what is expected.
type Row<'a> = (
    &'a [(&'a str, &'a str)],
    &'a [&'a str],
    &'a str,
    Option<&'a str>,
);

/// Runs against a server and returns what Authorization it saw; nothing that was said may show a secret.
#[track_caller]
fn asked(variables: &[(&str, &str)], words: &[&str], user_info: &str) -> Option<String> {
    let (port, server) = server(vec![OPEN.to_owned()]);
    let url = format!("ws://{user_info}127.0.0.1:{port}/");
    let words: Vec<_> = ["-vvv"]
        .iter()
        .chain(words)
        .copied()
        .chain([url.as_str()])
        .collect();
    let done = run_in(variables, &words, "");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_is_hidden(&done);
    let request = server.join().unwrap().remove(0);
    let found = headers(&request, "authorization");
    assert!(found.len() < 2, "{request}");
    let value = found.first()?;
    Some(match value.strip_prefix("Basic ") {
        Some(words) => String::from_utf8(BASE64.decode(words.as_bytes()).unwrap()).unwrap(),
        None => (*value).to_owned(),
    })
}

#[track_caller]
fn assert_is_hidden(done: &Finished) {
    for secret in ["hush", "aHVza", "h%75sh"] {
        assert!(!done.stderr.contains(secret), "{}", done.stderr);
    }
}

#[test]
fn user_and_password_come_from_where_they_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let password = file("password", "hush from file\nmore\n");
    let token = file("token", "hush-token\n");
    let netrc = file(
        ".netrc",
        "machine 127.0.0.1 login me password hush-netrc\ndefault login no password no\n",
    );
    let home = folder.path().display().to_string();
    let by_file = format!("--netrc={netrc}");
    let by_token_file = format!("@{token}");
    let variable = &[("WSBRIDGE_PASSWORD", "hush-variable")][..];
    let rows: &[Row] = &[
        (&[], &[], "", None),
        (&[], &["--user", "me:hu:sh"], "", Some("me:hu:sh")),
        (&[], &["--user", "me"], "", Some("me:")),
        (&[], &[], "me:h%75sh@", Some("me:hush")),
        (&[], &["--user", "other:x"], "m%40e:hush@", Some("m@e:hush")),
        (
            &[],
            &["--user", "me", "--password-file", &password],
            "",
            Some("me:hush from file"),
        ),
        (variable, &["--user", "me"], "", Some("me:hush-variable")),
        (variable, &[], "me@", Some("me:hush-variable")),
        (variable, &[], "", None),
        (
            variable,
            &["--password-file", &password],
            "me@",
            Some("me:hush from file"),
        ),
        (&[], &[&by_file], "", Some("me:hush-netrc")),
        (&[], &[&by_file, "--user", "me"], "", Some("me:hush-netrc")),
        (&[("HOME", &home)], &["--netrc"], "", Some("me:hush-netrc")),
        (
            &[("NETRC", &netrc)],
            &["--netrc"],
            "",
            Some("me:hush-netrc"),
        ),
        (&[], &["--bearer", "hush"], "", Some("Bearer hush")),
        (
            &[],
            &["--bearer", &by_token_file],
            "",
            Some("Bearer hush-token"),
        ),
        (
            &[],
            &["--user", "a:b", "-H", "Authorization: hush"],
            "",
            Some("hush"),
        ),
        (&[], &["--user", "a:b", "-H", "Authorization:"], "", None),
    ];
    for (variables, words, user_info, expected) in rows {
        let found = asked(variables, words, user_info);
        assert_eq!(found.as_deref(), *expected, "{words:?} {user_info}");
    }
}

#[test]
fn errors_do_not_show_a_secret() {
    for words in [
        &["ws://me:hush@127.0.0.1:1/"][..],
        &["ws://me:hush@127.0.0.1:port/"],
        &["ws://me:hush/hush@127.0.0.1/"],
        &["ws://me:hush%@127.0.0.1/"],
        &["ws://127.0.0.1:1/#user=me:hush,nonsense=1"],
        &["ws://127.0.0.1:port/#bearer=hush"],
        &["--user", "me:hush", "--bearer", "hush", "ws://127.0.0.1:1"],
        &["--proxy", "http://me:hush@127.0.0.1:port", "ws://h"],
        &["--proxy", "nonsense://me:hush@h", "ws://h"],
        &["--proxy", "http://me:hush@127.0.0.1:1", "ws://h"],
        &["-o", "left.user=me:hush", "tcp-l:0", "ws://h"],
        &["--password-file", "/nonexistent", "--user", "me", "ws://h"],
        &["--password-file", "/dev/null", "ws://h"],
        &["--user", "me:hush", "tcp:127.0.0.1:1"],
    ] {
        let words: Vec<_> = ["-vv"].iter().chain(words).copied().collect();
        let done = run_in(&[], &words, "");
        assert!(
            [2, 3, 7].contains(&done.status),
            "{words:?}: {}",
            done.stderr
        );
        assert!(!done.stderr.is_empty());
        assert_is_hidden(&done);
    }
    let variables = [("http_proxy", "http://me:hush@h:port")];
    let done = run_in(&variables, &["ws://127.0.0.1:1"], "");
    assert_eq!(done.status, 5, "{}", done.stderr);
    assert!(
        done.stderr.contains("the variable http_proxy"),
        "{}",
        done.stderr
    );
    assert_is_hidden(&done);
}
