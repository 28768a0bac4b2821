//! Subprotocols by what they ask of whoever agrees to them.

/// Subprotocols that say how payload is written, which this program does not do: agreeing to one of them would break both
/// ends. Where a name begins with a dot, all names that end so are meant.
const NOT_SPOKEN: &[&str] = &[
    // websockify's: each message is base64.
    "base64",
    // Those of Kubernetes: the first byte of each message names a stream.
    ".channel.k8s.io",
    // The same with a token in the name of the subprotocol.
    ".authorization.k8s.io",
    // Its messages may be base64, too.
    ".binary.k8s.io",
    // Ours, for sessions that survive a lost connection: the first byte of each message is its type.
    "wsbridge.resume.v1",
    // ttyd's: the first byte of each message is a command.
    "tty",
];

/// Whether a bridge that passes payload on as it is may agree to a subprotocol on its own account.
pub(super) fn is_spoken(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_meant = |row: &&str| match row.strip_prefix('.') {
        Some(_) => name.ends_with(*row) || name.contains(&format!("{row}.")),
        None => name == **row,
    };
    !NOT_SPOKEN.iter().any(is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_payload_is_not_spoken() {
        for name in [
            "base64",
            "Base64",
            "tty",
            "v4.channel.k8s.io",
            "v5.base64.channel.k8s.io",
            "base64.binary.k8s.io",
            "wsbridge.resume.v1",
            "base64url.bearer.authorization.k8s.io.dG9rZW4",
        ] {
            assert!(!is_spoken(name), "{name}");
        }
        for name in ["binary", "mqtt", "chat", "base64.v2", "graphql-ws", "xmpp"] {
            assert!(is_spoken(name), "{name}");
        }
    }
}
