//! The errors of rustls in plain words: its own texts have the names of Rust's types in them.

use std::fmt::Debug;
use std::net::IpAddr;

use tokio_rustls::rustls::{CertificateError, Error, OtherError};

/// Says what an error is.
pub(super) fn error(error: &Error) -> String {
    match error {
        Error::InappropriateMessage { got_type, .. } => {
            format!("unexpected record: {}", spelled(got_type))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("unexpected handshake message: {}", spelled(got_type))
        }
        Error::InvalidMessage(why) => format!("malformed message: {}", spelled(why)),
        Error::PeerIncompatible(why) => format!("the peer is not compatible: {}", spelled(why)),
        Error::PeerMisbehaved(why) => format!("the peer broke the protocol: {}", spelled(why)),
        Error::AlertReceived(alert) => format!("alert received: {}", spelled(alert)),
        Error::InvalidCertificate(why) => format!("invalid certificate: {}", certificate(why)),
        Error::InvalidCertRevocationList(why) => {
            format!("invalid certificate revocation list: {}", spelled(why))
        }
        Error::InvalidEncryptedClientHello(why) => {
            format!("encrypted client hello: {}", spelled(why))
        }
        Error::InconsistentKeys(why) => format!("the keys do not match: {}", spelled(why)),
        // The others have no more than a sentence.
        other => other.to_string(),
    }
}

/// Says what is wrong with a certificate.
pub(super) fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(OtherError(other)) => {
            let text = other.to_string();
            match text.contains(' ') {
                true => text,
                false => words(&text),
            }
        }
        other => spelled(other).trim_end_matches(" context").to_owned(),
    }
}

/// Returns `DnsName("name")`, as webpki has the names of a certificate, as the name alone.
pub(super) fn name(presented: &str) -> String {
    let within = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    match (within, presented) {
        (Some(within), _) => match within.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => within.trim_matches('"').to_owned(),
        },
        (None, "DirectoryName") => "a name of a directory".to_owned(),
        (None, other) => other.to_owned(),
    }
}

/// Spells the name of a variant: `UnknownCA` is `unknown CA`. Of what it holds only a number is kept.
pub(super) fn spelled(variant: &impl Debug) -> String {
    let text = format!("{variant:?}");
    let end = text.find(|char: char| !char.is_ascii_alphanumeric());
    let (name, held) = text.split_at(end.unwrap_or(text.len()));
    let held = held.trim_matches(['(', ')']);
    match held.starts_with(|char: char| char.is_ascii_digit()) {
        true => format!("{} {held}", words(name)),
        false => words(name),
    }
}

/// Cuts a name into words. Capitals in a row stay: they are an abbreviation.
fn words(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let is_upper = |at: usize| chars.get(at).is_some_and(char::is_ascii_uppercase);
    let is_lower = |at: usize| chars.get(at).is_some_and(char::is_ascii_lowercase);
    let mut words = String::new();
    for (at, char) in chars.iter().enumerate() {
        let follows = at > 0 && is_upper(at);
        if follows && (!is_upper(at - 1) || is_lower(at + 1)) {
            words.push(' ');
        }
        let is_abbreviation = is_upper(at) && (is_upper(at + 1) || follows && is_upper(at - 1));
        words.push(match is_abbreviation && !is_lower(at + 1) {
            true => *char,
            false => char.to_ascii_lowercase(),
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{
        AlertDescription, ContentType, InvalidMessage, PeerIncompatible, PeerMisbehaved,
    };

    use super::*;

    #[test]
    fn names_of_variants_are_words() {
        for (alert, words) in [
            (AlertDescription::UnknownCA, "unknown CA"),
            (AlertDescription::HandshakeFailure, "handshake failure"),
            (
                AlertDescription::CertificateRequired,
                "certificate required",
            ),
            (AlertDescription::ProtocolVersion, "protocol version"),
            (AlertDescription::BadRecordMac, "bad record mac"),
            (AlertDescription::Unknown(200), "alert description 0xc8"),
        ] {
            assert_eq!(spelled(&alert), words);
        }
    }

    #[test]
    fn no_error_has_a_name_of_a_type() {
        let broken = InvalidMessage::MissingData("ClientHello");
        let unexpected = Error::InappropriateMessage {
            expect_types: vec![ContentType::Handshake],
            got_type: ContentType::ApplicationData,
        };
        let other = || CertificateError::Other(OtherError(std::sync::Arc::new(Named)));
        for (found, words) in [
            (
                error(&Error::PeerIncompatible(
                    PeerIncompatible::NoCipherSuitesInCommon,
                )),
                "the peer is not compatible: no cipher suites in common",
            ),
            (
                error(&Error::PeerMisbehaved(
                    PeerMisbehaved::TooManyEmptyFragments,
                )),
                "the peer broke the protocol: too many empty fragments",
            ),
            (
                error(&Error::InvalidMessage(broken)),
                "malformed message: missing data",
            ),
            (error(&unexpected), "unexpected record: application data"),
            (error(&Error::DecryptError), "cannot decrypt peer's message"),
            (certificate(&CertificateError::BadEncoding), "bad encoding"),
            (
                certificate(&CertificateError::InvalidPurposeContext {
                    required: tokio_rustls::rustls::ExtendedKeyPurpose::ServerAuth,
                    presented: Vec::new(),
                }),
                "invalid purpose",
            ),
            (certificate(&other()), "trailing data"),
        ] {
            assert_eq!(found, words);
        }
    }

    /// An error that is shown as webpki shows its own.
    #[derive(Debug)]
    struct Named;

    impl std::fmt::Display for Named {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("TrailingData")
        }
    }

    impl std::error::Error for Named {}

    #[test]
    fn names_of_a_certificate_stand_alone() {
        for (presented, expected) in [
            ("DnsName(\"example.com\")", "example.com"),
            ("IpAddress(127.0.0.1)", "127.0.0.1"),
            ("IpAddress(0::1)", "::1"),
            (
                "UniformResourceIdentifier(\"https://a.test/\")",
                "https://a.test/",
            ),
            ("DirectoryName", "a name of a directory"),
            ("plain.test", "plain.test"),
        ] {
            assert_eq!(name(presented), expected);
        }
    }
}
