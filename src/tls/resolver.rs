//! Which of several certificates a server shows: by the name that the client asks for.

use std::sync::Arc;

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::Described;

/// Certificates with the names that they are for; there is at least one.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Vec<(Vec<String>, Arc<CertifiedKey>)>);

impl Resolver {
    /// Reads the names out of the certificates.
    pub(super) fn new(keys: Vec<CertifiedKey>) -> Resolver {
        let rows = keys.into_iter().map(|key| {
            let names = key.cert.first().map(|it| Described::of(it).names);
            let names = names.unwrap_or_default().into_iter();
            (
                names.map(|name| name.to_ascii_lowercase()).collect(),
                Arc::new(key),
            )
        });
        Resolver(rows.collect())
    }

    /// Returns the names of all certificates.
    pub(super) fn names(&self) -> Arc<[String]> {
        self.0
            .iter()
            .flat_map(|row| row.0.iter().cloned())
            .collect()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let names: Vec<_> = self.0.iter().map(|row| row.0.as_slice()).collect();
        let chosen = choose(&names, hello.server_name());
        self.0.get(chosen).map(|row| row.1.clone())
    }
}

/// The first that has the name, else the first that has a wildcard for it, else the first.
fn choose(rows: &[&[String]], asked: Option<&str>) -> usize {
    let Some(asked) = asked.map(str::to_ascii_lowercase) else {
        return 0;
    };
    let wildcard = asked
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let has = |name: &String| rows.iter().position(|names| names.contains(name));
    has(&asked)
        .or_else(|| wildcard.as_ref().and_then(has))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_name_then_a_wildcard_then_the_first() {
        let rows = [
            &["first.test"][..],
            &["*.wild.test"],
            &["a.wild.test", "b.test"],
        ];
        let rows = rows.map(|names| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        });
        let rows: Vec<_> = rows.iter().map(Vec::as_slice).collect();
        for (asked, chosen) in [
            (None, 0),
            (Some("unknown.test"), 0),
            (Some("B.test"), 2),
            (Some("a.wild.test"), 2),
            (Some("x.WILD.test"), 1),
            (Some("x.y.wild.test"), 0),
            (Some("wild.test"), 0),
        ] {
            assert_eq!(choose(&rows, asked), chosen, "{asked:?}");
        }
    }
}
