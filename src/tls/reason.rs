//! Why a handshake failed: the words and the cause, for each role.

use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
};

use super::certificate::Described;
use super::notes::Notes;
use super::plain::{self, spelled};
use super::side::{CALLER, Side};
use super::verify::{self, Untrusted};
use crate::ending::{Cause, errno_text};

/// The error of TLS within one of a stream.
pub(super) fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a client got no TLS from a side.
pub(super) fn of_client(error: &io::Error, notes: &Notes, side: &Side) -> (Cause, String) {
    let Some(tls) = inner(error) else {
        let hint = match notes.is_asked_in_vain() && side.takes_own {
            true => ": it may want --cert",
            false => "",
        };
        return (Cause::TlsCut, transport(error, side.name) + hint);
    };
    match tls {
        Error::InvalidCertificate(error) => {
            let what = untrusted(error);
            let words = || verify::words(error, &Described::default(), None, side);
            (Cause::NotTrusted, what.unwrap_or_else(words))
        }
        Error::AlertReceived(alert) => match of_alert(*alert, notes.is_asked_in_vain(), side) {
            Some(what) => (Cause::OwnCertificate, what),
            None => (Cause::Tls, alerted(*alert, side)),
        },
        other => (Cause::Tls, protocol(other, side)),
    }
}

/// What our own judgement of a certificate said, where that was it.
fn untrusted(error: &CertificateError) -> Option<String> {
    match error {
        CertificateError::Other(OtherError(other)) => {
            Some(other.downcast_ref::<Untrusted>()?.0.clone())
        }
        _ => None,
    }
}

/// Why a caller got no TLS.
pub(super) fn of_server(error: &io::Error, notes: &Notes) -> (Cause, String) {
    let Some(tls) = inner(error) else {
        return (Cause::Tls, transport(error, CALLER.name));
    };
    match tls {
        Error::NoCertificatesPresented => (
            Cause::NotTrusted,
            "the caller has no certificate, and --client-ca asks for one".to_owned(),
        ),
        Error::InvalidCertificate(error) => {
            let what = notes
                .why_untrusted()
                .unwrap_or_else(|| verify::words(error, &Described::default(), None, &CALLER));
            (Cause::NotTrusted, format!("the caller: {what}"))
        }
        Error::AlertReceived(alert) if is_of_certificate(*alert) => (
            Cause::OwnCertificate,
            format!(
                "the caller does not trust our certificate ({})",
                spelled(alert)
            ),
        ),
        Error::AlertReceived(alert) => (Cause::Tls, alerted(*alert, &CALLER)),
        other => (Cause::Tls, protocol(other, &CALLER)),
    }
}

/// Whether an alert is about the certificate of whoever receives it (RFC 8446 6.2).
fn is_of_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

/// What an alert of a side says of our certificate; `None` where it is about other things. A server of TLS 1.2 that was not
/// shown one which it asked for has no alert of its own for that.
pub(super) fn of_alert(
    alert: AlertDescription,
    is_asked_in_vain: bool,
    side: &Side,
) -> Option<String> {
    use AlertDescription as Alert;
    let is_missing = matches!(alert, Alert::CertificateRequired | Alert::NoCertificate);
    if is_asked_in_vain && (alert == Alert::HandshakeFailure || is_of_certificate(alert))
        || is_missing
    {
        return Some(side.wants_certificate());
    }
    is_of_certificate(alert).then(|| {
        format!(
            "{} does not accept our certificate ({})",
            side.name,
            spelled(&alert)
        )
    })
}

fn alerted(alert: AlertDescription, side: &Side) -> String {
    use AlertDescription as Alert;
    let hint = match alert {
        Alert::ProtocolVersion => ": there is no version of TLS that both speak",
        Alert::NoApplicationProtocol if side.has_versions => {
            ": it does not speak what was offered; see --alpn"
        }
        Alert::UnrecognisedName if side.is_chosen => {
            ": it has no certificate for that name; see --tls-name"
        }
        _ => "",
    };
    format!(
        "{} ended the TLS handshake ({}){hint}",
        side.name,
        spelled(&alert)
    )
}

fn protocol(error: &Error, side: &Side) -> String {
    let who = side.name;
    match error {
        Error::InvalidMessage(_) => {
            let hint = side.without.map(|it| format!("; without it write {it}"));
            format!("{who} does not speak TLS{}", hint.unwrap_or_default())
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => {
            let hint = if side.has_versions {
                "; see --tls-min"
            } else {
                ""
            };
            format!("{who} speaks no version of TLS that is wanted here{hint}")
        }
        other => format!(
            "the TLS handshake with {who} failed: {}",
            plain::error(other)
        ),
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
