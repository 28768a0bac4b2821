//! What the other end of a handshake is called in messages, and which options this side has against what is wrong.

/// The other end of a handshake. A hint names only options that this side has.
#[derive(Debug)]
pub(super) struct Side {
    /// What it is called.
    pub(super) name: &'static str,
    /// The option that names whom to trust.
    pub(super) trusts: &'static str,
    /// What its certificate is one of.
    pub(super) kind: &'static str,
    /// Whether it can be trusted by its key, and asked for by another name.
    pub(super) is_chosen: bool,
    /// Whether there is a certificate of ours for it.
    pub(super) takes_own: bool,
    /// Whether the versions and application protocols can be chosen.
    pub(super) has_versions: bool,
    /// How it is reached without TLS, where it is dialled.
    pub(super) without: Option<&'static str>,
}

/// A server that we dial.
pub(super) const SERVER: Side = Side {
    name: "the server",
    trusts: "--cacert",
    kind: "server",
    is_chosen: true,
    takes_own: true,
    has_versions: true,
    without: Some("ws:// or tcp:"),
};

/// A proxy on the way to a server.
pub(super) const PROXY: Side = Side {
    name: "the proxy",
    trusts: "--proxy-cacert",
    kind: "server",
    is_chosen: false,
    takes_own: false,
    has_versions: false,
    without: Some("--proxy http://"),
};

/// A caller of our own server.
pub(super) const CALLER: Side = Side {
    name: "the caller",
    trusts: "--client-ca",
    kind: "client",
    is_chosen: false,
    takes_own: false,
    has_versions: true,
    without: None,
};

impl Side {
    /// Says that it wants a certificate, and what shows one.
    pub(super) fn wants_certificate(&self) -> String {
        match self.takes_own {
            true => format!(
                "{} wants a certificate of ours; --cert FILE and --key FILE are one",
                self.name
            ),
            false => format!(
                "{} wants a certificate of ours, and there is none for it",
                self.name
            ),
        }
    }

    /// Says what a connection that ended without an alert may mean, after it asked for a certificate that we do not have.
    pub(super) fn ended_without_alert(&self) -> String {
        let hint = match self.takes_own {
            true => "it may want --cert",
            false => "it may want a certificate of ours",
        };
        format!(
            "{} closed the connection after the request: {hint}",
            self.name
        )
    }
}
