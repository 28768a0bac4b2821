// What the helpers in Node share: pinned packages, started bridges, and checks that print `ok NAME` or `FAIL NAME: why`.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

export const require = createRequire(`${process.env.CONFORMANCE_NODE}/`);
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

// A listening wsbridge: its process, and the port that it listens on. It ends with our process group.
export async function bridge(binary, ...words) {
  const child = spawn(binary, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface(child.stderr)) {
    const listening = /listening on wss?:[/][/]127\.0\.0\.1:(\d+)/.exec(line);
    if (listening) {
      child.stderr.resume();
      return { child, port: Number(listening[1]) };
    }
  }
  throw new Error(`${words.join(' ')} does not listen`);
}
