"""A Redis client over Python's `websockets`: `redis.py PORT` checks the Redis behind the bridge on that port."""

import asyncio
import hashlib
import os
import sys

from websockets.asyncio.client import connect

from common import check, same


class Redis:
    """Redis speaks a byte stream: where messages begin and end means nothing."""

    @classmethod
    async def open(cls):
        redis = cls()
        redis.peer = await connect(f"ws://127.0.0.1:{sys.argv[1]}", max_size=None, proxy=None)
        redis.data = bytearray()
        return redis

    async def receive(self):
        message = await self.peer.recv()
        assert isinstance(message, bytes), "bytes from TCP came as text"
        self.data += message

    async def take(self, size):
        while len(self.data) < size:
            await self.receive()
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    async def line(self):
        while (end := self.data.find(b"\r\n")) < 0:
            await self.receive()
        return (await self.take(end + 2))[:-2].decode()

    async def reply(self):
        line = await self.line()
        if line[0] == "+":
            return line[1:]
        if line[0] == ":":
            return int(line[1:])
        same(line[0], "$", f"reply {line}")
        size = int(line[1:])
        return None if size < 0 else (await self.take(size + 2))[:-2]

    async def ask(self, *words):
        await self.peer.send(command(*words))
        return await self.reply()


def command(*words):
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def main():
    async def run(name, body):
        with check(name):
            return await asyncio.wait_for(body, 30)

    async def greeting():
        redis = await Redis.open()
        same(await redis.ask("SET", "py:greeting", "hello"), "OK")
        same(await redis.ask("GET", "py:greeting"), b"hello")
        return redis

    async def all_bytes():
        value = bytes(range(256))
        same(await redis.ask("SET", "py:bytes", value), "OK")
        same(await redis.ask("GET", "py:bytes"), value)

    async def large():
        value = os.urandom(5 << 20)
        same(await redis.ask("SET", "py:large", value), "OK")
        got = await redis.ask("GET", "py:large")
        same(hashlib.sha256(got).hexdigest(), hashlib.sha256(value).hexdigest())

    async def pipeline():
        async def send():
            for _ in range(10_000):
                await redis.peer.send(command("INCR", "py:counter"))

        sending = asyncio.create_task(send())
        same([await redis.reply() for _ in range(10_000)], list(range(1, 10_001)))
        await sending
        same(await redis.ask("GET", "py:counter"), b"10000")

    async def separate():
        other = await Redis.open()
        ids = await asyncio.gather(redis.ask("CLIENT", "ID"), other.ask("CLIENT", "ID"))
        assert ids[0] != ids[1], f"both are client {ids[0]}"
        same([type(number) for number in ids], [int, int])

    redis = await run("SET and GET", greeting())
    await run("a value of all 256 bytes", all_bytes())
    await run("a value of 5 MiB", large())
    await run("10000 pipelined INCRs", pipeline())
    await run("two callers have connections of their own", separate())


asyncio.run(main())
