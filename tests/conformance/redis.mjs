// A Redis client over Node's `ws`: `redis.mjs PORT` checks the Redis behind the bridge on that port.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket, check } from './common.mjs';

const [port] = process.argv.slice(2);

// Redis speaks a byte stream: where messages begin and end means nothing.
class Redis {
  chunks = [];
  size = 0;

  static async open() {
    const redis = new Redis();
    redis.socket = new WebSocket(`ws://127.0.0.1:${port}`);
    redis.socket.on('message', (data, binary) => {
      assert(binary, 'bytes from TCP came as text');
      redis.chunks.push(data);
      redis.size += data.length;
      redis.wake?.();
    });
    await once(redis.socket, 'open');
    return redis;
  }

  async fill(size) {
    while (this.size < size) await new Promise((resolve) => (this.wake = resolve));
    this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0];
  }

  async take(size) {
    const all = await this.fill(size);
    this.chunks = [all.subarray(size)];
    this.size -= size;
    return all.subarray(0, size);
  }

  async line() {
    let end;
    while ((end = (await this.fill(this.size)).indexOf('\r\n')) < 0) await this.fill(this.size + 1);
    return String((await this.take(end + 2)).subarray(0, end));
  }

  async reply() {
    const line = await this.line();
    if (line[0] === '+') return line.slice(1);
    if (line[0] === ':') return Number(line.slice(1));
    assert.equal(line[0], '$', line);
    const size = Number(line.slice(1));
    return size < 0 ? null : (await this.take(size + 2)).subarray(0, size);
  }

  async ask(...words) {
    this.socket.send(command(...words));
    return this.reply();
  }
}

function command(...words) {
  const parts = words.map((word) => Buffer.from(word));
  return Buffer.concat([
    Buffer.from(`*${parts.length}\r\n`),
    ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')]),
  ]);
}

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

let redis;
await check('SET and GET', async () => {
  redis = await Redis.open();
  assert.equal(await redis.ask('SET', 'js:greeting', 'hello'), 'OK');
  assert.equal(String(await redis.ask('GET', 'js:greeting')), 'hello');
});
await check('a value of all 256 bytes', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  assert.equal(await redis.ask('SET', 'js:bytes', bytes), 'OK');
  assert(bytes.equals(await redis.ask('GET', 'js:bytes')), 'the bytes changed');
});
await check('a value of 5 MiB', async () => {
  const value = randomBytes(5 << 20);
  assert.equal(await redis.ask('SET', 'js:large', value), 'OK');
  assert.equal(hash(await redis.ask('GET', 'js:large')), hash(value));
});
await check('10000 pipelined INCRs', async () => {
  for (let number = 0; number < 10_000; number++) redis.socket.send(command('INCR', 'js:counter'));
  for (let number = 1; number <= 10_000; number++) assert.equal(await redis.reply(), number);
  assert.equal(String(await redis.ask('GET', 'js:counter')), '10000');
});
await check('two callers have connections of their own', async () => {
  const other = await Redis.open();
  const ids = await Promise.all([redis.ask('CLIENT', 'ID'), other.ask('CLIENT', 'ID')]);
  assert.notEqual(ids[0], ids[1]);
  assert(ids.every(Number.isInteger), `not numbers: ${ids}`);
});
process.exit();
