//! What a line means that was typed at the prompt: a message, or a command behind a slash.

use crate::address::nearest;
use crate::ending::Close;

/// A line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Message(String),
    Ping,
    Close(Close),
    SendFile(String),
    Binary(Vec<u8>),
    Quit,
    Help,
    Wrong(String),
}

/// Every command, what it takes and what it does.
pub(super) const COMMANDS: &[(&str, &str, &str)] = &[
    ("/ping", "", "send a ping and show how long its pong takes"),
    (
        "/close",
        "[CODE [REASON]]",
        "close with this code (1000, 3000-4999)",
    ),
    (
        "/send-file",
        "FILE",
        "send a file as one message, text where it is UTF-8",
    ),
    ("/binary", "HEX", "send these bytes"),
    ("/quit", "", "close and end"),
    ("/help", "", "show this; //TEXT sends /TEXT"),
];

/// Reads a line. One of many lines was pasted, and is a message whatever it begins with.
pub(super) fn read(line: String) -> Line {
    if !line.starts_with('/') || line.contains('\n') {
        return Line::Message(line);
    }
    if line.starts_with("//") {
        return Line::Message(line[1..].to_owned());
    }
    let (name, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let rest = rest.trim();
    match (name, rest) {
        ("/ping", "") => Line::Ping,
        ("/quit", "") => Line::Quit,
        ("/help", "") => Line::Help,
        ("/close", _) => close(rest),
        ("/send-file", "") => Line::Wrong("which file? /send-file FILE".to_owned()),
        ("/send-file", _) => Line::SendFile(rest.to_owned()),
        ("/binary", _) => binary(rest),
        _ if COMMANDS.iter().any(|row| row.0 == name) => {
            Line::Wrong(format!("{name} takes nothing"))
        }
        _ => {
            let near = nearest(name, COMMANDS.iter().map(|row| row.0));
            let advice = near.map_or("/help shows all".to_owned(), |near| {
                format!("did you mean {near}?")
            });
            Line::Wrong(format!(
                "unknown command {name}; {advice}; //TEXT sends /TEXT"
            ))
        }
    }
}

fn close(rest: &str) -> Line {
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = if code.is_empty() {
        Ok(1000)
    } else {
        code.parse()
    };
    match code {
        _ if reason.trim().len() > 123 => Line::Wrong("a reason has at most 123 bytes".to_owned()),
        // The others are the protocol's own to send.
        Ok(code @ (1000 | 3000..=4999)) => Line::Close(Close::new(code, reason.trim())),
        _ => Line::Wrong("the code of a close is 1000 or 3000 to 4999".to_owned()),
    }
}

fn binary(rest: &str) -> Line {
    let digits: String = rest.split_whitespace().collect();
    match data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
        Ok(bytes) => Line::Binary(bytes),
        Err(_) => Line::Wrong("bytes are pairs of hex digits: /binary 00 ff".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &Line) {
        assert_eq!(&read(line.to_owned()), expected, "{line}");
    }

    #[track_caller]
    fn wrong(line: &str, what: &str) {
        match read(line.to_owned()) {
            Line::Wrong(said) => assert!(said.contains(what), "{said}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_slash_begins_a_command_and_two_begin_a_message() {
        let message = |text: &str| Line::Message(text.to_owned());
        check("hello", &message("hello"));
        check("", &message(""));
        check("//ping", &message("/ping"));
        check("/ping\nmore", &message("/ping\nmore"));
        check("/ping", &Line::Ping);
        check("/quit ", &Line::Quit);
        check("/help", &Line::Help);
        check("/close", &Line::Close(Close::new(1000, "")));
        check(
            "/close 4001 bye now",
            &Line::Close(Close::new(4001, "bye now")),
        );
        check("/send-file a b", &Line::SendFile("a b".to_owned()));
        check("/binary 00 fF", &Line::Binary(vec![0, 255]));
        check("/binary", &Line::Binary(vec![]));
    }

    #[test]
    fn what_is_no_command_is_told() {
        wrong("/pnig", "did you mean /ping?");
        wrong("/etc/passwd", "//TEXT sends /TEXT");
        wrong("/ping 5", "takes nothing");
        wrong("/close 1006", "1000 or 3000 to 4999");
        wrong("/close x", "1000 or 3000 to 4999");
        wrong("/binary 0", "pairs of hex digits");
        wrong("/send-file", "which file");
    }
}
