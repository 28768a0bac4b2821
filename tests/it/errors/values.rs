//! Values that flags do not take.

use super::{Row, fail};

pub(super) const ROWS: &[Row] = &[
    (
        "--framing foo ws://h",
        2,
        "--framing: 'foo' is none of chunks, lines, null, length, lsp, json",
    ),
    (
        "--framing length:3 ws://h",
        2,
        "--framing: 'length:3' is no length; length:1, length:2, length:4 and length:8 are, with :le where it is little-endian",
    ),
    (
        "--log-format xml ws://h",
        2,
        "--log-format: 'xml' is none of text, json",
    ),
    (
        "--exit-status sesion ws://h",
        2,
        "--exit-status: 'sesion' is none of session, command, peer; did you mean 'session'?",
    ),
    (
        "--exit-status",
        2,
        "--exit-status wants one of session, command, peer",
    ),
    (
        "--stderr file ws-l:0 -- cat",
        2,
        "--stderr: 'file' is none of inherit, null, log, merge, json",
    ),
    (
        "--tls-min 1.0 wss://h",
        2,
        "--tls-min: '1.0' is none of 1.2, 1.3",
    ),
    (
        "--generate info",
        2,
        "--generate: 'info' is none of man, man-cookbook, complete-bash, complete-zsh, complete-fish",
    ),
    (
        "--linger soon ws://h",
        2,
        "--linger: 'soon' is no duration; 500ms, 3s, 2m and 1h are",
    ),
    (
        "--linger=-1s ws://h",
        2,
        "--linger: '-1s' is no duration; 500ms, 3s, 2m and 1h are",
    ),
    ("--linger", 2, "--linger wants a value: DURATION"),
    (
        "--stop sometimes ws-l:0 share:tcp:1",
        2,
        "--stop: 'sometimes' is none of last, never and times such as 5m",
    ),
    (
        "--max-message 12Q ws://h",
        2,
        "--max-message: '12Q' is no size; 4096 bytes, 64K, 16M and 1G are",
    ),
    (
        "--max-message 0 ws://h",
        2,
        "--max-message: '0' is no size; 4096 bytes, 64K, 16M and 1G are",
    ),
    (
        "--replay all ws-l:0 hub:",
        2,
        "--replay: 'all' is neither a number of messages nor a size such as 64K",
    ),
    (
        "--max-connections 0 ws-l:0 echo:",
        2,
        "--max-connections: '0' is no number from 1 on",
    ),
    (
        "--threads many ws-l:0 echo:",
        2,
        "--threads: 'many' is no number from 1 on",
    ),
    (
        "--data-bits 9 serial:/dev/ttyS0",
        2,
        "--data-bits: '9' is no number from 5 to 8",
    ),
    (
        "--mode 999 unix-l:/tmp/s echo:",
        2,
        "--mode: '999' is no mode; 600 and 660 are, octal numbers up to 777",
    ),
    (
        "--path chat ws-l:0 echo:",
        2,
        "--path: 'chat' is no path, which begins with / and has no query",
    ),
    (
        "--origin app.example.com ws-l:0 echo:",
        2,
        "--origin: 'app.example.com' is no origin; https://app.example.com, null and * are",
    ),
    (
        "--origin https://-a.test ws-l:0 echo:",
        2,
        "--origin: 'https://-a.test' can never match: no label of a name begins or ends with -",
    ),
    (
        "--origin app:// ws-l:0 echo:",
        2,
        "--origin: 'app://' can never match: a page of app: has something behind the slashes, app://NAME",
    ),
    (
        "--host - ws-l:0 echo:",
        2,
        "--host: '-' can never match: no label of a name begins or ends with -",
    ),
    (
        "--host 300.0.0.1 ws-l:0 echo:",
        2,
        "--host: '300.0.0.1' can never match: a name that ends in a number is an address, and this is none",
    ),
    (
        "--protocol 'two words' ws://h",
        2,
        "--protocol: 'two words' is no subprotocol, which is one word such as mqtt",
    ),
    (
        "--separator '' tcp:1",
        2,
        "--separator: '' is no separator, which has 1 to 16 bytes; \\n, \\r, \\t, \\0, \\\\ and \\xFF stand for one",
    ),
    (
        "--header foo ws://h",
        2,
        "--header: a header is written 'Name: value'",
    ),
    (
        "--header 'a b: c' ws://h",
        2,
        "--header: what stands before the colon is no name",
    ),
    (
        "--env-header 'a b' ws-l:0 -- env",
        2,
        "--env-header: 'a b' is no name of a header",
    ),
    (
        "--env =5 ws-l:0 -- env",
        2,
        "--env: '' is no name of a variable",
    ),
    (
        "--resolve h:80 ws://h",
        2,
        "--resolve: 'h:80' is not written HOST:PORT:ADDR, an IPv6 address as HOST in brackets",
    ),
    (
        "--resolve h:80:there ws://h",
        2,
        "--resolve: 'h:80:there' has 'there', which is no IP address",
    ),
    (
        "--bind 300.1.1.1 ws://h",
        2,
        "--bind: '300.1.1.1' is no IP address",
    ),
    (
        "--connect-to h ws://h",
        2,
        "--connect-to: 'h' is not written HOST1:PORT1:HOST2:PORT2, IPv6 addresses in brackets",
    ),
    (
        "--proxy ftp://localhost ws://h",
        3,
        "--proxy: unknown kind of proxy; there is: http, https, socks5, socks5h
  ftp://localhost
  ^^^",
    ),
    (
        "--uri h/chat ws-c:tcp:1",
        3,
        "--uri is written ws://HOST/PATH
  h/chat
  ^^^^^^",
    ),
    (
        "--pin-sha256 abc wss://h",
        2,
        "--pin-sha256: 'abc' is no pin, which is the SHA-256 of a key in base64 or 64 hex digits",
    ),
];

#[test]
fn a_wrong_value_is_told_what_is_one() {
    fail(ROWS, &[]);
}
