"""Python's WebSocket libraries as peers of a bridge: `server NAME LIMIT` and `client NAME PORT LIMIT PROTOCOLS`.

A server says `port N`, and of each connection `message KIND LENGTH` and `closed CODE messages N bytes N sum MD5 protocol NAME`.
A client sends nothing, reads to the end and says the same.
"""

import sys

# A file beside this one has the name of a module of the standard library.
sys.path.pop(0)

import asyncio
import hashlib


class Seen:
    """What came over one connection."""

    def __init__(self):
        self.messages = self.bytes = self.largest = 0
        self.sum = hashlib.md5()

    def add(self, message):
        data = message.encode() if isinstance(message, str) else bytes(message)
        self.messages += 1
        self.bytes += len(data)
        self.largest = max(self.largest, len(data))
        self.sum.update(data)

    def tell(self, code, protocol):
        counts = f"messages {self.messages} bytes {self.bytes} largest {self.largest}"
        print(f"closed {code} {counts} sum {self.sum.hexdigest()} protocol {protocol or '-'}", flush=True)


def choose(offered):
    """The one subprotocol that all servers here speak, where it is offered."""
    return "superchat" if "superchat" in offered else None


async def websockets_server(limit):
    from websockets.asyncio.server import serve
    from websockets.exceptions import ConnectionClosed

    async def handler(ws):
        seen = Seen()
        try:
            async for message in ws:
                seen.add(message)
        except ConnectionClosed:
            pass
        seen.tell(ws.close_code, ws.subprotocol)

    def select(_, offered):
        return choose(offered)

    async with serve(handler, "127.0.0.1", 0, max_size=limit, select_subprotocol=select) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


async def aiohttp_server(limit):
    from aiohttp import WSMsgType, web

    async def handler(request):
        ws = web.WebSocketResponse(max_msg_size=limit + 1, protocols=("superchat",))
        await ws.prepare(request)
        seen = Seen()
        async for message in ws:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                seen.add(message.data)
        seen.tell(ws.close_code, ws.ws_protocol)
        return ws

    app = web.Application()
    app.router.add_get("/{rest:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"port {site._server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Future()


async def tornado_server(limit):
    from tornado import web, websocket
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    class Handler(websocket.WebSocketHandler):
        def open(self, *_):
            self.seen = Seen()
            self.chosen = self.selected_subprotocol

        def select_subprotocol(self, offered):
            return choose(offered)

        def on_message(self, message):
            self.seen.add(message)

        def on_close(self):
            self.seen.tell(self.close_code, self.chosen)

    app = web.Application([(r"/.*", Handler)], websocket_max_message_size=limit)
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(app).add_sockets(sockets)
    print(f"port {sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Future()


async def uvicorn_server(limit):
    import socket

    import uvicorn

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        protocol = choose(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": protocol})
        seen = Seen()
        while (event := await receive())["type"] == "websocket.receive":
            seen.add(event.get("bytes") if event.get("bytes") is not None else event["text"])
        seen.tell(event["code"], protocol)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, ws="wsproto", ws_max_size=limit, log_level="critical", lifespan="off")
    print(f"port {listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


async def autobahn_server(limit):
    from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol

    class Protocol(WebSocketServerProtocol):
        def onConnect(self, request):
            self.seen = Seen()
            self.chosen = choose(request.protocols)
            return self.chosen

        def onMessage(self, payload, is_binary):
            self.seen.add(payload)

        def onClose(self, was_clean, code, reason):
            if hasattr(self, "seen"):
                self.seen.tell(code, self.chosen)

    factory = WebSocketServerFactory()
    factory.protocol = Protocol
    # Without the second one it drops the connection and says nothing.
    factory.setProtocolOptions(maxMessagePayloadSize=limit, failByDrop=False)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Future()


async def websockets_client(url, limit, protocols):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    seen = Seen()
    async with connect(url, max_size=limit, subprotocols=protocols or None, proxy=None) as ws:
        try:
            async for message in ws:
                seen.add(message)
        except ConnectionClosed:
            pass
        await ws.wait_closed()
        seen.tell(ws.close_code, ws.subprotocol)


async def aiohttp_client(url, limit, protocols):
    import aiohttp

    seen = Seen()
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, max_msg_size=limit + 1, protocols=protocols) as ws:
            async for message in ws:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    seen.add(message.data)
            seen.tell(ws.close_code, ws.protocol)


async def tornado_client(url, limit, protocols):
    from tornado.websocket import websocket_connect

    seen = Seen()
    ws = await websocket_connect(url, max_message_size=limit, subprotocols=protocols or None)
    while (message := await ws.read_message()) is not None:
        seen.add(message)
    seen.tell(ws.close_code, ws.selected_subprotocol)


async def websocket_client_client(url, limit, protocols):
    import websocket

    # It sends an Origin of its own, which is that of the URL, and has no limit.
    ws = websocket.create_connection(url, subprotocols=protocols or None, timeout=30)
    seen, code = Seen(), None
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            code = int.from_bytes(data[:2], "big")
            break
        seen.add(data)
    seen.tell(code, ws.getsubprotocol())


async def autobahn_client(url, limit, protocols):
    from urllib.parse import urlsplit

    from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

    done = asyncio.get_running_loop().create_future()

    class Protocol(WebSocketClientProtocol):
        def onConnect(self, response):
            self.seen, self.chosen = Seen(), response.protocol

        def onMessage(self, payload, is_binary):
            self.seen.add(payload)

        def onClose(self, was_clean, code, reason):
            self.seen.tell(code, self.chosen)
            done.set_result(None)

    factory = WebSocketClientFactory(url, protocols=protocols or None)
    factory.protocol = Protocol
    factory.setProtocolOptions(maxMessagePayloadSize=limit)
    place = urlsplit(url)
    await asyncio.get_running_loop().create_connection(factory, place.hostname, place.port)
    await done


def main():
    role, name = sys.argv[1:3]
    run = globals()[f"{name.replace('-', '_')}_{role}"]
    if role == "server":
        asyncio.run(run(int(sys.argv[3])))
    else:
        port, limit, protocols = sys.argv[3:6]
        names = [name for name in protocols.split(",") if name]
        asyncio.run(run(f"ws://127.0.0.1:{port}/", int(limit), names))


main()
