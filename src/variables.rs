//! The environment variables that options fall back to. `main` reads them; nothing else does.

use std::ffi::OsString;

use crate::secret::Secret;

/// Every variable that is read, with what it is for. Of two spellings the one in lower case wins.
pub const VARIABLES: &[(&str, &str)] = &[
    ("http_proxy", "The proxy for ws://, as --proxy takes it"),
    ("https_proxy", "The proxy for wss://"),
    (
        "all_proxy",
        "The proxy for those that have none of their own",
    ),
    (
        "no_proxy",
        "Hosts that are reached without a proxy, as --no-proxy takes them",
    ),
    (
        "WSBRIDGE_PASSWORD",
        "The password of --user, or of the user in a URL",
    ),
    ("NETRC", "The file of --netrc"),
    ("HOME", "Where ~/.netrc and ~/.local/state are"),
    ("XDG_STATE_HOME", "Where the prompt keeps wsbridge/history"),
    ("NO_COLOR", "Set to anything, the prompt has no colours"),
    ("PAGER", "What shows help at a terminal: less -FRX"),
    ("TERM", "The terminal; where it is dumb there is no prompt"),
];

/// The variables that are set.
#[derive(Clone, Debug, Default)]
pub struct Variables(Vec<(String, Secret)>);

impl Variables {
    /// Keeps those of the environment that have a meaning here.
    pub fn of(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
        let mut kept = Vec::new();
        for (name, value) in environment {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
                continue;
            };
            let is_known = VARIABLES
                .iter()
                .any(|(known, _)| *known == name || known.to_ascii_uppercase() == name);
            if is_known {
                kept.push((name, Secret::from(value)));
            }
        }
        Variables(kept)
    }

    /// The value of a variable by its name in [`VARIABLES`], else by that name in capitals.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = |name: &str| {
            let mut kept = self.0.iter();
            kept.find(|(kept, _)| kept == name)
                .map(|(_, value)| value.reveal())
        };
        value(name).or_else(|| value(&name.to_ascii_uppercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_wins_and_others_are_not_kept() {
        let set = [
            ("HTTP_PROXY", "upper"),
            ("http_proxy", "lower"),
            ("ALL_PROXY", "all"),
            ("PATH", "/bin"),
        ];
        let set = set.map(|(name, value)| (name.into(), value.into()));
        let variables = Variables::of(set);
        assert_eq!(variables.get("http_proxy"), Some("lower"));
        assert_eq!(variables.get("all_proxy"), Some("all"));
        assert_eq!(variables.get("https_proxy"), None);
        assert_eq!(variables.get("PATH"), None);
        assert!(!format!("{variables:?}").contains("lower"));
    }
}
