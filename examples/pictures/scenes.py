"""What the pictures show: command lines that are typed into a shell, and what must run beside them."""

import re
import socket

# name, what runs meanwhile, the command lines with their exit statuses, rows that are shown (None: all)
STILLS = [
    ("help", [], [("wsbridge -h", 0)], None),
    ("addresses", [], [("wsbridge help addresses", 0)], 50),
    (
        "error",
        [],
        [
            ("wsbridge ws-1:8080 tcp:localhost:6379", 2),
            ("wsbridge ws-l:8080 tcp:localhost:6379 --orgin https://example.com", 2),
            ("wsbridge ws-l:8080 -- pyhton3 bot.py", 127),
            ("wsbridge ws://localhost:8080; echo $?", 0),
        ],
        None,
    ),
    (
        "doctor",
        ["ws-l:8080 echo:", "wss-l:8443,self-signed echo:"],
        [("wsbridge doctor ws://localhost:8080 wss://localhost:8443", 60)],
        None,
    ),
    ("explain", [], [("wsbridge --explain ws-l:8080 tcp:6379", 0)], None),
]

TOP, BOTTOM = 0, 1
ENTER, INTERRUPT, END, CLEAR = "\r", "\x03", "\x04", "\x0c"

# A step is what one does: look at a pane, name the scene, type, press a key, wait until a pane shows, or let others read.
DEMO = [
    ("scene", "a program for each caller"),
    ("type", TOP, "wsbridge ws-l:8080 -- tr a-z A-Z"),
    ("shows", TOP, "listening on"),
    ("type", BOTTOM, "echo hello | wsbridge ws://localhost:8080"),
    ("shows", BOTTOM, "\nHELLO\n$"),
    ("rest", 1.2),
    ("stop", TOP),
    ("scene", "a TCP server for WebSockets: Redis"),
    ("type", TOP, "wsbridge ws-l:8081 tcp:localhost:6379"),
    ("shows", TOP, ":8081"),
    ("type", BOTTOM, "echo PING | wsbridge ws://localhost:8081"),
    ("shows", BOTTOM, "\n+PONG\n$"),
    ("rest", 1),
    ("stop", TOP),
    ("scene", "how it ended is told, across the bridge"),
    ("type", TOP, "wsbridge ws-l:8080 -- sh -c 'echo half of it; exit 3'"),
    ("shows", TOP, "listening on"),
    ("type", BOTTOM, "wsbridge ws://localhost:8080 --exit-status peer </dev/null; echo $?"),
    ("shows", BOTTOM, "\n3\n$"),
    ("rest", 1.8),
    ("stop", TOP),
    ("scene", "a room"),
    ("type", TOP, "wsbridge -q ws-l:8082 hub: &"),
    ("shows", TOP, "\n[1] "),
    ("type", TOP, "wsbridge ws://localhost:8082"),
    ("shows", TOP, "connected to"),
    ("type", BOTTOM, "wsbridge ws://localhost:8082"),
    ("shows", BOTTOM, "connected to"),
    ("type", BOTTOM, "Is anybody there?"),
    ("shows", TOP, "< Is anybody there?"),
    ("type", TOP, "All who call this port. Browsers, too."),
    ("shows", BOTTOM, "< All who call"),
    ("rest", 1),
    ("press", BOTTOM, END),
    ("shows", BOTTOM, "\n$"),
    ("type", BOTTOM, "echo $?"),
    ("shows", BOTTOM, "\n0\n$"),
    ("rest", 2.5),
]
PORTS = [8080, 8081, 8082, 8443, 6379]


def free_ports():
    """For each port that is shown one that is free: for checks, which share the machine with others."""
    sockets = {port: socket.socket() for port in PORTS}
    for listener in sockets.values():
        listener.bind(("127.0.0.1", 0))
    free = {port: listener.getsockname()[1] for port, listener in sockets.items()}
    for listener in sockets.values():
        listener.close()
    return free


def moved(text, ports):
    """The same line with other ports."""
    return re.sub(r"\b\d{4}\b", lambda port: str(ports.get(int(port[0]), port[0])), text)
