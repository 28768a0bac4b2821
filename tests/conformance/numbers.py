"""A WebSocket server of Python's `websockets` that says numbered lines: `numbers PORT FIRST`; prints what it is told."""

import asyncio
import itertools
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def main(port, first):
    numbers = itertools.count(first)

    async def say(peer):
        async def hear():
            async for message in peer:
                print(message, flush=True)

        hearing = asyncio.create_task(hear())
        try:
            for number in numbers:
                await peer.send(f"number {number}")
                await asyncio.sleep(0.005)
        except ConnectionClosed:
            await hearing

    async with serve(say, "127.0.0.1", port, reuse_address=True) as server:
        print("ready", flush=True)
        await server.serve_forever()


asyncio.run(main(*map(int, sys.argv[1:])))
