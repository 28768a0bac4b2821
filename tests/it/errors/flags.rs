//! Flags and words of a command line that do not exist, do not belong, or exclude each other.

use super::{Row, fail};

pub(super) const ROWS: &[Row] = &[
    (
        "--nonsense ws://h",
        2,
        "there is no flag '--nonsense'; wsbridge --help shows all",
    ),
    (
        "--pign 3s ws://h",
        2,
        "there is no flag '--pign'; did you mean '--ping'?",
    ),
    (
        "--insecrue wss://h",
        2,
        "there is no flag '--insecrue'; did you mean '--insecure'?",
    ),
    (
        "-Z ws://h",
        2,
        "there is no flag '-Z'; wsbridge --help shows all",
    ),
    (
        "--proto x ws://h",
        2,
        "there is no flag '--proto'; did you mean '--protocol'?",
    ),
    (
        "--port 8080",
        2,
        "there is no flag '--port'; a port stands in an address: ws-l:8080 serves, ws://localhost:8080 connects",
    ),
    (
        "-l 8080",
        2,
        "there is no flag '-l'; a port stands in an address: ws-l:8080 serves, ws://localhost:8080 connects",
    ),
    (
        "--timeout 3 ws://h",
        2,
        "there is no flag '--timeout'; there are --connect-timeout, --idle and --max-time",
    ),
    // Of what they have no meaning for.
    (
        "--path /a tcp:1",
        2,
        "--path means nothing to - and tcp:; it is for ws-l: wss-l: ws-u:",
    ),
    (
        "--pty echo:",
        2,
        "--pty means nothing to - and echo:; it is for exec: sh-c:",
    ),
    (
        "--baud 9600 ws-l:0 tcp:1",
        2,
        "--baud means nothing to ws-l: and tcp:; it is for serial:",
    ),
    (
        "--follow file:/a ws://h",
        2,
        "--follow means one thing to file: and another to ws:; -o left.follow or -o right.follow is one of them",
    ),
    (
        "-o foo ws://h",
        2,
        "-o: 'foo' is no option of a side, which is written left.KEY=VALUE or right.KEY=VALUE",
    ),
    (
        "-o middle.path=/a ws-l:0 echo:",
        2,
        "-o: 'middle.path' is no option of a side, which is written left.KEY=VALUE or right.KEY=VALUE",
    ),
    (
        "-o left.pth=/a ws-l:0 echo:",
        2,
        "-o left.pth is no option of ws-l:; did you mean 'path'?",
    ),
    (
        "-o right.path=/a ws-l:0 echo:",
        2,
        "-o right.path is no option of echo:; wsbridge --help shows all",
    ),
    (
        "-o right.ping=soon ws-l:0 ws://h",
        2,
        "-o right.ping: 'soon' is no duration; 500ms, 3s, 2m and 1h are",
    ),
    (
        "-o left.ping ws-l:0 echo:",
        2,
        "-o left.ping wants a value: DURATION",
    ),
    // That exclude each other.
    (
        "-q -v ws://h",
        2,
        "--quiet and --verbose exclude each other",
    ),
    ("-t -b ws://h", 2, "--text and --binary exclude each other"),
    (
        "-u -U ws://h",
        2,
        "--unidirectional and --unidirectional-reverse exclude each other",
    ),
    (
        "-1 --max-messages 3 ws://h",
        2,
        "--one-message and --max-messages exclude each other",
    ),
    ("--idle 1s --idle 2s ws://h", 2, "--idle is given twice"),
    ("--base64=yes ws://h", 2, "--base64 takes no value"),
    (
        "--hex --framing chunks ws://h",
        2,
        "--hex is for lines; -t or --framing lines makes lines",
    ),
    (
        "-s 8080 ws://h",
        2,
        "-s 8080 serves stdin and stdout; to join it with another write ws-l:8080 ws://h",
    ),
    (
        "-s 8080 -",
        2,
        "-s 8080 serves stdin and stdout; to join it with another write ws-l:8080 -",
    ),
    // Addresses and programs, too many or too few.
    (
        "tcp:1 tcp:2 tcp:3",
        2,
        "'tcp:3' is one address too many, wsbridge joins two; a program and its words stand behind --",
    ),
    (
        "ws-l:0 echo: -- cat",
        2,
        "echo: and the program behind -- are two right sides, and there is one",
    ),
    ("ws-l:0 --", 2, "a program is missing behind --"),
    (
        "-- cat",
        2,
        "the left side is missing: wsbridge ws-l:8080 -- PROGRAM ARGS; stdin and stdout are -",
    ),
    (
        "-v",
        2,
        "an address is missing: wsbridge ws://localhost:8080; wsbridge help addresses shows all",
    ),
    ("-s", 2, "--server wants a value: PORT"),
    (
        "-s here",
        3,
        "a port is missing: ws-l:here:PORT
  ws-l:here
       ^^^^",
    ),
    (
        "doctor",
        2,
        "doctor looks at addresses: wsbridge doctor ws://localhost:8080",
    ),
    (
        "doctor tpc:1",
        2,
        "unknown endpoint 'tpc:'; did you mean 'tcp:'?
  tpc:1
  ^^^",
    ),
    (
        "help tsl",
        2,
        "there is no page 'tsl' of help; did you mean 'tls'?",
    ),
    // Callers that could run programs.
    (
        "ws-l:*:0 -- cat",
        2,
        "ws-l:*:0: anybody who reaches it could run programs here; listen on loopback, or allow it by --allow-remote-exec",
    ),
    (
        "tcp-l:0.0.0.0:0 sh-c:cat",
        2,
        "tcp-l:0.0.0.0:0: anybody who reaches it could run programs here; listen on loopback, or allow it by --allow-remote-exec",
    ),
    // Flags of websocat.
    (
        "--pkcs12-der k.p12 wss-l:0 echo:",
        2,
        "there is no --pkcs12-der: certificates are PEM: openssl pkcs12 -in FILE -out FILE.pem -nodes makes one, cert=FILE.pem shows it",
    ),
    (
        "--static-file /:a.html ws-l:0 echo:",
        2,
        "there is no --static-file: files are served by a web server beside it, which passes on its WebSockets",
    ),
    (
        "--preamble hello ws://h",
        2,
        "there is no --preamble: --send says something on connect, and stdin is not read",
    ),
    (
        "--close-status-code 4000 ws://h",
        2,
        "there is no --close-status-code: --framing json closes with a code: {\"kind\":\"close\",\"code\":4000,\"reason\":\"\"}",
    ),
    (
        "--udp-multicast 239.0.0.1 udp:1",
        2,
        "there is no --udp-multicast: UDP is to one peer each",
    ),
];

#[test]
fn a_wrong_flag_is_told_what_serves() {
    fail(ROWS, &[]);
}
