//! What each signal does, as text.

use std::fmt::Write;

use crate::columns::indented;

/// Signals, and what they do.
pub(super) const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGINT, SIGTERM",
        "The first closes the listening sockets and has each session end: it is sent Close 1001 as soon as nothing has come \
         for 250 ms either way. What still comes at half the time of --drain is cut and told as cut: Close 1011, a reset. \
         Sessions have the time of --drain to end. With stdin, in rooms and with datagrams nothing is waited for. The second \
         ends the program at once.",
    ),
    (
        "SIGHUP",
        "Reads again what can be read again, and logs what that was: certificates, keys and authorities; the files of \
         --password-file, --bearer, --netrc and -H; and it opens the file of --tee anew, so that it can be moved away before. \
         Where new files are no good the old ones stay in use, with a warning. It stops the program, as SIGTERM does, only \
         where its terminal has gone: its controlling one, or that of standard input or output. Exit status 129. A program \
         without a terminal, such as a service, never ends by it. ssh sends it to its ProxyCommand and closes the pipes: that \
         session ends because its input has ended and its output has no reader.",
    ),
    (
        "SIGUSR1",
        "Writes the table of sessions to the log, a line each: number, caller, target, age in seconds, bytes to the right and \
         to the left, and what it does. With --quiet there is none.",
    ),
    ("SIGUSR2", "Means nothing yet, and ends nothing."),
    (
        "SIGPIPE",
        "Ignored: a reader of stdout that has left (| head) is an end, with Close 1000 and status 0.",
    ),
];

/// What holds for all of them.
pub(super) const ALL_SIGNALS: &str =
    "One that was ignored at the start stays so: under nohup a terminal that goes ends nothing.";

/// The page.
pub(super) fn signals_text() -> String {
    let mut text = String::from("SIGNALS\n");
    for (name, words) in SIGNALS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{name}\n{}", indented(words, 2));
    }
    text + "\n" + &indented(ALL_SIGNALS, 0) + "\n" + include_str!("topics/log.txt")
}
