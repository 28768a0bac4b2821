//! Words that no message may show: passwords, tokens, and what may contain them.
//!
//! An option is secret by its type: where the field of a group of options is a [`Secret`] or an [`Assignment`], its values are
//! hidden in errors, in the log and by `--explain`. The table of options declares the keys once, at the start.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::OnceLock;

use clap::Arg;

use crate::word::{Word, joined};

/// What stands for a secret.
pub(crate) const HIDDEN: &str = "***";

/// The keys of secret options, once they were declared.
static KEYS: OnceLock<Vec<String>> = OnceLock::new();

/// Declares the keys of all secret options. Only the first call counts.
pub(crate) fn declare(keys: Vec<String>) {
    let _ = KEYS.set(keys);
}

/// Whether values of an option are secret. Before they were declared all are.
pub(crate) fn is_key(key: &str) -> bool {
    is_like_key(|own| own.eq_ignore_ascii_case(key))
}

/// Whether the key of a secret option is like a typed one. Before they were declared all are.
pub(crate) fn is_like_key(is_like: impl Fn(&str) -> bool) -> bool {
    let keys = KEYS.get();
    keys.is_none_or(|keys| keys.iter().any(|own| is_like(own)))
}

/// Whether the values of an argument are secret, by their type.
pub(crate) fn is_secret(arg: &Arg) -> bool {
    let kind = arg.get_value_parser().type_id();
    [
        TypeId::of::<Secret>(),
        TypeId::of::<Secret<OsString>>(),
        TypeId::of::<Assignment>(),
    ]
    .iter()
    .any(|secret| kind == *secret)
}

/// A value of a secret argument as it is shown: of an assignment its name.
pub(crate) fn hide(arg: &Arg, value: &OsStr) -> OsString {
    let is_assignment = arg.get_value_parser().type_id() == TypeId::of::<Assignment>();
    match value.cut_at('=') {
        Some((name, _)) if is_assignment => joined([name, "=".as_ref(), HIDDEN.as_ref()]),
        None if is_assignment => value.to_owned(),
        _ => HIDDEN.into(),
    }
}

/// A text, or a word of any bytes, that its `Debug` does not show; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl Secret {
    /// The text itself, for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Secret<OsString> {
    /// The word itself; the name of a file may be in it.
    pub fn reveal_word(&self) -> &OsStr {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl From<OsString> for Secret<OsString> {
    fn from(word: OsString) -> Secret<OsString> {
        Secret(word)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// `NAME=VALUE`, whose value may be secret, or `NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment(OsString);

impl Assignment {
    /// The name.
    pub fn name(&self) -> &OsStr {
        self.0.cut_at('=').map_or(&self.0, |(name, _)| name)
    }

    /// The value, where there is one.
    pub fn value(&self) -> Option<&OsStr> {
        self.0.cut_at('=').map(|(_, value)| value)
    }
}

impl From<OsString> for Assignment {
    fn from(word: OsString) -> Assignment {
        Assignment(word)
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={HIDDEN}", self.name().escaped())
    }
}

/// Words in the names of parameters of a query whose values are secret.
const PARAMETERS: &[&str] = &[
    "token", "key", "secret", "pass", "pwd", "auth", "sig", "jwt", "session", "sid", "cred",
    "ticket", "code", "bearer", "access",
];
/// From so many characters on a value that mixes letters and digits is taken for a secret, whatever its name.
const LONG: usize = 20;

/// Whether a parameter of a query may be secret, by its name and its value.
pub(crate) fn is_parameter(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_random(value) || PARAMETERS.iter().any(|word| name.contains(word))
}

/// Whether a text looks like a secret.
fn is_random(text: &str) -> bool {
    let has = |what: fn(&u8) -> bool| text.as_bytes().iter().any(what);
    text.len() >= LONG && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// Behind it a token stands in the name of a subprotocol of Kubernetes.
const OF_KUBERNETES: &str = "authorization.k8s.io";
/// Words behind which a token stands in the name of a subprotocol: a page has no other header for it.
const OF_PROTOCOLS: &[&str] = &[
    "authorization",
    "access_token",
    "access-token",
    "password",
    "api_key",
    "api-key",
    "apikey",
    "bearer",
    "secret",
    "ticket",
    "token",
    "jwt",
];

/// The names of subprotocols, set apart by commas, without the tokens that some pages put there: behind a word in a name
/// (`bearer.TOKEN`), as the name that follows such a word, or as a name that looks like one.
pub(crate) fn protocols<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut shown = Vec::new();
    let mut is_behind_word = false;
    for name in names {
        shown.push(match in_protocol(name) {
            _ if is_behind_word => HIDDEN.to_owned(),
            Some(at) => format!("{}{HIDDEN}", &name[..at]),
            None => name.to_owned(),
        });
        is_behind_word = OF_PROTOCOLS
            .iter()
            .any(|word| word.eq_ignore_ascii_case(name));
    }
    shown.join(", ")
}

/// Where a token begins in the name of a subprotocol.
pub(crate) fn in_protocol(name: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    let place = |word: &&str| lower.find(*word).map(|at| (at, at + word.len()));
    let first = || OF_PROTOCOLS.iter().filter_map(place).min();
    let of_word = place(&OF_KUBERNETES).or_else(first).and_then(|(_, end)| {
        let mark = name[end..].chars().next().filter(|c| !c.is_alphanumeric());
        let at = end + mark.map_or(0, char::len_utf8);
        (at < name.len()).then_some(at)
    });
    let mut begin = 0;
    let of_look = name.split('.').find_map(|label| {
        let at = begin;
        begin += label.len() + 1;
        is_random(label).then_some(at)
    });
    of_word.into_iter().chain(of_look).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command};

    #[derive(Args)]
    struct Options {
        /// A password
        #[arg(long)]
        word: Option<Secret>,
        /// A password or a file
        #[arg(long)]
        word_or_file: Option<Secret<OsString>>,
        /// Variables
        #[arg(long)]
        var: Vec<Assignment>,
        /// A name
        #[arg(long)]
        name: Option<String>,
    }

    #[test]
    fn an_option_is_secret_by_its_type() {
        let command = Options::augment_args(Command::new(""));
        let arg = |key: &str| {
            let mut all = command.get_arguments();
            all.find(|arg| arg.get_long() == Some(key)).unwrap().clone()
        };
        assert!(is_secret(&arg("word")) && is_secret(&arg("var")) && !is_secret(&arg("name")));
        assert!(is_secret(&arg("word-or-file")));
        let hide = |key: &str, value: &str| hide(&arg(key), value.as_ref());
        assert_eq!(hide("word", "a=b"), "***");
        assert_eq!(hide("var", "A=b=c"), "A=***");
        assert_eq!(hide("var", "A"), "A");
    }

    #[test]
    fn parameters_are_secret_by_name_or_by_look() {
        for (name, value) in [
            ("token", "x"),
            ("access_token", ""),
            ("X-Amz-Signature", "x"),
            ("q", "eyJhbGciOiJIUzI1NiJ9abc"),
        ] {
            assert!(is_parameter(name, value), "{name}");
        }
        for (name, value) in [
            ("room", "3"),
            ("a", "b"),
            ("text", "hello hello hello hello"),
        ] {
            assert!(!is_parameter(name, value), "{name}");
        }
    }

    #[test]
    fn tokens_in_names_of_subprotocols_are_hidden() {
        for (offered, shown) in [
            (
                "mqtt, v5.base64.channel.k8s.io",
                "mqtt, v5.base64.channel.k8s.io",
            ),
            (
                "base64url.bearer.authorization.k8s.io.dG9r, v4.channel.k8s.io",
                "base64url.bearer.authorization.k8s.io.***, v4.channel.k8s.io",
            ),
            ("Bearer, x, mqtt", "Bearer, ***, mqtt"),
            ("bearer.x", "bearer.***"),
            ("bearerx", "bearer***"),
            ("chat.token-x.y", "chat.token-***"),
            ("bearer.bearer", "bearer.***"),
            ("eyJhbGciOiJIUzI1NiJ9abc.e30.x", "***"),
            ("chat.0123456789abcdef0123", "chat.***"),
            ("authorization.k8s.io", "authorization.k8s.io"),
            ("graphql-transport-ws", "graphql-transport-ws"),
            ("bearer.ü", "bearer.***"),
            ("bearerü", "bearer***"),
            ("", ""),
        ] {
            assert_eq!(protocols(offered.split(", ")), shown);
        }
    }

    #[test]
    fn nothing_shows_itself() {
        let shown = format!(
            "{:?} {:?}",
            Secret::from("a"),
            Assignment::from(OsString::from("A=b"))
        );
        assert_eq!(shown, "*** A=***");
    }
}
