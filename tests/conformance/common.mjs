// What the helpers in Node share: the pinned `ws`, and checks that print `ok NAME` or `FAIL NAME: why`.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.CONFORMANCE_NODE}/`);
export const { WebSocket, WebSocketServer } = require('ws');

const PATIENCE = 30_000; // milliseconds that one check may take

export async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${String(error?.message ?? error).replace(/\s+/g, ' ').slice(0, 400)}`);
  } finally {
    clearTimeout(timer);
  }
}
