// A JSON-RPC server of rpc-websockets, which can add: `jsonrpc.mjs PORT`.

import { require } from '../common.mjs';

const { Server } = require('rpc-websockets');
const server = new Server({ port: Number(process.argv[2]), host: '127.0.0.1' });
server.register('add', ([one, two]) => one + two);
server.on('listening', () => console.log('ready'));
