//! The SHA-256 of a public key, by which a server is known without anybody who vouches for it.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// The SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 2.4). It is written as curl does: `sha256//BASE64`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// That of a certificate; `None` where it is none.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Pin> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let sum = digest(&SHA256, &parsed.subject_public_key_info());
        sum.as_ref().try_into().ok().map(Pin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Pin, String> {
        let form =
            || "is no pin, which is the SHA-256 of a key in base64 or 64 hex digits".to_owned();
        let bare = text.strip_prefix("sha256//").unwrap_or(text);
        let bytes = match bare.len() {
            64 => HEXLOWER_PERMISSIVE.decode(bare.as_bytes()),
            _ => BASE64.decode(bare.as_bytes()),
        };
        let bytes = bytes.map_err(|_| form())?;
        bytes.try_into().map(Pin).map_err(|_| form())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_in_base64_and_hex() {
        let pin: Pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8="
            .parse()
            .unwrap();
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(format!("{}fF", "00".repeat(31)).parse(), Ok(pin));
        assert_eq!(
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=".parse(),
            Ok(pin)
        );
        for wrong in ["", "AA==", "sha256//", "zz", "sha1//AAAA"] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }
}
