//! Why a handshake failed: the words and the cause, for each role.

use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
};

use super::certificate::Described;
use super::verify::{self, Untrusted};
use crate::ending::{Cause, errno_text};

/// The error of TLS within one of a stream.
pub(super) fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

const SERVER: &str = "the server";

/// Why a client got no TLS.
pub(super) fn of_client(error: &io::Error) -> (Cause, String) {
    let Some(tls) = inner(error) else {
        return (Cause::TlsCut, transport(error, SERVER));
    };
    match tls {
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            let what = other.downcast_ref::<Untrusted>();
            let what = what.map_or_else(|| other.to_string(), |it| it.0.clone());
            (Cause::NotTrusted, what)
        }
        Error::InvalidCertificate(error) => (
            Cause::NotTrusted,
            verify::words(error, &Described::default(), None),
        ),
        Error::AlertReceived(alert) => match of_alert(*alert) {
            Some(what) => (Cause::OwnCertificate, what),
            None => (Cause::Tls, alerted(*alert, SERVER)),
        },
        other => (Cause::Tls, protocol(other, SERVER)),
    }
}

/// Why a caller got no TLS.
pub(super) fn of_server(error: &io::Error) -> (Cause, String) {
    let Some(tls) = inner(error) else {
        return (Cause::Tls, transport(error, "the caller"));
    };
    match tls {
        Error::NoCertificatesPresented => (
            Cause::NotTrusted,
            "the caller has no certificate, and --client-ca asks for one".to_owned(),
        ),
        Error::InvalidCertificate(error) => {
            let what = verify::words(error, &Described::default(), None);
            (Cause::NotTrusted, format!("the caller: {what}"))
        }
        Error::AlertReceived(alert) if of_alert(*alert).is_some() => (
            Cause::OwnCertificate,
            format!(
                "the caller does not trust our certificate ({})",
                name(*alert)
            ),
        ),
        Error::AlertReceived(alert) => (Cause::Tls, alerted(*alert, "the caller")),
        other => (Cause::Tls, protocol(other, "the caller")),
    }
}

/// What an alert says of the certificate of whoever receives it (RFC 8446 6.2); `None` where it is about other things.
pub(super) fn of_alert(alert: AlertDescription) -> Option<String> {
    use AlertDescription as Alert;
    let what = match alert {
        Alert::CertificateRequired | Alert::NoCertificate => {
            "the server wants a certificate of ours; --cert FILE and --key FILE are one".to_owned()
        }
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => {
            format!(
                "the server does not accept our certificate ({})",
                name(alert)
            )
        }
        _ => return None,
    };
    Some(what)
}

fn alerted(alert: AlertDescription, who: &str) -> String {
    use AlertDescription as Alert;
    let hint = match alert {
        Alert::ProtocolVersion => ": there is no version of TLS that both speak",
        Alert::NoApplicationProtocol => ": it does not speak what was offered; see --alpn",
        Alert::UnrecognisedName => ": it has no certificate for that name; see --tls-name",
        _ => "",
    };
    format!("{who} ended the TLS handshake ({}){hint}", name(alert))
}

/// `UnknownCA` as `unknown CA`.
fn name(alert: AlertDescription) -> String {
    let text = format!("{alert:?}").replace("CA", " CA");
    let mut words = String::new();
    for char in text.chars() {
        let is_new = char.is_ascii_uppercase() && words.ends_with(|c: char| c.is_ascii_lowercase());
        words.extend(is_new.then_some(' '));
        match words.ends_with(' ') && char == 'C' || words.ends_with(" C") {
            true => words.push(char),
            false => words.push(char.to_ascii_lowercase()),
        }
    }
    words.trim().replace("  ", " ")
}

fn protocol(error: &Error, who: &str) -> String {
    match error {
        Error::InvalidMessage(_) if who == SERVER => {
            format!("{who} does not speak TLS; without it write ws:// or tcp:")
        }
        Error::InvalidMessage(_) => format!("{who} does not speak TLS"),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => format!("{who} speaks no version of TLS that is wanted here; see --tls-min"),
        other => format!("the TLS handshake with {who} failed: {other}"),
    }
}

fn transport(error: &io::Error, who: &str) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            format!("{who} closed the connection within the TLS handshake")
        }
        _ => format!("the TLS handshake with {who}: {}", errno_text(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_words() {
        for (alert, words) in [
            (AlertDescription::UnknownCA, "unknown CA"),
            (AlertDescription::HandshakeFailure, "handshake failure"),
            (
                AlertDescription::CertificateRequired,
                "certificate required",
            ),
            (AlertDescription::ProtocolVersion, "protocol version"),
        ] {
            assert_eq!(name(alert), words);
        }
    }
}
