"""Runs command lines of WebSocket tools, each among peers of its own, and says of each whether one exchange went through."""

import asyncio
import base64
import glob
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import serve, unix_serve

from common import free_port, reason, report, same

BINARY, FOLDER, LINES = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
AT_ONCE = 4
WAIT = 30
# The flag of a socket that listens in /proc/net/unix (__SO_ACCEPTCON).
LISTENING = 1 << 16
CA = FOLDER / "ca.pem"

# What stands in the place of what a line names.
PLACES = [
    (r"^-u-ws://localhost:8080/", "ws://127.0.0.1:{ws}/says"),
    (r"wss://(localhost:8443|10\.0\.0\.1)/?", "wss://localhost:{wss}/"),
    (r"(?<!uri=)ws://(localhost:8080|example\.com(/ssh)?)/?", "ws://127.0.0.1:{ws}/"),
    (r"^ws-c:tcp:localhost:80$", "ws-c:tcp:127.0.0.1:{ws}"),
    (r"ws-c:unix:/run/app\.sock", "ws-c:unix:{ws_unix}"),
    (r"tls:db\.example\.com:5432|tls:example\.com:443", "tls:localhost:{tls}"),
    (r"OPENSSL:example\.com:443", "OPENSSL:localhost:{tls}"),
    (r"^db\.example\.com:5432", "localhost:{tls}"),
    (r"PROXY:proxy:example\.com:80", "PROXY:127.0.0.1:127.0.0.1:{tcp},proxyport={proxy}"),
    (r"(?<!ws-c:)tcp:(localhost|127\.0\.0\.1|example\.com):\d+$", "tcp:127.0.0.1:{tcp}"),
    (r"TCP:localhost:80$", "TCP:127.0.0.1:{tcp}"),
    (r"^localhost:5901$", "127.0.0.1:{tcp}"),
    (r"^80$", "{tcp}"),
    (r"(udp|UDP):(127\.0\.0\.1|localhost):53", r"\1:127.0.0.1:{udp}"),
    (r"http://proxy:8080", "http://127.0.0.1:{proxy}"),
    (r"localhost:9050", "127.0.0.1:{socks}"),
    (r"/run/vnc\.sock", "{unix}"),
    (r"(UNIX-CONNECT:|unix:)/tmp/a\.sock", r"\1{unix}"),
    (r"/tmp/a(pp)?\.sock", "{listen}"),
    (r"/tmp/log", "{log}"),
    (r"(=|^)log$", r"\1{log}"),
    (r"cert=c\.pem,key=k\.pem", "cert={pem},key={pem}"),
    (r"\b[ck]\.pem", "{pem}"),
    (r"abstract-l:app", "abstract-l:{abstract}"),
    (r"unix-l:@app", "unix-l:@{abstract}"),
    (r"^(--port=|ws-l:|wss-l:|tcp-l:|TCP-LISTEN:|TCP-L:|)((?:0\.0\.0\.0|127\.0\.0\.1|localhost|\*):|)(8080|8443|1234|2222)(?=$|,)", r"\1\2{port}"),
]
# What comes back where it is not what was said.
ANSWERS = [
    (r"literal:hello", "hello"),
    (r"(readfile|file|FILE):/etc/hostname", Path("/etc/hostname").read_text().strip()),
    (r"(sh-c|cmd):date", ":"),
    (r"(each|foreachmsg):sh-c:wc", r"1 +1 +6"),
    (r" -e .*exec:env", "WEBSOCAT_URI="),
    (r"exec:env", "=someone"),
    (r"--jsonrpc", '"method":"hello"'),
]
# What a server must be asked with.
HEADERS = [
    (r"X-Token:abc", "X-Token", "abc"),
    (r"(?<!ws-l:0)--origin http://localhost", "Origin", "http://localhost"),
    (r"--protocol chat|-s chat", "Sec-WebSocket-Protocol", "chat"),
    (r"(-auth|--user) me:word", "Authorization", "Basic " + base64.b64encode(b"me:word").decode()),
    (r"-uri=ws://example.com/chat", "Host", "example.com"),
]


class World:
    """Peers for one line: servers that echo, and proxies that lead to wherever they are asked for."""

    @staticmethod
    @asynccontextmanager
    async def open(number, line):
        world = World()
        world.places = places = {}
        world.heads, world.proxied = [], []
        base = FOLDER / f"line{number}"
        base.mkdir()
        for name in "listen", "log", "unix", "ws_unix":
            places[name] = str(base / name)
        places.update(pem=FOLDER / "localhost.pem", port=free_port(), abstract=f"wsbridge-{os.getpid()}-{number}")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(places["pem"])
        if line.startswith("websockify"):
            # It waits for bytes in the session tickets of a server of TLS 1.3, and no longer listens to its caller.
            tls.num_tickets = 0

        async def messages(peer):
            world.heads.append(peer.request.headers)
            if peer.request.path.endswith("says"):
                await peer.send("hello")
                return
            async for message in peer:
                await peer.send(message)

        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            options = {"select_subprotocol": lambda _, offered: next(iter(offered), None), "compression": None}
            for name, more in ("ws", {}), ("wss", {"ssl": tls}):
                server = await enter(serve(messages, "127.0.0.1", 0, **options, **more))
                places[name] = server.sockets[0].getsockname()[1]
            await enter(unix_serve(messages, places["ws_unix"], **options))
            for name, talk, more in [
                ("tcp", echo, {}),
                ("tls", echo, {"ssl": tls}),
                ("proxy", world.http_proxy, {}),
                ("socks", world.socks, {}),
            ]:
                server = await enter(await asyncio.start_server(talk, "127.0.0.1", 0, **more))
                places[name] = server.sockets[0].getsockname()[1]
            await enter(await asyncio.start_unix_server(echo, places["unix"]))
            loop = asyncio.get_running_loop()
            datagrams, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
            stack.callback(datagrams.close)
            places["udp"] = datagrams.get_extra_info("sockname")[1]
            yield world

    async def http_proxy(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split()[1].decode()
        self.proxied.append(target)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        await relay(reader, writer, *target.rsplit(":", 1))

    async def socks(self, reader, writer):
        """A server of SOCKS 5 (RFC 1928) that asks for no name."""
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        _, command, _, kind = await reader.readexactly(4)
        same(command, 1, "command")
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = socket.inet_ntoa(await reader.readexactly(4))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.proxied.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await relay(reader, writer, host, port)


class Datagrams(asyncio.DatagramProtocol):
    """Echoes datagrams."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(data, sender)


async def pour(reader, writer):
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
        writer.close()
    except ConnectionError:
        pass


async def echo(reader, writer):
    await pour(reader, writer)


async def relay(reader, writer, host, port):
    far = await asyncio.open_connection(host, port)
    await asyncio.gather(pour(reader, far[1]), pour(far[0], writer))


def spelled(line, world):
    """The words of a line with our places in them, and the file that its shell would have put stderr into."""
    words, errors = [], None
    for word in shlex.split(line):
        if word == "2>>log":
            errors = world.places["log"]
            continue
        if words[1:] == ["-u"] and word.startswith("ws:"):
            word = f"-u-{word}"
        for pattern, place in PLACES:
            word = re.sub(pattern, lambda match: match.expand(place).format(**world.places), word, count=1)
        words.append(word)
    if words[0] == "wsbridge":
        words[0] = BINARY
    return words, errors


def listens(port):
    """Whether somebody listens on a port (proc_net_tcp(5), state 0A)."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def listens_at(path):
    """Whether somebody listens at a Unix socket; `@` begins an abstract name. One that is bound only still refuses callers."""
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(row[7:] == [path] and int(row[3], 16) & LISTENING for row in rows)


async def until(true, process):
    while not true():
        if process.returncode is not None:
            assert true(), f"it ended with {process.returncode}"
            return
        await asyncio.sleep(0.02)


def wanted(line):
    return next((answer for pattern, answer in ANSWERS if re.search(pattern, line)), "hello")


class Line:
    """A command line in its world, running."""

    def __init__(self, line, world, process):
        self.line, self.world, self.process = line, world, process

    async def hears(self):
        """What the other side of stdin and stdout said, once all of it is there."""
        seen = ""
        while not re.search(wanted(self.line), seen):
            some = await self.process.stdout.read(4096)
            assert some, f"stdout ended behind {seen!r}"
            seen += some.decode()

    async def says(self, words):
        self.process.stdin.write(words.encode() + (b"\0" if "-0" in self.line.split() else b"\n"))
        await self.process.stdin.drain()

    def options(self):
        """What a caller of it must come with."""
        headers, options = {"X-User": "someone"}, {"compression": None, "proxy": None}
        if "websockify" in self.line:
            options["subprotocols"] = ["binary"]
        if "sameorigin" in self.line:
            options["origin"] = f"http://localhost:{self.world.places['port']}"
        if found := re.search(r"--origin[= ](https://\S+)", self.line):
            options["origin"] = found[1]
        return {"additional_headers": headers, **options}

    async def messages(self, peer):
        is_binary = "websockify" in self.line or re.search(r" -b |--binary", self.line)
        if re.search(r"(each|foreachmsg):", self.line):
            await peer.send("hello")
        elif wanted(self.line) == "hello" and "literal" not in self.line:
            # Two sides of bytes know no lines; a program that reads lines gets one.
            await peer.send(b"hello\n" if is_binary else "hello")
        if re.search(r"-s( |$)|-l 8080", self.line):
            await self.hears()
            await self.says("hello")
        seen = ""
        async for message in peer:
            seen += message if isinstance(message, str) else message.decode()
            if re.search(wanted(self.line), seen):
                return
        raise AssertionError(f"the answer was {seen!r}")

    async def bytes(self, reader, writer):
        writer.write(b"hello\n")
        if re.search(r"nc -lk|tcp-l:8080 -$", self.line):
            await self.hears()
            await self.says("hello")
        same((await reader.readexactly(6)).decode(), "hello\n", "answer")
        writer.close()

    async def called(self):
        """Calls it as who uses it would."""
        places, line = self.world.places, self.line
        port, path = places["port"], "/chat" if "/chat" in line else "/"
        if "abstract" in line or "@app" in line:
            name = f"@{places['abstract']}"
            await until(lambda: listens_at(name), self.process)
            async with unix_connect(f"\0{name[1:]}", "ws://localhost/", **self.options()) as peer:
                await self.messages(peer)
        elif ".sock" in line and re.search(r"unix-l|UNIX-LISTEN", line):
            await until(lambda: listens_at(places["listen"]), self.process)
            if "ws-u:" in line:
                async with unix_connect(places["listen"], "ws://localhost/", **self.options()) as peer:
                    await self.messages(peer)
            else:
                await self.bytes(*await asyncio.open_unix_connection(places["listen"]))
        else:
            await until(lambda: listens(port), self.process)
            if re.search(r"tcp-l|TCP-L|nc -lk", line):
                await self.bytes(*await asyncio.open_connection("127.0.0.1", port))
                return
            options = self.options()
            if re.search(r"wss-l|--ssl ", line) or "--ssl-only" in line:
                options["ssl"] = ssl.create_default_context(cafile=CA)
            scheme = "wss" if "ssl" in options else "ws"
            async with connect(f"{scheme}://localhost:{port}{path}", **options) as peer:
                await self.messages(peer)

    async def looks(self):
        """Looks at what it has left behind."""
        line, places = self.line, self.world.places
        if re.search(r"(writefile|appendfile|file):/tmp/log", line):
            await until(lambda: os.path.exists(places["log"]) and Path(places["log"]).read_text() == "hello\n", self.process)
        if re.search(r"\blog\b", line):
            await until(lambda: any(os.path.getsize(name) for name in glob.glob(places["log"] + "*")), self.process)
        if re.search(r"socks|PROXY|--proxy", line):
            assert self.world.proxied, "the proxy was not asked"
        for pattern, name, value in HEADERS:
            if re.search(pattern, line) and self.world.heads:
                same(self.world.heads[-1].get(name), value, name)


async def exchange(number, line):
    async with World.open(number, line) as world:
        words, errors = spelled(line, world)
        trusts = {} if " -k " in line or " -n -c " in line else {"SSL_CERT_FILE": str(CA)}
        ours, theirs = socket.socketpair()
        is_inetd = re.search(r"ws-u:(inetd:|- )", line)
        pipe = asyncio.subprocess.PIPE
        with open(errors or world.places["log"] + ".stderr", "wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=theirs if is_inetd else pipe,
                stdout=theirs if is_inetd else pipe,
                stderr=stderr,
                env={**os.environ, **trusts},
                cwd=FOLDER / f"line{number}",
                start_new_session=True,
            )
        theirs.close()
        running = Line(line, world, process)
        is_called = re.search(
            r"(ws-l|wss-l|tcp-l|unix-l|abstract-l|TCP-L\w*|UNIX-LISTEN):|^\w+ (--\w+ )?-s |^\w+ -l|--port=|^websockify", line
        )
        try:
            async with asyncio.timeout(WAIT):
                if is_inetd:
                    async with connect("ws://localhost/", sock=ours, **running.options()) as peer:
                        await running.messages(peer)
                elif is_called:
                    await running.called()
                elif re.search(r"-u ws:", line):
                    pass
                else:
                    if not re.search(r"--send|-u FILE|-u file", line):
                        await running.says("hello")
                    await running.hears()
                await running.looks()
        except Exception as error:
            said = Path(errors or world.places["log"] + ".stderr").read_text(errors="replace")
            raise AssertionError(f"{reason(error)}; stderr: {said[-300:]!r}") from error
        finally:
            ours.close()
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                pass
            await process.wait()


def certify():
    """An authority, and its certificate for localhost and example.com with its key."""

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=FOLDER)

    names = "subjectAltName=DNS:localhost,DNS:example.com,IP:127.0.0.1"
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
    openssl(*new, "-subj", "/CN=an authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl(*new, "-subj", "/CN=localhost", *signed, "-keyout", "localhost.key", "-out", "localhost.crt")
    both = (FOLDER / "localhost.crt").read_text() + (FOLDER / "localhost.key").read_text()
    (FOLDER / "localhost.pem").write_text(both)


async def main():
    certify()
    few = asyncio.Semaphore(AT_ONCE)

    async def one(number, line):
        async with few:
            try:
                await exchange(number, line)
            except Exception as error:
                report(f"`{line}`", reason(error))
            else:
                report(f"`{line}`")

    await asyncio.gather(*(one(number, line) for number, line in enumerate(LINES)))


asyncio.run(main())
