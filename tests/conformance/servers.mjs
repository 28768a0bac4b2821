// WebSocket libraries of Node as peers of a bridge: `server NAME LIMIT` and `client NAME PORT LIMIT PROTOCOLS`, which say what
// those of servers.py say; and `tls VERSION CERT KEY`: a server of TLS that asks for a certificate and ends without a word.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { WebSocket, WebSocketServer, require } from './common.mjs';

class Seen {
  messages = 0;
  bytes = 0;
  largest = 0;
  sum = createHash('md5');

  add(data) {
    const bytes = Buffer.from(data);
    this.messages += 1;
    this.bytes += bytes.length;
    this.largest = Math.max(this.largest, bytes.length);
    this.sum.update(bytes);
  }

  tell(code, protocol) {
    const counts = `messages ${this.messages} bytes ${this.bytes} largest ${this.largest}`;
    console.log(`closed ${code} ${counts} sum ${this.sum.digest('hex')} protocol ${protocol || '-'}`);
  }
}

const choose = (offered) => (offered.includes('superchat') ? 'superchat' : null);

function listen(server) {
  server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
}

const servers = {
  ws(limit) {
    const server = createServer();
    const options = { server, maxPayload: limit, handleProtocols: (offered) => choose([...offered]) ?? false };
    new WebSocketServer(options).on('connection', (socket) => {
      const seen = new Seen();
      socket.on('message', (data) => seen.add(data));
      socket.on('error', () => {});
      // What was received last says 1006 where this side has closed.
      socket.on('close', (code) => seen.tell(code, socket.protocol));
    });
    listen(server);
  },

  websocket(limit) {
    const { server: Server } = require('websocket');
    const server = createServer();
    // As it comes: 64 KiB a frame, 1 MiB a message.
    const peers = new Server({ httpServer: server, maxReceivedMessageSize: limit });
    peers.on('request', (request) => {
      const protocol = choose(request.requestedProtocols);
      const connection = request.accept(protocol, request.origin);
      const seen = new Seen();
      connection.on('message', (message) => seen.add(message.binaryData ?? message.utf8Data));
      connection.on('close', (code) => seen.tell(code, protocol));
    });
    listen(server);
  },

  faye(limit) {
    const Peer = require('faye-websocket');
    const server = createServer();
    server.on('upgrade', (request, socket, head) => {
      const peer = new Peer(request, socket, head, ['superchat'], { maxLength: limit });
      const seen = new Seen();
      peer.on('message', (event) => seen.add(event.data));
      peer.on('close', (event) => seen.tell(event.code, peer.protocol));
    });
    listen(server);
  },
};

const clients = {
  ws(url, limit, protocols) {
    const socket = new WebSocket(url, protocols, { maxPayload: limit });
    const seen = new Seen();
    socket.on('message', (data) => seen.add(data));
    socket.on('error', () => {});
    socket.on('close', (code) => seen.tell(code, socket.protocol));
  },

  websocket(url, limit, protocols) {
    const { client: Client } = require('websocket');
    const client = new Client({ maxReceivedFrameSize: limit, maxReceivedMessageSize: limit });
    client.on('connect', (connection) => {
      const seen = new Seen();
      connection.on('message', (message) => seen.add(message.binaryData ?? message.utf8Data));
      connection.on('close', (code) => seen.tell(code, connection.protocol));
    });
    client.on('connectFailed', (error) => console.log(`failed ${error}`));
    client.connect(url, protocols);
  },

  faye(url, limit, protocols) {
    const { Client } = require('faye-websocket');
    const client = new Client(url, protocols, { maxLength: limit });
    const seen = new Seen();
    client.on('message', (event) => seen.add(event.data));
    client.on('close', (event) => seen.tell(event.code, client.protocol));
  },
};

const [role, name, ...rest] = process.argv.slice(2);
if (role === 'server') {
  servers[name](Number(rest[0]));
} else if (role === 'client') {
  const [port, limit, protocols] = rest;
  clients[name](`ws://127.0.0.1:${port}/`, Number(limit), protocols ? protocols.split(',') : []);
} else {
  const [cert, key] = rest.map((file) => readFileSync(file));
  const versions = { minVersion: name, maxVersion: name };
  listen(createSecureServer({ cert, key, requestCert: true, rejectUnauthorized: true, ...versions }));
}
