//! What a certificate says: whose it is, who issued it, for which names.

use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::Version;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::name::Name;

/// The type of a common name (RFC 4519 2.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The parts of a certificate that messages and choices are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// Whose it is, as RFC 4514 writes it.
    pub(super) subject: String,
    /// Who issued it.
    pub(super) issuer: String,
    /// When it expires.
    pub(super) until: Option<SystemTime>,
    /// The names of hosts that it is for, wildcards included.
    pub(super) names: Vec<String>,
    /// The common name of its subject, where it has exactly one.
    pub(super) common_name: Option<String>,
    /// Whether it is of version 1 of X.509, which has no extensions and so no names of hosts.
    pub(super) is_v1: bool,
}

impl Described {
    /// Reads a certificate; what can not be read stays empty.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Described {
        let parsed = x509_cert::Certificate::from_der(certificate);
        let described = parsed.map_or_else(
            |_| Described::default(),
            |parsed| {
                let body = parsed.tbs_certificate;
                Described {
                    common_name: common_name(&body.subject),
                    subject: body.subject.to_string(),
                    issuer: body.issuer.to_string(),
                    until: Some(body.validity.not_after.to_system_time()),
                    names: Vec::new(),
                    is_v1: body.version == Version::V1,
                }
            },
        );
        let names = webpki::EndEntityCert::try_from(certificate).map_or_else(
            |_| Vec::new(),
            |parsed| parsed.valid_dns_names().map(str::to_owned).collect(),
        );
        Described { names, ..described }
    }

    /// Whether it was issued by its own subject.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

/// The common name of a subject, where it has exactly one.
fn common_name(subject: &Name) -> Option<String> {
    let attributes = subject.0.iter().flat_map(|part| part.0.iter());
    let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(name), None) = (names.next(), names.next()) else {
        return None;
    };
    str::from_utf8(name.value.value()).ok().map(str::to_owned)
}
