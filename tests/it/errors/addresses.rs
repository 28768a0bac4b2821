//! Addresses that make no sense: what is wrong, with a caret under it.

use super::{Row, fail};

pub(super) const ROWS: &[Row] = &[
    // Words that are no endpoint.
    ("tpc:localhost:80", 2, "unknown endpoint 'tpc:'; did you mean 'tcp:'?
  tpc:localhost:80
  ^^^"),
    ("ws-l:0 ehco:", 2, "unknown endpoint 'ehco:'; did you mean 'echo:'?
  ehco:
  ^^^^"),
    ("foo:bar", 2, "unknown endpoint 'foo:'; wsbridge help addresses shows all
  foo:bar
  ^^^"),
    ("wss-l", 2, "'wss-l' is written with a colon: wss-l:[HOST:]PORT[/PATH]
  wss-l
  ^^^^^"),
    ("8080", 2, "'8080' is no endpoint; a port is written ws-l:8080 to serve, tcp:8080 to connect
  8080
  ^^^^"),
    ("example.com", 2, "'example.com' is no endpoint; a WebSocket server is written ws://example.com
  example.com
  ^^^^^^^^^^^"),
    ("ws-l:0 ./bot.sh", 2, "'./bot.sh' is no endpoint; a program is written -- ./bot.sh, a file file:./bot.sh
  ./bot.sh
  ^^^^^^^^"),
    ("ws-l:0 bc", 2, "'bc' is no endpoint; a program is written -- bc, a WebSocket server ws://bc
  bc
  ^^"),
    ("serve", 2, "'serve' is no endpoint; to serve write ws-l:8080 and what stands behind it
  serve
  ^^^^^"),
    ("ws//localhost:8080", 2, "a URL has a colon; did you mean 'ws://localhost:8080'?
  ws//localhost:8080
    ^^"),
    ("ws//example.com/chat", 2, "a URL has a colon; did you mean 'ws://example.com/chat'?
  ws//example.com/chat
    ^^"),
    ("wss//me:hush@localhost", 2, "a URL has a colon; did you mean 'wss://localhost'?
  wss//***@localhost
     ^^"),
    ("'ws-l:8080 echo:'", 3, "an address has no blank; were two quoted as one word?
  ws-l:8080 echo:
       ^^^^^^^^^^"),
    ("localhost:8080", 2, "unknown endpoint 'localhost:'; a host and port are written tcp:localhost:8080 or ws://localhost:8080
  localhost:8080
  ^^^^^^^^^"),
    ("http://example.com/chat", 2, "there is no endpoint 'http:'; a WebSocket server is written ws://example.com/chat
  http://example.com/chat
  ^^^^"),
    ("https://me:hush@example.com", 2, "there is no endpoint 'https:'; a WebSocket server is written wss://example.com
  https://***@example.com
  ^^^^^"),
    ("''", 2, "an address is empty; stdin and stdout are written -"),
    ("ws-c:tpc:localhost:80", 2, "unknown endpoint 'tpc:'; did you mean 'tcp:'?
  ws-c:tpc:localhost:80
       ^^^"),
    ("tls:tpc:localhost:443", 2, "unknown endpoint 'tpc:'; did you mean 'tcp:'?
  tls:tpc:localhost:443
      ^^^"),
    // Words of other tools.
    ("proxy:localhost:example.com:80", 2, "there is no endpoint 'proxy:'; a way through a proxy is --proxy http://HOST:PORT
  proxy:localhost:example.com:80
  ^^^^^"),
    ("SOCKS4A:localhost:example.com:80", 2, "there is no endpoint 'SOCKS4A:'; a way through a SOCKS proxy is --proxy socks5h://HOST:PORT
  SOCKS4A:localhost:example.com:80
  ^^^^^^^"),
    ("create:/tmp/file", 2, "there is no endpoint 'create:'; a file is file:PATH, and is written with ,write or ,append behind it
  create:/tmp/file
  ^^^^^^"),
    ("wss-c:example.com", 2, "there is no endpoint 'wss-c:'; a client over TLS is wss://HOST
  wss-c:example.com
  ^^^^^"),
    // Hosts and ports.
    ("tcp:localhost", 3, "a port is missing: tcp:localhost:PORT
  tcp:localhost
      ^^^^^^^^^"),
    ("ws-l: echo:", 3, "a port is missing: ws-l:PORT
  ws-l:
       ^"),
    ("tcp:localhost:99999", 3, "bad port '99999': a number from 0 to 65535 is wanted
  tcp:localhost:99999
                ^^^^^"),
    ("ws://localhost:http/", 3, "bad port 'http': a number from 0 to 65535 is wanted
  ws://localhost:http/
                 ^^^^"),
    ("udp-l:-1 echo:", 3, "bad port '-1': a number from 0 to 65535 is wanted
  udp-l:-1
        ^^"),
    ("ws://", 3, "a host is missing: ws://HOST:PORT
  ws://
       ^"),
    ("ws:///chat", 3, "a host is missing: ws://HOST:PORT
  ws:///chat
       ^"),
    ("ws://8080/", 3, "bad host '8080' in ws://HOST:PORT
  ws://8080/
       ^^^^"),
    ("'ws://my host/'", 3, "bad host 'my host' in ws://HOST:PORT
  ws://my host/
       ^^^^^^^"),
    ("ws://fe80::1:80/", 3, "an IPv6 address stands in brackets: [fe80::1]:80
  ws://fe80::1:80/
       ^^^^^^^^^^"),
    ("tcp:localhost:80:81", 3, "there is one ':' at most: HOST:PORT, or an IPv6 address in brackets
  tcp:localhost:80:81
      ^^^^^^^^^^^^^^^"),
    ("ws://[::1/", 3, "an IPv6 address ends with ']'
  ws://[::1/
       ^^^^"),
    ("ws://[::g]/", 3, "bad IPv6 address '::g'
  ws://[::g]/
       ^^^^^"),
    ("ws://[::1]80/", 3, "unexpected '80' behind the IPv6 address
  ws://[::1]80/
       ^^^^^^^"),
    ("ws-c:tcp:localhost:x", 3, "bad port 'x': a number from 0 to 65535 is wanted
  ws-c:tcp:localhost:x
                     ^"),
    (
        "ws://localhost,ping=3s",
        3,
        "options of a URL stand behind a '#': ws://HOST:PORT#KEY=VALUE
  ws://localhost,ping=3s
       ^^^^^^^^^^^^^^^^^",
    ),
    // Users and passwords.
    ("ws://me:a/b@localhost/", 3, "in a password '/' is written %2F and '?' %3F
  ws://***
       ^^^"),
    ("ws://me:%zz@localhost/", 3, "user and password are percent-encoded UTF-8
  ws://***@localhost/
       ^^^"),
    ("tcp://me@localhost:80", 3, "a user means nothing to tcp:
  tcp://***@localhost:80
        ^^^"),
    // Places of other kinds.
    ("ws:localhost:80", 3, "a WebSocket client is written as a URL: ws://HOST:PORT/PATH (ws-l: is a server)
  ws:localhost:80
     ^^^^^^^^^^^^"),
    ("echo:hello", 3, "'echo:' takes nothing behind the colon
  echo:hello
       ^^^^^"),
    ("unix:", 3, "the path of a socket is missing
  unix:
       ^"),
    ("file:", 3, "the path of a file is missing
  file:
       ^"),
    ("serial:", 3, "the path of a port is missing: serial:/dev/ttyUSB0
  serial:
         ^"),
    ("exec:", 3, "a program is missing
  exec:
       ^"),
    ("sh-c:", 3, "a line of shell is missing
  sh-c:
       ^"),
    ("fd:one", 3, "the number of a descriptor is wanted: fd:3
  fd:one
     ^^^"),
    ("literal-base64:%%", 3, "this is no base64 (RFC 4648 4)
  literal-base64:%%
                 ^"),
    ("unix:{long}", 3, "the path of a socket has 107 bytes at most; a shorter one may lead to the same folder by a link
  unix:{long}
       {carets}"),
    // What does not wrap.
    ("ws-c:", 3, "an endpoint is missing behind ws-c:, such as tcp:localhost:80
  ws-c:
       ^"),
    ("ws-c:echo:", 2, "ws-c: speaks over bytes, and echo: has messages of its own
  ws-c:echo:
       ^^^^"),
    ("reconnect:ws-l:0", 3, "reconnect: opens what it wraps, which can not be a listener
  reconnect:ws-l:0
            ^^^^^^"),
    ("share:ws-l:0", 3, "share: opens what it wraps, which can not be a listener
  share:ws-l:0
        ^^^^^^"),
    ("each:tcp-l:0", 3, "each: opens what it wraps, which can not be a listener
  each:tcp-l:0
       ^^^^^^^"),
    ("tls-l:tcp:localhost:80 echo:", 3, "tls-l: is a server and can not wrap what dials; tls: is a client
  tls-l:tcp:localhost:80
        ^^^^^^^^^^^^^^^^"),
    ("ws-c:tcp-l:0", 3, "ws-c: is a client and can not wrap what listens; ws-u: is a server
  ws-c:tcp-l:0
       ^^^^^^^"),
    ("tls:unix:/tmp/a", 3, "TLS asks for a name that this endpoint does not have: tls-name=NAME
  tls:unix:/tmp/a
      ^^^^^^^^^^^"),
    // Options.
    ("ws-l:0,pth=/a echo:", 2, "unknown option 'pth' for ws-l:; did you mean 'path'?
  ws-l:0,pth=/a
         ^^^^^^"),
    ("tcp:localhost:80,speed=9", 2, "unknown option 'speed' for tcp:; wsbridge --help shows all
  tcp:localhost:80,speed=9
                   ^^^^^^^"),
    ("ws-c:tcp:localhost:80,pnig=1s", 2, "unknown option 'pnig' for ws-c:tcp:; did you mean 'ping'?
  ws-c:tcp:localhost:80,pnig=1s
                        ^^^^^^^"),
    ("null:,loud", 2, "unknown option 'loud' for null:; there is: dump, tee
  null:,loud
        ^^^^"),
    ("ws-l:0, echo:", 2, "an option of ws-l: is missing here, KEY or KEY=VALUE
  ws-l:0,
         ^"),
    ("ws-l:0,path=chat echo:", 2, "path: 'chat' is no path, which begins with / and has no query
  ws-l:0,path=chat
         ^^^^^^^^^"),
    ("ws://localhost/#ping=soon", 2, "ping: 'soon' is no duration; 500ms, 3s, 2m and 1h are
  ws://localhost/#ping=soon
                  ^^^^^^^^^"),
    ("ws://localhost/#ping", 2, "ping wants a value: DURATION
  ws://localhost/#ping
                  ^^^^"),
    ("wss-l:0,self-signed=yes echo:", 2, "self-signed takes no value
  wss-l:0,self-signed=yes
          ^^^^^^^^^^^^^^^"),
    ("ws-l:0 hub:lobby,slow=drop", 2, "slow: 'drop' is none of disconnect, drop-oldest, drop-newest, block, latest
  hub:lobby,slow=drop
            ^^^^^^^^^"),
    ("file:/tmp/file,write,append", 2, "write and append exclude each other
  file:/tmp/file,write,append
                 ^^^^^"),
];

#[test]
fn a_wrong_address_is_pointed_at() {
    let long = format!("/tmp/{}", "long".repeat(30));
    let carets = "^".repeat(long.len());
    fail(ROWS, &[("{long}", &long), ("{carets}", &carets)]);
}
