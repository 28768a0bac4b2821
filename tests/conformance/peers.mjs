// Node's `ws` as the peer of a bridge: `client PORT PID` checks an echoing bridge, `server` behaves as its path says.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer, check } from './common.mjs';

const EMOJI = '🦀 naïve 日本 👩‍👩‍👧 '.repeat(1348); // 50 KiB of UTF-8

async function client(port, pid) {
  async function open(...protocols) {
    const socket = new WebSocket(process.env.CONFORMANCE_URL ?? `ws://127.0.0.1:${port}`, ...protocols);
    await once(socket, 'open');
    return socket;
  }

  async function echoes(socket, wanted, send = () => socket.send(wanted)) {
    const answer = once(socket, 'message');
    send();
    const [data, binary] = await answer;
    assert.equal(binary, typeof wanted !== 'string', 'the kind changed');
    assert(data.equals(Buffer.from(wanted)), `the content changed (${data.length} bytes came)`);
  }

  function fragments(socket, parts, binary) {
    parts.forEach((part, index) => {
      socket.send(part, { binary, fin: index === parts.length - 1 });
      if (index === 0) socket.ping('between');
    });
  }

  let socket;
  await check('opens without an extension', async () => {
    socket = await open();
    assert.equal(socket.extensions, '');
  });
  await check('text', () => echoes(socket, 'hello'));
  await check('binary', () => echoes(socket, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))));
  await check('empty text', () => echoes(socket, ''));
  await check('empty binary', () => echoes(socket, Buffer.alloc(0)));
  await check('50 KiB of text with emoji', () => echoes(socket, EMOJI));
  await check('8 MiB binary', () => echoes(socket, Buffer.alloc(8 << 20, 'not all the same ')));
  await check('fragmented text, a ping in between', async () => {
    const pong = once(socket, 'pong');
    await echoes(socket, 'one, two, three', () => fragments(socket, ['one, ', '', 'two, ', 'three'], false));
    assert.equal(String((await pong)[0]), 'between');
  });
  await check('fragmented binary', async () => {
    const parts = [Buffer.alloc(70_000, 1), Buffer.alloc(1, 2), Buffer.alloc(200, 3)];
    await echoes(socket, Buffer.concat(parts), () => fragments(socket, parts, true));
  });
  await check('boundaries of 100 messages', async () => {
    const sizes = [];
    const all = new Promise((resolve) => {
      socket.on('message', (data) => sizes.push(data.length) === 100 && resolve());
    });
    for (let size = 0; size < 100; size++) socket.send(Buffer.alloc(size));
    await all;
    assert.deepEqual(sizes, [...sizes.keys()]);
  });
  await check('ping is answered with its payload', async () => {
    const payload = Buffer.alloc(125, 0xfe);
    const pong = once(socket, 'pong');
    socket.ping(payload);
    assert((await pong)[0].equals(payload), 'another payload');
  });
  await check('close 4321 and its reason come back', async () => {
    const closed = once(socket, 'close');
    socket.close(4321, 'enough now');
    const [code, reason] = await closed;
    assert.deepEqual([code, String(reason)], [4321, 'enough now']);
  });
  await check('the first subprotocol offered is chosen', async () => {
    const chatting = await open(['chat.v2', 'chat.v1']);
    assert.equal(chatting.protocol, 'chat.v2');
    chatting.close();
  });
  await check('SIGTERM says 1001 to every caller', async () => {
    const callers = [await open(), await open()];
    const closed = callers.map((caller) => once(caller, 'close'));
    process.kill(pid, 'SIGTERM');
    assert.deepEqual((await Promise.all(closed)).map(([code]) => code), [1001, 1001]);
  });
  process.exit();
}

function server() {
  const http = createServer();
  const upgrader = new WebSocketServer({ noServer: true });
  const limited = new WebSocketServer({ noServer: true, maxPayload: 32_768 });
  const behaviours = {
    echo: (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })),
    greeting: (socket) => socket.send('greeting'),
    late: (socket) => socket.on('message', (data) => setTimeout(() => socket.send(`late ${data}`), 300)),
    close: (socket, code) => socket.close(Number(code)),
    drop: (socket, _, connection) => socket.on('message', () => connection.destroy()),
  };
  http.on('upgrade', (request, connection, head) => {
    const [behaviour, argument] = request.url.slice(1).split('/');
    if (!(behaviour in behaviours)) {
      connection.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    // Corked, the 101 and what the behaviour sends at once leave in one piece.
    connection.cork();
    (argument === 'limited' ? limited : upgrader).handleUpgrade(request, connection, head, (socket) => {
      socket.on('error', () => {});
      socket.on('close', (code) => console.log(`closed ${request.url} ${code}`));
      behaviours[behaviour](socket, argument, connection);
    });
    connection.uncork();
  });
  http.listen(0, '127.0.0.1', () => {
    const { port } = http.address();
    console.log(`port ${port} glued ${port} limited ${port}`);
  });
}

const [role, ...rest] = process.argv.slice(2);
({ client, server })[role](...rest);
