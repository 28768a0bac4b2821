//! The way in from other tools: their command lines, and ours that do the same.

use std::fmt::Write;

use super::websocat;
use crate::columns::indented;

/// Another tool.
pub struct Tool {
    /// What it is called.
    pub name: &'static str,
    /// What differs, in sentences.
    pub about: &'static str,
    /// Its command lines and ours.
    pub rows: &'static [Row],
}

/// A command line of another tool, and ours; where ours is empty the same words do, with our name in front.
pub type Row = (&'static str, &'static str);

/// websocat 1.x.
pub const WEBSOCAT: Tool = Tool {
    name: "websocat",
    about: "Addresses and flags of websocat 1.x are understood, and these lines do the same with wsbridge in the place of \
            websocat. Between lines and messages nothing is added or cut: there is no buffer that a message must fit in, and -B \
            is how long a message of bytes and a frame may be (32 KiB without it, where websocat has 64). \
            A server answers only for localhost unless --host names it, and web pages of other origins are refused unless \
            --origin allows them. After the end of stdin answers are waited for (--linger), and Close codes and lost \
            connections are exit statuses.",
    rows: &[
        ("websocat ws://localhost:8080/", ""),
        ("websocat -n ws://localhost:8080/", ""),
        ("websocat -1 ws://localhost:8080/", ""),
        ("websocat -b ws://localhost:8080/", ""),
        ("websocat -t - ws://localhost:8080/", ""),
        ("websocat -k wss://localhost:8443/", ""),
        ("websocat -v ws://localhost:8080/", ""),
        ("websocat -q ws://localhost:8080/", ""),
        ("websocat -0 ws://localhost:8080/", ""),
        (
            "websocat -E ws://localhost:8080/",
            "wsbridge ws://localhost:8080/",
        ),
        ("websocat -s 1234", ""),
        ("websocat -s 0.0.0.0:1234", ""),
        ("websocat --oneshot -s 1234", "wsbridge --once -s 1234"),
        ("websocat -H=X-Token:abc ws://localhost:8080/", ""),
        (
            "websocat --origin http://localhost ws://localhost:8080/",
            "",
        ),
        ("websocat --protocol chat ws://localhost:8080/", ""),
        (
            "websocat --basic-auth me:word ws://localhost:8080/",
            "wsbridge --user me:word ws://localhost:8080/",
        ),
        (
            "websocat --ping-interval 20 ws://localhost:8080/",
            "wsbridge --ping 20 ws://localhost:8080/",
        ),
        (
            "websocat --ping-interval 20 --ping-timeout 40 ws://localhost:8080/",
            "wsbridge --ping 20 ws://localhost:8080/",
        ),
        (
            "websocat --socks5 localhost:9050 ws://example.com/",
            "wsbridge --proxy socks5h://localhost:9050 ws://example.com/",
        ),
        (
            "websocat --tls-domain example.com wss://10.0.0.1/",
            "wsbridge --tls-name example.com wss://10.0.0.1/",
        ),
        ("websocat --jsonrpc ws://localhost:8080/", ""),
        ("websocat --base64 ws://localhost:8080/", ""),
        ("websocat -B 65536 ws://localhost:8080/", ""),
        ("websocat ws-l:127.0.0.1:8080 tcp:127.0.0.1:22", ""),
        ("websocat -b ws-l:127.0.0.1:8080 tcp:127.0.0.1:22", ""),
        ("websocat -b tcp-l:127.0.0.1:2222 ws://example.com/ssh", ""),
        (
            "websocat -E -b tcp-l:127.0.0.1:2222 ws://example.com/ssh",
            "wsbridge -b tcp-l:127.0.0.1:2222 ws://example.com/ssh",
        ),
        (
            "websocat --oneshot -b ws-l:127.0.0.1:8080 tcp:127.0.0.1:22",
            "wsbridge --once -b ws-l:127.0.0.1:8080 tcp:127.0.0.1:22",
        ),
        (
            "websocat ws-l:127.0.0.1:8080 mirror:",
            "wsbridge ws-l:127.0.0.1:8080 echo:",
        ),
        (
            "websocat -t ws-l:127.0.0.1:8080 broadcast:mirror:",
            "wsbridge ws-l:127.0.0.1:8080 share:echo:",
        ),
        (
            "websocat ws-l:127.0.0.1:8080 reuse:tcp:127.0.0.1:7000",
            "wsbridge ws-l:127.0.0.1:8080 share:tcp:127.0.0.1:7000",
        ),
        (
            "websocat ws-l:127.0.0.1:8080 foreachmsg:sh-c:wc",
            "wsbridge ws-l:127.0.0.1:8080 each:sh-c:wc",
        ),
        (
            "websocat - autoreconnect:ws://localhost:8080/",
            "wsbridge - reconnect:ws://localhost:8080/",
        ),
        ("websocat -t ws-l:127.0.0.1:8080 sh-c:date", ""),
        (
            "websocat ws-l:127.0.0.1:8080 cmd:date",
            "wsbridge ws-l:127.0.0.1:8080 sh-c:date",
        ),
        (
            "websocat ws-l:127.0.0.1:8080 exec:cat --exec-args -u",
            "wsbridge ws-l:127.0.0.1:8080 -- cat -u",
        ),
        ("websocat -e ws-l:127.0.0.1:8080 exec:env", ""),
        (
            "websocat --header-to-env X-User ws-l:127.0.0.1:8080 exec:env",
            "wsbridge --env-header X-User ws-l:127.0.0.1:8080 exec:env",
        ),
        (
            "websocat - ws-c:tcp:localhost:80 --ws-c-uri=ws://example.com/chat",
            "wsbridge - ws-c:tcp:localhost:80 --uri=ws://example.com/chat",
        ),
        ("websocat ws-c:unix:/run/app.sock -", ""),
        (
            "websocat --unlink ws-u:unix-l:/tmp/app.sock tcp:127.0.0.1:22",
            "wsbridge ws-u:unix-l:/tmp/app.sock tcp:127.0.0.1:22",
        ),
        (
            "websocat ws-u:abstract-l:app echo:",
            "wsbridge ws-u:unix-l:@app echo:",
        ),
        (
            "websocat ws-u:inetd: tcp:127.0.0.1:22",
            "wsbridge ws-u:- tcp:127.0.0.1:22",
        ),
        (
            "websocat -U ws-l:127.0.0.1:8080 readfile:/etc/hostname",
            "wsbridge -U ws-l:127.0.0.1:8080 file:/etc/hostname",
        ),
        (
            "websocat -u ws://localhost:8080/ writefile:/tmp/log",
            "wsbridge -u ws://localhost:8080/ file:/tmp/log,write",
        ),
        (
            "websocat -u ws://localhost:8080/ appendfile:/tmp/log",
            "wsbridge -u ws://localhost:8080/ file:/tmp/log,append",
        ),
        (
            "websocat --restrict-uri /chat ws-l:127.0.0.1:8080 mirror:",
            "wsbridge --path /chat ws-l:127.0.0.1:8080 echo:",
        ),
        (
            "websocat --conncap 100 ws-l:127.0.0.1:8080 mirror:",
            "wsbridge --max-connections 100 ws-l:127.0.0.1:8080 echo:",
        ),
        ("websocat ws-l:127.0.0.1:8080 literal:hello", ""),
        ("websocat ws-l:127.0.0.1:8080 udp:127.0.0.1:53", ""),
    ],
};

/// websockify.
pub const WEBSOCKIFY: Tool = Tool {
    name: "websockify",
    about: "The port that listens comes first here too, as an address. noVNC and others that ask for the subprotocol \
            'binary' are answered with it. --web has no counterpart: a web server beside it has the pages. A program \
            behind -- is one for each caller here; one that listens itself is started apart. In the place of --timeout and \
            --idle-timeout, which end a server that nobody calls, a socket of systemd or inetd starts wsbridge ws-u:- for \
            each caller, and in that of tokens each target has a port of its own.",
    rows: &[
        (
            "websockify 8080 localhost:5901",
            "wsbridge ws-l:8080 tcp:localhost:5901",
        ),
        (
            "websockify 0.0.0.0:8080 localhost:5901",
            "wsbridge 'ws-l:*:8080' tcp:localhost:5901",
        ),
        (
            "websockify 8080 --unix-target=/run/vnc.sock",
            "wsbridge ws-l:8080 unix:/run/vnc.sock",
        ),
        (
            "websockify --cert=c.pem --key=k.pem --ssl-only 8443 localhost:5901",
            "wsbridge wss-l:8443,cert=c.pem,key=k.pem tcp:localhost:5901",
        ),
        (
            "websockify --ssl-target 8080 db.example.com:5432",
            "wsbridge ws-l:8080 tls:db.example.com:5432",
        ),
        (
            "websockify --heartbeat=20 8080 localhost:5901",
            "wsbridge --ping 20 ws-l:8080 tcp:localhost:5901",
        ),
        (
            "websockify --log-file=log 8080 localhost:5901",
            "wsbridge ws-l:8080 tcp:localhost:5901 2>>log",
        ),
        (
            "websockify --run-once 8080 localhost:5901",
            "wsbridge --once ws-l:8080 tcp:localhost:5901",
        ),
        (
            "websockify --record=log 8080 localhost:5901",
            "wsbridge --tee log ws-l:8080 tcp:localhost:5901",
        ),
    ],
};

/// websocketd.
pub const WEBSOCKETD: Tool = Tool {
    name: "websocketd",
    about: "A program speaks lines here too, and finds the same variables but for those below. Its exit status becomes the \
            Close code (4003 for exit 3). Other pages must be allowed by --origin; other machines cannot start programs \
            without --allow-remote-exec. What a program leaves in its process group ends with its visit.",
    rows: &[
        ("websocketd --port=8080 cat", "wsbridge ws-l:8080 -- cat"),
        (
            "websocketd --port=8080 --address=localhost cat -u",
            "wsbridge ws-l:localhost:8080 -- cat -u",
        ),
        (
            "websocketd --port=8080 --binary=true cat",
            "wsbridge ws-l:8080 -b -- cat",
        ),
        (
            "websocketd --port=8080 --sameorigin=true cat",
            "wsbridge ws-l:8080 -- cat",
        ),
        (
            "websocketd --port=8080 --origin=https://app.example.com cat",
            "wsbridge ws-l:8080 --origin https://app.example.com -- cat",
        ),
        (
            "websocketd --port=8080 --maxforks=10 cat",
            "wsbridge ws-l:8080 --max-children 10 -- cat",
        ),
        (
            "websocketd --port=8080 --passenv=PATH,TZ cat",
            "wsbridge ws-l:8080 --env TZ -- cat",
        ),
        (
            "websocketd --port=8080 --closems=2000 cat",
            "wsbridge ws-l:8080 --kill-after 2s -- cat",
        ),
        (
            "websocketd --port=8443 --ssl --sslcert=c.pem --sslkey=k.pem cat",
            "wsbridge wss-l:8443,cert=c.pem,key=k.pem -- cat",
        ),
    ],
};

/// socat, netcat and wscat.
pub const SOCAT: Tool = Tool {
    name: "socat",
    about: "Addresses are socat's in shape: a type, a colon, a place and options behind commas. WebSocket is the type that \
            socat has not. A listener serves many callers without fork. Between two streams bytes pass as they are, and \
            an end is passed on as a half-close, an abort as a reset.",
    rows: &[
        ("socat - TCP:localhost:80", "wsbridge - tcp:localhost:80"),
        (
            "socat TCP-LISTEN:8080,fork,bind=127.0.0.1 TCP:localhost:80",
            "wsbridge tcp-l:8080 tcp:localhost:80",
        ),
        (
            "socat TCP-LISTEN:8080,fork TCP:localhost:80",
            "wsbridge 'tcp-l:*:8080' tcp:localhost:80",
        ),
        (
            "socat TCP-LISTEN:8080 EXEC:cat",
            "wsbridge --once tcp-l:8080 exec:cat",
        ),
        (
            "socat UNIX-LISTEN:/tmp/a.sock,fork TCP:localhost:80",
            "wsbridge unix-l:/tmp/a.sock tcp:localhost:80",
        ),
        (
            "socat - UNIX-CONNECT:/tmp/a.sock",
            "wsbridge - unix:/tmp/a.sock",
        ),
        (
            "socat - OPENSSL:example.com:443",
            "wsbridge - tls:example.com:443",
        ),
        ("socat - UDP:localhost:53", "wsbridge - udp:localhost:53"),
        (
            "socat -u FILE:/etc/hostname STDOUT",
            "wsbridge -u file:/etc/hostname -",
        ),
        (
            "socat -v TCP-L:8080,fork TCP:localhost:80",
            "wsbridge --dump tcp-l:8080 tcp:localhost:80",
        ),
        (
            "socat - PROXY:proxy:example.com:80",
            "wsbridge - tcp:example.com:80 --proxy http://proxy:8080",
        ),
        ("nc localhost 80", "wsbridge - tcp:localhost:80"),
        ("nc -lk 8080", "wsbridge tcp-l:8080 -"),
        (
            "wscat -c ws://localhost:8080",
            "wsbridge ws://localhost:8080",
        ),
        ("wscat -l 8080", "wsbridge -s 8080"),
        (
            "wscat -c ws://localhost:8080 -x hello",
            "wsbridge ws://localhost:8080 --send hello",
        ),
        (
            "wscat -c ws://localhost:8080 -s chat --auth me:word",
            "wsbridge ws://localhost:8080 --protocol chat --user me:word",
        ),
        (
            "wscat -n -c wss://localhost:8443",
            "wsbridge -k wss://localhost:8443",
        ),
    ],
};

/// The variables of websocketd that a program finds here with another value or not at all, and what it finds.
pub const WEBSOCKETD_VARIABLES: &[(&str, &str)] = &[
    (
        "HTTP_*",
        "HTTP_HOST and HTTP_ORIGIN alone. --env-header X-User gives any other header, as WSBRIDGE_HTTP_X_USER; a header \
         that came twice is left out.",
    ),
    (
        "PATH_INFO, PATH_TRANSLATED",
        "The path as it was sent: %20 is not made a blank.",
    ),
    (
        "REMOTE_HOST",
        "The address, as REMOTE_ADDR: no name is looked up (--reverselookup).",
    ),
    (
        "REMOTE_ADDR, REMOTE_HOST, REMOTE_PORT",
        "Unset for a caller of a Unix socket, which websocketd calls unknown_host.",
    ),
    (
        "AUTH_TYPE, CONTENT_LENGTH, CONTENT_TYPE, REMOTE_IDENT, REMOTE_USER",
        "Unset, where they are empty there.",
    ),
    ("SERVER_SOFTWARE", "wsbridge/VERSION"),
    (
        "any of them",
        "Unset where the value has other characters than those of ASCII that are printed, or more than 4096 of them.",
    ),
];

/// The page of help about the way from websocketd: its lines, and which variables differ.
pub(super) fn from_websocketd() -> String {
    let mut text = WEBSOCKETD.page();
    text += "\nVariables that differ:\n";
    for (names, here) in WEBSOCKETD_VARIABLES {
        text += &format!("\n  {names}\n");
        text += &indented(here, 6);
    }
    text += "\n";
    text += &indented(
        "Of our own environment --passenv is --env. PATH, HOME, USER, LOGNAME, SHELL, TERM, TZ, TMPDIR and the language are \
         there in any case.",
        0,
    );
    text
}

/// The page of help about the way from websocat: its lines, and what became of its flags.
pub(super) fn from_websocat() -> String {
    let mut text = WEBSOCAT.page();
    for words in websocat::paragraphs() {
        text += "\n";
        text += &indented(&words, 0);
    }
    text += "\nNot had, and what serves instead:\n";
    for (name, _, instead) in websocat::MISSING {
        text += &format!("\n  --{name}\n");
        text += &indented(instead, 6);
    }
    text
}

impl Tool {
    /// The page of help about the way from it.
    pub(super) fn page(&self) -> String {
        let mut text = format!("FROM {}\n\n", self.name.to_uppercase());
        text += &indented(self.about, 0);
        for (theirs, ours) in self.rows {
            // Writing to a string can not fail.
            let _ = match *ours {
                "" => writeln!(text, "\n  {theirs}\n      the same words"),
                ours => writeln!(text, "\n  {theirs}\n      {ours}"),
            };
        }
        text
    }
}
