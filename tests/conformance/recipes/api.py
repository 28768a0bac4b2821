"""A server of JSON and of a feed: `api.py PORT NAME [FOLDER]`, over TLS when a folder has the certificate."""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.server import serve

port, name, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
go = asyncio.Event()


async def api(socket):
    async for message in socket:
        if isinstance(message, bytes):
            await socket.send(message)
            continue
        asked = json.loads(message)
        match asked["op"]:
            case "time":
                await socket.send('{"time":"2026-11-21T12:00:00Z"}')
            case "subscribe":
                # It is one message, as it was written: a line each would be no JSON.
                assert message.count("\n") == 4, message
                await socket.send('{"data":{"nth":1}}')
                await go.wait()
                await socket.send('{"data":{"nth":2}}\n')
                await socket.send('{"data":{"nth":3}}')
                return
            case "go":
                go.set()
                await socket.send("{}")
            case "bye":
                await socket.close(4000, "bye")


async def feed(socket):
    await socket.send(f'{{"from":"{name}"}}')
    async for message in socket:
        await socket.send(json.dumps({"from": name, "asked": json.loads(message)["op"]}, separators=(",", ":")))


async def news(socket):
    for nth in range(3):
        await socket.send(f'{{"nth":{nth}}}')


async def main():
    paths = {"/ws": api, "/v1": feed, "/feed": news}
    tls = None
    if folder:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(f"{folder[0]}/chain.pem", f"{folder[0]}/key.pem")
    async with serve(lambda socket: paths[socket.request.path](socket), "127.0.0.1", port, ssl=tls):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
