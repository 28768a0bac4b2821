//! Flags of websocat 1.x that have another name here, ask for what is always so, or are not had: a table each.

/// Our flag, and the other name for it.
pub const OTHER_NAMES: &[(&str, &str)] = &[
    ("user", "basic-auth"),
    ("once", "oneshot"),
    ("uri", "ws-c-uri"),
    ("path", "restrict-uri"),
    ("tls-name", "tls-domain"),
    ("env-header", "header-to-env"),
    ("max-connections", "conncap"),
    ("null", "null-terminated"),
    ("ping", "ping-interval"),
    ("protocol", "server-protocol"),
    ("queue", "queue-len"),
    ("chunk", "buffer-size"),
];

/// Flags that do nothing: what they ask for is always so, or has no counterpart. Their short name, and whether they have a
/// value.
pub const NOTHING: &[(&str, Option<char>, bool)] = &[
    ("exit-on-eof", Some('E'), false),
    ("strict", Some('S'), false),
    ("unlink", None, false),
    ("async-stdio", None, false),
    ("no-async-stdio", None, false),
    ("print-ping-rtts", None, false),
    ("ping-timeout", None, true),
];

/// A flag of theirs, ours, and the value that it has then.
pub type Translated = (&'static str, &'static str, fn(&str) -> String);

/// Flags whose values are written otherwise here.
pub const TRANSLATED: &[Translated] = &[
    ("socks5", "proxy", |place| format!("socks5h://{place}")),
    ("autoreconnect-delay-millis", "reconnect-max", |millis| {
        format!("{millis}ms")
    }),
];

/// Flags that are not had, whether they have a value, and what serves instead.
pub const MISSING: &[(&str, bool, &str)] = &[
    (
        "pkcs12-der",
        true,
        "certificates are PEM: openssl pkcs12 -in FILE -out FILE.pem -nodes makes one, cert=FILE.pem shows it",
    ),
    (
        "client-pkcs12-der",
        true,
        "certificates are PEM: openssl pkcs12 -in FILE -out FILE.pem -nodes makes one, --cert FILE.pem shows it",
    ),
    (
        "static-file",
        true,
        "files are served by a web server beside it, which passes on its WebSockets",
    ),
    (
        "max-messages-rev",
        true,
        "--max-messages counts in each direction",
    ),
    (
        "preamble",
        true,
        "--send says something on connect, and stdin is not read",
    ),
    (
        "preamble-reverse",
        true,
        "the left side of a listener is told by -o left.send=TEXT",
    ),
    (
        "close-status-code",
        true,
        "--framing json closes with a code: {\"kind\":\"close\",\"code\":4000,\"reason\":\"\"}",
    ),
    (
        "close-reason",
        true,
        "--framing json closes with a reason: {\"kind\":\"close\",\"code\":4000,\"reason\":\"\"}",
    ),
    (
        "prometheus",
        true,
        "there are no metrics yet; --log-format json tells of each session",
    ),
    (
        "no-fixups",
        false,
        "what was typed is what is done; --explain says what that is",
    ),
    ("udp-multicast", true, "UDP is to one peer each"),
    (
        "compress-zlib",
        false,
        "messages pass as they are; a program can pack them: -- gzip",
    ),
    (
        "uncompress-zlib",
        false,
        "messages pass as they are; a program can unpack them: -- gunzip",
    ),
    (
        "just-generate-key",
        false,
        "keys are made for each connection",
    ),
    (
        "dump-spec",
        false,
        "--explain says what a command line does",
    ),
    (
        "server-header",
        true,
        "a server sends no headers of its own",
    ),
];

/// What they mean here, in a paragraph each: other names, what does nothing, what has another value.
pub(super) fn paragraphs() -> [String; 3] {
    let flags = |names: Vec<&str>| {
        let names: Vec<_> = names.iter().map(|name| format!("--{name}")).collect();
        names.join(", ")
    };
    let pairs = |rows: Vec<(&str, &str)>| {
        let rows = rows.iter();
        let rows: Vec<_> = rows
            .map(|row| format!("--{} is --{}", row.0, row.1))
            .collect();
        rows.join(", ")
    };
    [
        format!(
            "Other names of flags: {}.",
            pairs(OTHER_NAMES.iter().map(|row| (row.1, row.0)).collect())
        ),
        format!(
            "With values that are written otherwise: {}.",
            pairs(TRANSLATED.iter().map(|row| (row.0, row.1)).collect())
        ),
        format!(
            "Taken, and without effect, because it is so in any case or has no meaning here: {}.",
            flags(NOTHING.iter().map(|row| row.0).collect())
        ),
    ]
}
