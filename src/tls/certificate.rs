//! What a certificate says: whose it is, who issued it, for which names.

use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;

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
}

impl Described {
    /// Reads a certificate; what can not be read stays empty.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Described {
        let parsed = x509_cert::Certificate::from_der(certificate);
        let (subject, issuer, until) = parsed.map_or_else(
            |_| (String::new(), String::new(), None),
            |parsed| {
                let body = parsed.tbs_certificate;
                (
                    body.subject.to_string(),
                    body.issuer.to_string(),
                    Some(body.validity.not_after.to_system_time()),
                )
            },
        );
        let names = webpki::EndEntityCert::try_from(certificate).map_or_else(
            |_| Vec::new(),
            |parsed| parsed.valid_dns_names().map(str::to_owned).collect(),
        );
        Described {
            subject,
            issuer,
            until,
            names,
        }
    }

    /// Whether it was issued by its own subject.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}
