// Clients and servers of five worlds, unchanged, with `wsbridge ws-l:0 ws://127.0.0.1:PORT` between them: `WORLD WSBRIDGE`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { WebSocketServer, bridge, check, require } from './common.mjs';

const [world, binary] = process.argv.slice(2);
const BYTES = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index * 7));
const EMOJI = '🦀 naïve 日本 👩‍👩‍👧';

// An HTTP server and a relay in front of it; gives the server and the relay's address without its scheme.
async function relayed() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = await bridge(binary, '--forward-header', 'X-Token', 'ws-l:0', `ws://127.0.0.1:${server.address().port}`);
  return { server, place: `127.0.0.1:${port}` };
}

async function socketIo() {
  const { Server } = require('socket.io');
  const { io } = require('socket.io-client');
  const { server, place } = await relayed();
  const rooms = new Server(server, { path: '/live/socket.io', pingInterval: 300 });
  const gone = new Promise((resolve) => {
    rooms.of('/chat').on('connection', (socket) => {
      socket.on('say', (words, bytes, answer) => answer({ words, bytes }));
      socket.on('who', (answer) => answer(socket.handshake.query.who, socket.handshake.headers['x-token'], socket.handshake.auth.key));
      socket.on('ask me', async () => socket.emit('asked', await socket.emitWithAck('what', 1)));
      socket.on('throw me out', () => socket.disconnect(true));
      socket.on('disconnect', resolve);
    });
  });
  const open = () => io(`http://${place}/chat`, {
    path: '/live/socket.io', transports: ['websocket'], forceNew: true, reconnection: false,
    query: { who: 'me & you' }, auth: { key: EMOJI }, extraHeaders: { 'X-Token': 'abc' },
  });
  const socket = open();
  await check('connects with its path', () => once(socket, 'connect'));
  await check('text, binary and an acknowledgement', async () => {
    const { words, bytes } = await socket.emitWithAck('say', EMOJI, BYTES);
    assert.equal(words, EMOJI);
    assert(BYTES.equals(bytes));
  });
  await check('query, header and auth arrive', () => new Promise((resolve, reject) => {
    socket.emit('who', (...found) => {
      try {
        resolve(assert.deepEqual(found, ['me & you', 'abc', EMOJI]));
      } catch (error) {
        reject(error);
      }
    });
  }));
  await check('the server asks and is answered', async () => {
    socket.on('what', (number, answer) => answer(number + 1));
    socket.emit('ask me');
    assert.deepEqual(await once(socket, 'asked'), [2]);
  });
  await check('its heartbeats pass', async () => {
    for (let beats = 0; beats < 3; beats += 1) await once(socket.io, 'ping');
    assert(socket.connected);
  });
  await check('both sides hear why it ends', async () => {
    socket.emit('throw me out');
    assert.equal((await once(socket, 'disconnect'))[0], 'io server disconnect');
    assert.equal(await gone, 'server namespace disconnect');
  });
}

async function graphql() {
  const { GraphQLObjectType, GraphQLSchema, GraphQLString, GraphQLInt } = require('graphql');
  const { createClient } = require('graphql-ws');
  const { useServer } = require('graphql-ws/use/ws');
  const { WebSocket } = require('ws');
  async function* count(_, { to }) {
    for (let number = 1; number <= to; number += 1) yield { count: number };
  }
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({
      name: 'Query',
      fields: {
        hello: { type: GraphQLString, resolve: () => EMOJI },
        broken: { type: GraphQLString, resolve: () => { throw new Error('it is broken'); } },
      },
    }),
    subscription: new GraphQLObjectType({
      name: 'Subscription',
      fields: { count: { type: GraphQLInt, args: { to: { type: GraphQLInt } }, subscribe: count } },
    }),
  });
  const { server, place } = await relayed();
  // As in its documentation: it takes no other path, and no client without its subprotocol.
  const sockets = new WebSocketServer({ server, path: '/graphql' });
  useServer({ schema, onConnect: ({ connectionParams }) => connectionParams?.key === 'right' }, sockets);
  const open = (key, more) => createClient({
    url: `ws://${place}/graphql?x=1`, webSocketImpl: WebSocket, connectionParams: { key }, retryAttempts: 0, ...more,
  });
  async function results(client, query) {
    const found = [];
    for await (const result of client.iterate({ query })) found.push(result);
    return found;
  }
  const client = open('right');
  await check('a query', async () => assert.equal((await results(client, '{ hello }'))[0].data.hello, EMOJI));
  await check('a subscription to its end', async () => {
    const found = await results(client, 'subscription { count(to: 1000) }');
    assert.deepEqual(found.map(({ data }) => data.count), Array.from({ length: 1000 }, (_, index) => index + 1));
  });
  await check('an error of a resolver', async () => {
    const [{ errors }] = await results(client, '{ broken }');
    assert.equal(errors[0].message, 'it is broken');
  });
  await check('a close code with its reason', async () => {
    const error = await results(open('wrong'), '{ hello }').then(() => null, (error) => error);
    assert.deepEqual([error?.code, error?.reason], [4403, 'Forbidden']);
  });
  await check('another subprotocol is none to the client', async () => {
    const socket = new WebSocket(`ws://${place}/graphql`, ['other', 'graphql-transport-ws']);
    await once(socket, 'open');
    assert.equal(socket.protocol, 'graphql-transport-ws');
    // Who says nothing more is closed by the server.
    assert.equal((await once(socket, 'close'))[0], 4408);
  });
}

async function mqtt() {
  const { connectAsync } = require('mqtt');
  const { Aedes } = require('aedes');
  const { createWebSocketStream } = require('ws');
  const { server, place } = await relayed();
  const broker = await Aedes.createBroker();
  const opened = [];
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false) });
  sockets.on('connection', (socket, { url }) => {
    opened.push([socket.protocol, url]);
    broker.handle(createWebSocketStream(socket));
  });
  const open = (more) => connectAsync(`ws://${place}/mqtt?x=1`, { reconnectPeriod: 0, ...more });
  let client, other;
  await check('connects with its subprotocol and path', async () => {
    [client, other] = [await open(), await open({ protocolVersion: 4 })];
    assert.deepEqual(opened, [['mqtt', '/mqtt?x=1'], ['mqtt', '/mqtt?x=1']]);
  });
  for (const qos of [0, 1, 2]) {
    await check(`QoS ${qos}`, async () => {
      await other.subscribeAsync(`to/${qos}`, { qos });
      const came = once(other, 'message');
      await client.publishAsync(`to/${qos}`, EMOJI, { qos });
      const [topic, payload, packet] = await came;
      assert.deepEqual([topic, String(payload), packet.qos], [`to/${qos}`, EMOJI, qos]);
    });
  }
  await check('a retained message', async () => {
    await client.publishAsync('kept', 'for you', { qos: 1, retain: true });
    const late = await open();
    const came = once(late, 'message');
    await late.subscribeAsync('kept');
    const [, payload, packet] = await came;
    assert.deepEqual([String(payload), packet.retain], ['for you', true]);
    await late.endAsync();
  });
  await check('1 MiB', async () => {
    const large = Buffer.alloc(1 << 20, BYTES);
    await other.subscribeAsync('large', { qos: 1 });
    const came = once(other, 'message');
    await client.publishAsync('large', large, { qos: 1 });
    assert(large.equals((await came)[1]));
  });
}

// As much of a STOMP 1.2 broker as the client needs: npm has none that works with it.
function stompBroker(server) {
  const sockets = new WebSocketServer({ server, path: '/stomp', handleProtocols: (offered) => offered.has('v12.stomp') && 'v12.stomp' });
  sockets.on('connection', (socket) => {
    const subscribers = new Map();
    const frame = (command, headers, body = '') => socket.send(
      `${command}\n${Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('')}\n${body}\0`);
    const heart = setInterval(() => socket.send('\n'), 100);
    socket.on('close', () => clearInterval(heart));
    socket.on('message', (data) => {
      const text = String(data);
      if (text === '\n') return;
      const [head, body] = text.slice(0, -1).split(/\n\n(.*)/s);
      const [command, ...lines] = head.split('\n');
      const { destination, id, receipt, 'content-length': _, ...more } = Object.fromEntries(lines.map((line) => line.split(/:(.*)/s)));
      if (command === 'CONNECT') frame('CONNECTED', { version: '1.2', 'heart-beat': '100,100' });
      if (command === 'SUBSCRIBE') subscribers.set(destination, id);
      if (command === 'SEND') frame('MESSAGE', { ...more, destination, subscription: subscribers.get(destination), 'message-id': 1 }, body);
      if (receipt) frame('RECEIPT', { 'receipt-id': receipt });
    });
  });
}

async function stomp() {
  const { Client } = require('@stomp/stompjs');
  globalThis.WebSocket = require('ws').WebSocket;
  const { server, place } = await relayed();
  stompBroker(server);
  const client = new Client({ brokerURL: `ws://${place}/stomp`, reconnectDelay: 0, heartbeatIncoming: 100, heartbeatOutgoing: 100 });
  const connected = new Promise((resolve) => (client.onConnect = resolve));
  const closed = new Promise((resolve) => (client.onWebSocketClose = resolve));
  let beats = 0;
  const beaten = new Promise((resolve) => {
    client.debug = (line) => line === '<<< PONG' && (beats += 1) === 3 && resolve();
  });
  await check('connects with its subprotocol', async () => {
    client.activate();
    assert.equal((await connected).headers.version, '1.2');
    assert.equal(client.webSocket.protocol, 'v12.stomp');
  });
  await check('what is sent comes to who subscribes', async () => {
    const came = new Promise((resolve) => client.subscribe('/topic/a', resolve));
    client.publish({ destination: '/topic/a', body: `${EMOJI}\n\nmore`, headers: { kind: 'test' } });
    const { body, headers } = await came;
    assert.deepEqual([body, headers.kind], [`${EMOJI}\n\nmore`, 'test']);
  });
  await check('heartbeats keep it open', async () => {
    await beaten;
    assert(client.connected);
  });
  await check('it ends by a receipt and a close', async () => {
    await client.deactivate();
    // It closes without a code, and such a Close comes back as it is (RFC 6455 7.1.5), as without a relay.
    assert.equal((await closed).code, 1005);
  });
}

async function jsonRpc() {
  const { Client, Server } = require('rpc-websockets');
  const { server, place } = await relayed();
  const rpc = new Server({ server });
  rpc.register('sum', (numbers) => numbers.reduce((sum, number) => sum + number, 0));
  rpc.event('news');
  const client = new Client(`ws://${place}/`, { reconnect: false });
  await once(client, 'open');
  await check('many calls at once, each with its answer', async () => {
    const calls = Array.from({ length: 200 }, (_, index) => client.call('sum', [index, 1]));
    assert.deepEqual(await Promise.all(calls), Array.from({ length: 200 }, (_, index) => index + 1));
  });
  await check('an error', async () => {
    const error = await client.call('none').catch((error) => error);
    assert.equal(error.code, -32601);
  });
  await check('a notification', async () => {
    await client.subscribe('news');
    const came = once(client, 'news');
    rpc.emit('news', EMOJI);
    assert.deepEqual(await came, [EMOJI]);
  });
}

await { 'Socket.IO': socketIo, 'graphql-ws': graphql, MQTT: mqtt, STOMP: stomp, 'JSON-RPC': jsonRpc }[world]();
process.exit();
