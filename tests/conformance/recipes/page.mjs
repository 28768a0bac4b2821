// Pages of recipes in a real Chromium: `page.mjs WHAT FOLDER PROFILE CHROMIUM...`; FOLDER has the certificate.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createInterface } from 'node:readline';
import { Chromium } from '../chromium.mjs';
import { check } from '../common.mjs';

const [what, folder, profile, ...words] = process.argv.slice(2);

// A web server with an empty page, and with the modules of noVNC as npm has them.
async function pages(port, secure) {
  const answer = async ({ url }, response) => {
    const isModule = url.startsWith('/@novnc/');
    const body = isModule ? await readFile(`${process.env.CONFORMANCE_NODE}/node_modules${url}`) : '<title>page</title><div id=screen></div>';
    response.writeHead(200, { 'Content-Type': isModule ? 'text/javascript' : 'text/html' }).end(body);
  };
  const keys = { cert: await readFile(`${folder}/chain.pem`), key: await readFile(`${folder}/key.pem`) };
  const server = secure ? createHttps(keys, answer) : createHttp(answer);
  await once(server.listen(port), 'listening');
}

async function redis(chromium) {
  const ask = (commands) => `new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://localhost:8080/redis');
    socket.binaryType = 'arraybuffer';
    let heard = '';
    socket.onopen = () => socket.send(new TextEncoder().encode(${JSON.stringify(commands)}));
    socket.onclose = ({ code }) => resolve('closed with ' + code + ' after ' + heard);
    socket.onmessage = ({ data }) => {
      heard += new TextDecoder().decode(data);
      if (heard.endsWith('$6\\r\\nü🦀\\r\\n')) resolve(heard);
    };
  })`;
  const commands = 'SET page ü🦀\r\nGET page\r\n';
  await check('a page of the origin that is named', async () => {
    const page = await chromium.open('https://app.example.com/');
    await page.until("document.title === 'page'");
    assert.equal(await page.value(ask(commands)), '+OK\r\n$6\r\nü🦀\r\n');
  });
  await check('and of no other', async () => {
    const page = await chromium.open('https://example.com/');
    await page.until("document.title === 'page'");
    assert.equal(await page.value(ask(commands)), 'closed with 1006 after ');
  });
}

// What comes in a line of an X client.
async function heard(lines, pattern) {
  for await (const line of lines) if (pattern.test(line)) return;
  throw new Error(`no line ${pattern}`);
}

const shown = (red, green, blue) => `new Promise((resolve) => {
  const look = () => {
    const canvas = document.querySelector('canvas');
    const [r, g, b] = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
    if (r === ${red} && g === ${green} && b === ${blue}) resolve(true);
    else requestAnimationFrame(look);
  };
  look();
})`;

async function vnc(chromium, origin, url, protocols) {
  const solid = async (colour) => assert.deepEqual(await once(spawn('xsetroot', ['-solid', colour]), 'exit'), [0, null]);
  await solid('#336699');
  const events = spawn('xev', ['-root', '-event', 'keyboard', '-event', 'button'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(events.stdout);
  const page = await chromium.open(origin);
  await page.until("document.title === 'page'");
  await check('noVNC connects, and its canvas is as large as the desktop', async () => {
    const size = await page.value(`import('/@novnc/novnc/core/rfb.js').then(({ default: RFB }) => new Promise((resolve) => {
      window.rfb = new RFB(document.getElementById('screen'), ${JSON.stringify(url)}, { wsProtocols: ${JSON.stringify(protocols)} });
      rfb.addEventListener('disconnect', ({ detail }) => resolve('disconnected ' + JSON.stringify(detail)));
      rfb.addEventListener('connect', () => resolve([document.querySelector('canvas').width, document.querySelector('canvas').height]));
    }))`);
    assert.deepEqual(size, [640, 480]);
  });
  await check('it shows the colour of the desktop, and another one', async () => {
    await page.value(shown(0x33, 0x66, 0x99));
    await solid('#ff8000');
    await page.value(shown(0xff, 0x80, 0x00));
  });
  await check('a key that is pressed in the page is pressed on the desktop', async () => {
    const came = heard(lines, /keysym 0x61, a\)/);
    // xev does not say when it is ready.
    await page.value("setInterval(() => [true, false].forEach((down) => rfb.sendKey(0x61, 'KeyA', down)), 200)");
    await came;
  });
  events.kill();
}

const port = { redis: 443, vnc: 8000, 'vnc-tls': 443 }[what];
await pages(port, port === 443);
const chromium = await Chromium.start(words, profile);
if (what === 'redis') await redis(chromium);
if (what === 'vnc') await vnc(chromium, 'http://localhost:8000/', 'ws://localhost:6080/', ['binary']);
if (what === 'vnc-tls') await vnc(chromium, 'https://example.com/', 'wss://example.com:6080/', []);
process.exit();
