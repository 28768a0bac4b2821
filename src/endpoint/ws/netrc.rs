//! The file of users and passwords by host, as ftp(1) reads it. Nothing here reads a file.

use crate::host;

/// The user and the password for a host; of several those of `user` where one is given.
pub(super) fn find(text: &str, host: &str, user: Option<&str>) -> Option<(String, String)> {
    let mut words = words(text).into_iter();
    // Whether what follows is of this host, and what it has said so far.
    let (mut is_ours, mut login, mut password) = (false, None, None);
    loop {
        let word = words.next();
        if matches!(word.as_deref(), None | Some("machine" | "default")) {
            let is_wanted = user.is_none() || user == login.as_deref();
            if let (true, true, Some(password)) = (is_ours, is_wanted, password.take()) {
                return Some((login.unwrap_or_default(), password));
            }
            (login, password) = (None, None);
        }
        match word.as_deref() {
            None => return None,
            Some("default") => is_ours = true,
            Some("machine") => {
                // It may be written as people do, the host is as DNS has it.
                let machine = host::ascii(&words.next()?);
                is_ours = machine.is_some_and(|machine| machine.eq_ignore_ascii_case(host));
            }
            Some("login") => login = words.next(),
            Some("password") => password = words.next(),
            Some("account") => drop(words.next()),
            Some(_) => {}
        }
    }
}

/// Words, which may be quoted, without comments and macros.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut is_macro = false;
    for line in text.lines() {
        // A macro ends at an empty line.
        is_macro &= !line.trim().is_empty();
        let mut rest = line.trim_start();
        while !is_macro && !rest.is_empty() && !rest.starts_with('#') {
            let (word, behind) = word(rest);
            rest = behind.trim_start();
            is_macro = word == "macdef";
            words.push(word);
        }
    }
    words
}

fn word(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut word = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (word, &quoted[at + 1..]),
            '\\' => word.extend(chars.next().map(|(_, char)| char)),
            other => word.push(other),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# machine h.test login no password no
machine h.test
    login me password one
machine h.test login \"other one\" password \"t \\\" wo\"
macdef init
machine macro.test login no password no

machine bücher.test login b password c
machine last.test account x password only
default login any password all
";

    #[track_caller]
    fn check(host: &str, user: Option<&str>, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
        assert_eq!(find(FILE, host, user), expected);
    }

    #[test]
    fn a_host_has_the_first_row_that_fits() {
        check("H.test", None, Some(("me", "one")));
        check("h.test", Some("other one"), Some(("other one", "t \" wo")));
        check("last.test", None, Some(("", "only")));
        check("xn--bcher-kva.test", None, Some(("b", "c")));
        check("unknown.test", None, Some(("any", "all")));
        check("macro.test", Some("no"), None);
        check("h.test", Some("nobody"), None);
        assert_eq!(find("machine h login", "h", None), None);
        assert_eq!(find("machine", "h", None), None);
    }
}
