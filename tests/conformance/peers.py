"""Python's `websockets` as the peer of a bridge: `client PORT PID` checks an echoing bridge, `server` behaves as its path says."""

import asyncio
import http
import os
import signal
import socket
import sys
import threading

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.server import ServerProtocol

from common import check, same

EMOJI = "🦀 naïve 日本 👩‍👩‍👧 " * 1348  # 50 KiB of UTF-8


async def client(port, pid):
    async def run(name, body):
        with check(name):
            return await asyncio.wait_for(body, 30)

    def start(**options):
        return connect(os.environ.get("CONFORMANCE_URL", f"ws://127.0.0.1:{port}"), max_size=None, proxy=None, **options)

    async def plain():
        same(peer.response.headers.get("Sec-WebSocket-Extensions"), None)

    async def echoes(message, wanted=None):
        await peer.send(message)
        got = await peer.recv()
        wanted = message if wanted is None else wanted
        same(type(got), type(wanted))
        assert got == wanted, f"the content changed (length {len(got)} came)"

    async def boundaries():
        for size in range(100):
            await peer.send(bytes(size))
        same([len(await peer.recv()) for _ in range(100)], list(range(100)))

    async def ping():
        # Resolved by the pong with this payload only.
        await (await peer.ping(bytes([0xFE]) * 125))

    async def close():
        await peer.close(4321, "enough now")
        got = peer.protocol.close_rcvd
        assert got is not None, "no Close came"
        same((got.code, got.reason), (4321, "enough now"))

    async def subprotocol():
        async with start(subprotocols=["chat.v2", "chat.v1"]) as chatting:
            same(chatting.subprotocol, "chat.v2")

    async def goodbye():
        callers = [await start(), await start()]
        os.kill(int(pid), signal.SIGTERM)
        for caller in callers:
            await caller.wait_closed()
        same([caller.close_code for caller in callers], [1001, 1001])

    peer = await start()
    await run("opens without an extension", plain())
    await run("text", echoes("hello"))
    await run("binary", echoes(bytes(range(256))))
    await run("empty text", echoes(""))
    await run("empty binary", echoes(b""))
    await run("50 KiB of text with emoji", echoes(EMOJI))
    await run("8 MiB binary", echoes((b"not all the same " * (1 << 19))[: 8 << 20]))
    await run("fragmented text", echoes(["one, ", "", "two, ", "three"], "one, two, three"))
    parts = [b"\1" * 70_000, b"\2", b"\3" * 200]
    await run("fragmented binary", echoes(parts, b"".join(parts)))
    await run("boundaries of 100 messages", boundaries())
    await run("ping is answered with its payload", ping())
    await run("close 4321 and its reason come back", close())
    await run("the first subprotocol offered is chosen", subprotocol())
    await run("SIGTERM says 1001 to every caller", goodbye())


async def behave(peer):
    path = peer.request.path
    try:
        if path in ("/echo", "/echo/limited"):
            async for message in peer:
                await peer.send(message)
        elif path == "/late":
            async for message in peer:
                await asyncio.sleep(0.3)
                await peer.send(f"late {message}")
        elif path.startswith("/close/"):
            await peer.close(int(path.rpartition("/")[2]))
        elif path == "/drop":
            await peer.recv()
            peer.transport.abort()
    except ConnectionClosed:
        pass
    await peer.wait_closed()
    print(f"closed {path} {peer.close_code}", flush=True)


def refuse(peer, request):
    if request.path == "/missing":
        return peer.respond(http.HTTPStatus.NOT_FOUND, "nothing here\n")


def greet(connection):
    """One caller of /greeting: the 101 and the message leave in one piece."""
    with connection:
        protocol = ServerProtocol()
        while protocol.state is not State.CLOSED and (data := connection.recv(65536)):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if protocol.state is State.CONNECTING:
                    protocol.send_response(protocol.accept(event))
                    protocol.send_text(b"greeting")
            connection.sendall(b"".join(protocol.data_to_send()))
        print(f"closed /greeting {protocol.close_code}", flush=True)


def greeter(listener):
    while True:
        threading.Thread(target=greet, args=[listener.accept()[0]], daemon=True).start()


async def server():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=greeter, args=[listener], daemon=True).start()
    async with (
        serve(behave, "127.0.0.1", 0, process_request=refuse) as listening,
        serve(behave, "127.0.0.1", 0, max_size=32_768) as limited,
    ):
        port, least = (it.sockets[0].getsockname()[1] for it in (listening, limited))
        print(f"port {port} glued {listener.getsockname()[1]} limited {least}", flush=True)
        await asyncio.Future()


role, *rest = sys.argv[1:]
asyncio.run({"client": client, "server": server}[role](*rest))
