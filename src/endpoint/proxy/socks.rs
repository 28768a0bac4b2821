//! SOCKS 5 (RFC 1928) as a client, with user and password (RFC 1929).

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::ending::{Cause, errno_text};

const VERSION: u8 = 5;
const NO_USER: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_OF_THEM: u8 = 0xFF;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// The version of the exchange of user and password (RFC 1929 2).
const USER_VERSION: u8 = 1;

/// What the answers mean (RFC 1928 6), by number from 1 on.
const REPLIES: &[(&str, Cause)] = &[
    ("general failure", Cause::ProxyAway),
    ("not allowed by its rules", Cause::Proxy),
    ("network unreachable", Cause::ProxyAway),
    ("host unreachable", Cause::ProxyAway),
    ("connection refused", Cause::ProxyAway),
    ("TTL expired", Cause::ProxyAway),
    ("command not supported", Cause::Proxy),
    ("type of address not supported", Cause::Proxy),
];

/// Asks for a connection to an address, or without one to a name, and reads no byte behind the answer.
///
/// # Errors
/// What the proxy said, with [`Cause::Proxy`] or [`Cause::ProxyAway`].
pub(super) async fn connect(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
    host: &str,
    port: u16,
    addr: Option<SocketAddr>,
    user: Option<(&str, &str)>,
) -> Result<()> {
    let methods = match user {
        Some(_) => &[VERSION, 2, NO_USER, USER_AND_PASSWORD][..],
        None => &[VERSION, 1, NO_USER],
    };
    send(io, methods).await?;
    match (read(io).await?, user) {
        ([VERSION, NO_USER], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some((name, password))) => {
            log_in(io, name, password).await?;
        }
        ([VERSION, NONE_OF_THEM], None) => {
            return Err(refused(
                "it wants a user and a password, --proxy socks5h://NAME:PASSWORD@HOST",
            ));
        }
        ([VERSION, NONE_OF_THEM], Some(_)) => {
            return Err(refused("it takes no user and password"));
        }
        ([VERSION, method], _) => return Err(broken(&format!("method {method} was not offered"))),
        ([version, _], _) => return Err(broken(&format!("version {version}"))),
    }
    send(io, &request(host, port, addr)?).await?;
    let [version, reply, reserved, kind] = read(io).await?;
    if version != VERSION {
        return Err(broken(&format!("version {version}")));
    }
    if reserved != 0 {
        return Err(broken(&format!("reserved byte {reserved}")));
    }
    if reply != 0 {
        let unknown = ("for a reason that it has no word for", Cause::Proxy);
        let (what, cause) = REPLIES.get(usize::from(reply) - 1).unwrap_or(&unknown);
        return Err(anyhow::Error::new(*cause).context(format!("refused: {what}")));
    }
    // The address that it connects from, and the port.
    match kind {
        IPV4 => drop(read::<6>(io).await?),
        IPV6 => drop(read::<18>(io).await?),
        NAME => {
            let [len] = read(io).await?;
            for _ in 0..usize::from(len) + 2 {
                read::<1>(io).await?;
            }
        }
        _ => return Err(broken(&format!("address of type {kind}"))),
    }
    Ok(())
}

fn request(host: &str, port: u16, addr: Option<SocketAddr>) -> Result<Vec<u8>> {
    let mut request = vec![VERSION, CONNECT, 0];
    match addr.map(|addr| addr.ip()).or_else(|| host.parse().ok()) {
        Some(IpAddr::V4(addr)) => {
            request.push(IPV4);
            request.extend(addr.octets());
        }
        Some(IpAddr::V6(addr)) => {
            request.push(IPV6);
            request.extend(addr.octets());
        }
        None => {
            request.push(NAME);
            request.extend(counted(host, "the name of the host")?);
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

async fn log_in(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
    name: &str,
    password: &str,
) -> Result<()> {
    let mut words = vec![USER_VERSION];
    words.extend(counted(name, "the user of the proxy")?);
    words.extend(counted(password, "the password of the proxy")?);
    send(io, &words).await?;
    match read(io).await? {
        [version, _] if version != USER_VERSION => {
            Err(broken(&format!("version {version} of user and password")))
        }
        [_, 0] => Ok(()),
        [_, status] => Err(refused(&format!(
            "user and password are wrong (status {status})"
        ))),
    }
}

/// A text behind its length, which is one byte.
fn counted<'a>(text: &'a str, what: &str) -> Result<impl Iterator<Item = u8> + 'a> {
    let len = u8::try_from(text.len()).map_err(|_| {
        anyhow::Error::new(Cause::Proxy).context(format!("{what} is longer than 255 bytes"))
    })?;
    Ok(std::iter::once(len).chain(text.bytes()))
}

async fn send(io: &mut (impl AsyncWrite + Unpin + ?Sized), bytes: &[u8]) -> Result<()> {
    let sent = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    sent.await.map_err(|error| lost(&error))
}

async fn read<const LEN: usize>(io: &mut (impl AsyncRead + Unpin + ?Sized)) -> Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    match io.read_exact(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &std::io::Error) -> anyhow::Error {
    let what = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => errno_text(error),
    };
    anyhow::Error::new(Cause::ProxyAway).context(what)
}

fn refused(what: &str) -> anyhow::Error {
    anyhow::Error::new(Cause::Proxy).context(format!("refused: {what}"))
}

fn broken(what: &str) -> anyhow::Error {
    anyhow::Error::new(Cause::Proxy).context(format!("its answer is no SOCKS 5: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    /// A proxy that expects and says what a script says, in turns, and then `behind`.
    async fn scripted(mut io: DuplexStream, script: &[(&[u8], &[u8])]) {
        for (wanted, answer) in script {
            let mut got = vec![0; wanted.len()];
            io.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, wanted);
            io.write_all(answer).await.unwrap();
        }
    }

    async fn asked(
        host: &str,
        addr: Option<&str>,
        user: Option<(&str, &str)>,
        script: &[(&[u8], &[u8])],
    ) -> Result<String, String> {
        let (mut near, far) = duplex(4096);
        let addr = addr.map(|addr| addr.parse().unwrap());
        let (answered, ()) = tokio::join!(
            connect(&mut near, host, 0x1234, addr, user),
            scripted(far, script)
        );
        answered.map_err(|error| {
            let cause = Cause::of(&error).unwrap();
            assert_eq!(cause.exit_status(), 97);
            let mark = if cause.may_pass() { "later? " } else { "" };
            format!("{mark}{}", Cause::line(&error))
        })?;
        let mut behind = String::new();
        near.read_to_string(&mut behind).await.unwrap();
        Ok(behind)
    }

    #[tokio::test]
    async fn names_and_addresses_are_asked_for_and_nothing_behind_the_answer_is_lost() {
        let by_name: &[(&[u8], &[u8])] = &[
            (b"\x05\x01\x00", b"\x05\x00"),
            (
                b"\x05\x01\x00\x03\x06h.test\x12\x34",
                b"\x05\x00\x00\x03\x02ab\x00\x01early",
            ),
        ];
        assert_eq!(asked("h.test", None, None, by_name).await.unwrap(), "early");
        let by_v4: &[(&[u8], &[u8])] = &[
            (b"\x05\x01\x00", b"\x05\x00"),
            (
                b"\x05\x01\x00\x01\x7f\x00\x00\x01\x12\x34",
                b"\x05\x00\x00\x01\x01\x02\x03\x04\x00\x01early",
            ),
        ];
        let found = asked("h.test", Some("127.0.0.1:1"), None, by_v4).await;
        assert_eq!(found.unwrap(), "early");
        assert_eq!(
            asked("127.0.0.1", None, None, by_v4).await.unwrap(),
            "early"
        );
        let mut by_v6 = b"\x05\x01\x00\x04".to_vec();
        by_v6.extend([0; 15]);
        by_v6.extend(b"\x01\x12\x34");
        let mut answer = b"\x05\x00\x00\x04".to_vec();
        answer.extend([7; 18]);
        let script: &[(&[u8], &[u8])] = &[(b"\x05\x01\x00", b"\x05\x00"), (&by_v6, &answer)];
        assert_eq!(asked("::1", None, None, script).await.unwrap(), "");
    }

    #[tokio::test]
    async fn user_and_password_are_sent_where_they_are_wanted() {
        let script: &[(&[u8], &[u8])] = &[
            (b"\x05\x02\x00\x02", b"\x05\x02"),
            (b"\x01\x02me\x04word", b"\x01\x00"),
            (
                b"\x05\x01\x00\x03\x01h\x12\x34",
                b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
            ),
        ];
        let user = Some(("me", "word"));
        assert_eq!(asked("h", None, user, script).await.unwrap(), "");
        let wrong: &[(&[u8], &[u8])] = &[
            (b"\x05\x02\x00\x02", b"\x05\x02"),
            (b"\x01\x02me\x04word", b"\x01\x01"),
        ];
        let error = asked("h", None, user, wrong).await.unwrap_err();
        assert_eq!(error, "refused: user and password are wrong (status 1)");
        let loose: &[(&[u8], &[u8])] = &[
            (b"\x05\x02\x00\x02", b"\x05\x02"),
            (b"\x01\x02me\x04word", b"\x09\x00"),
        ];
        let error = asked("h", None, user, loose).await.unwrap_err();
        let words = "its answer is no SOCKS 5: version 9 of user and password";
        assert_eq!(error, words);
    }

    #[tokio::test]
    async fn every_no_has_its_words() {
        let error = asked("h", None, None, &[(b"\x05\x01\x00", b"\x05\xff")]).await;
        assert_eq!(
            error.unwrap_err(),
            "refused: it wants a user and a password, --proxy socks5h://NAME:PASSWORD@HOST"
        );
        for (answer, words) in [
            (
                &b"\x05\x05\x00\x01"[..],
                "later? refused: connection refused",
            ),
            (b"\x05\x02\x00\x01", "refused: not allowed by its rules"),
            (
                b"\x05\x63\x00\x01",
                "refused: for a reason that it has no word for",
            ),
            (b"\x04\x00\x00\x01", "its answer is no SOCKS 5: version 4"),
            (b"\x09\x00\x00\x01", "its answer is no SOCKS 5: version 9"),
            (
                b"\x05\x00\x09\x01",
                "its answer is no SOCKS 5: reserved byte 9",
            ),
            (
                b"\x05\x00\x00\x09",
                "its answer is no SOCKS 5: address of type 9",
            ),
            (b"\x05\x00", "later? it closed the connection"),
        ] {
            let script: &[(&[u8], &[u8])] = &[
                (b"\x05\x01\x00", b"\x05\x00"),
                (b"\x05\x01\x00\x03\x01h\x12\x34", answer),
            ];
            let error = asked("h", None, None, script).await.unwrap_err();
            assert_eq!(error, words);
        }
        let error = asked("h", None, None, &[(b"\x05\x01\x00", b"HT")]).await;
        assert_eq!(error.unwrap_err(), "its answer is no SOCKS 5: version 72");
        let long = "x".repeat(256);
        let error = asked(&long, None, None, &[(b"\x05\x01\x00", b"\x05\x00")]).await;
        assert_eq!(
            error.unwrap_err(),
            "the name of the host is longer than 255 bytes"
        );
    }
}
