// A room with three shells, a bot, two pages and a client: `WSBRIDGE FOLDER PICTURES CHROMIUM...`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { WebSocket, bridge, check } from './common.mjs';
import { Chromium } from './chromium.mjs';
import { take } from './pictures.mjs';

const [binary, folder, pictures, ...words] = process.argv.slice(2);
const BOT = fileURLToPath(new URL('../../examples/bot.sh', import.meta.url));
const LONG = '🦀 naïve 日本 👩‍👩‍👧 '.repeat(1348).trim(); // 50 KiB of UTF-8
const SHIFT = 8;

// Somebody whose texts are kept and can be waited for.
class Member extends EventEmitter {
  heard = [];

  hears(text) {
    this.heard.push(text);
    this.emit('heard');
  }

  async until(text) {
    while (!this.heard.includes(text)) await once(this, 'heard');
  }
}

class Client extends Member {
  static async open(port, path = '/') {
    const client = new Client();
    client.socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    client.socket.on('message', (data) => client.hears(String(data)));
    await once(client.socket, 'open');
    return client;
  }

  say(text) {
    this.socket.send(text);
  }
}

// `wsbridge ws://...` between pipes.
class Shell extends Member {
  said = '';

  constructor(port, ...more) {
    super();
    this.child = spawn(binary, [`ws://127.0.0.1:${port}`, ...more], { stdio: 'pipe' });
    createInterface(this.child.stdout).on('line', (line) => this.hears(line));
    this.child.stderr.on('data', (data) => (this.said += data));
  }

  say(text) {
    this.child.stdin.write(`${text}\n`);
  }
}

// A page as a member: what it hears is what it shows.
class Reader {
  static async open(chromium, port, path = '/', scheme = 'http') {
    const reader = new Reader();
    reader.url = `${scheme}://127.0.0.1:${port}${path}`;
    reader.page = await chromium.open(reader.url);
    await reader.page.until("document.getElementById('state')?.className === 'open'");
    return reader;
  }

  // As the room says it; the page has its own words for who comes and goes.
  async shown() {
    const rows = await this.page.value("[...document.querySelectorAll('#log p')].map((words) => words.firstChild?.data ?? '')");
    return rows.map((row) => row.replace(/^member (\d+ (joined|left))/, '* $1'));
  }

  until(text) {
    const rows = "[...document.querySelectorAll('#log p')].slice(-300)";
    const shown = JSON.stringify(text.replace(/^[*] (\d+ (joined|left))/, 'member $1'));
    return this.page.until(`${rows}.some((words) => words.firstChild?.data === ${shown})`);
  }

  async say(text) {
    await this.page.type(text);
    await this.page.press('Enter');
  }
}

const between = (texts, from, to) => texts.slice(texts.indexOf(from), texts.lastIndexOf(to) + 1);
const tee = `${folder}/bot-heard`;
const botHeard = () => readFileSync(tee, 'utf8').split('\n').slice(0, -1);

function same(found, wanted, who) {
  const at = wanted.findIndex((text, index) => found[index] !== text);
  const shown = (texts) => `${texts.length} texts, number ${at} ${JSON.stringify(texts[at])?.slice(0, 60)}`;
  assert(found.length === wanted.length && at < 0, `${who} has ${shown(found)}; the client has ${shown(wanted)}`);
}

const chromium = await Chromium.start(words, `${folder}/profile`);
const room = await bridge(binary, 'ws-l:0', 'hub:', '--join', '--queue-bytes', '256K');
const client = await Client.open(room.port);
const shells = [];
let readers;

async function joins(make) {
  const number = client.heard.filter((text) => / joined /.test(text)).length + 1;
  const made = await make();
  while (!client.heard.some((text) => text.startsWith(`* ${number} joined `))) await once(client, 'heard');
  return made;
}

await client.until('* 1 joined (1 here)');
for (let count = 0; count < 3; count += 1) shells.push(await joins(() => new Shell(room.port)));
const bot = await joins(() => new Shell(room.port, '-o', `left.tee=${tee}`, '--', BOT));
await check('two pages open, ask for nothing else and complain of nothing', async () => {
  readers = [await joins(() => Reader.open(chromium, room.port)), await joins(() => Reader.open(chromium, room.port))];
  for (const { page, url } of readers) {
    assert.deepEqual(page.requests.filter((asked) => !asked.startsWith('data:')), [url]);
    assert.deepEqual(page.complaints, []);
  }
});
const others = [...shells, ...readers];

// Waits until all have heard the client say so, and compares what all have heard from there.
async function allHave(from, to) {
  client.say(to);
  await Promise.all([client, ...others].map((member) => member.until(to)));
  while (!botHeard().includes(to)) {
    client.socket.ping();
    await once(client.socket, 'pong');
  }
  const wanted = between(client.heard, from, to);
  for (const [index, shell] of shells.entries()) same(between(shell.heard, from, to), wanted, `shell ${index}`);
  for (const [index, reader] of readers.entries()) same(between(await reader.shown(), from, to), wanted, `page ${index}`);
  same(between(botHeard(), from, to), wanted, 'the bot');
  return wanted;
}

const numbered = (who) => Array.from({ length: 20 }, (_, index) => `${who} says ${index}`);
await check('everyone sees every line once, in one order', async () => {
  client.say('begin');
  await Promise.all([client, ...others].map((member) => member.until('begin')));
  const speakers = [client, ...others];
  await Promise.all(speakers.map(async (speaker, who) => {
    for (const line of numbered(who)) await speaker.say(line);
  }));
  await Promise.all(speakers.map((_, who) => client.until(`${who} says 19`)));
  const texts = await allHave('begin', 'end');
  assert.equal(texts.length, 2 + 20 * speakers.length);
  for (const who of speakers.keys()) assert.deepEqual(texts.filter((text) => text.startsWith(`${who} says`)), numbered(who));
});
await check('a page knows its own lines', async () => {
  for (const [index, { page }] of readers.entries()) {
    const own = await page.value("[...document.querySelectorAll('.own p')].map((words) => words.firstChild.data)");
    assert.deepEqual(own, numbered(4 + index));
  }
});
await check('50 KiB and emoji, from a page and from a shell', async () => {
  await readers[0].say(LONG);
  shells[0].say(`${LONG} again`);
  await client.until(LONG);
  await client.until(`${LONG} again`);
  const texts = await allHave('end', 'long');
  assert.equal(texts.length, 4);
});
await check('the bot answers', async () => {
  shells[1].say('!help');
  await readers[1].until('bot: I know !time, !count and !help, and nothing else');
  await allHave('long', 'helped');
});
await check('leaving is announced', async () => {
  const [leaver] = shells.splice(2, 1);
  others.splice(2, 1);
  leaver.child.stdin.end();
  assert.deepEqual(await once(leaver.child, 'exit'), [0, null]);
  await Promise.all([client, ...others].map((member) => member.until('* 4 left (6 here)')));
  await allHave('helped', 'left');
});
await check('one that is stopped is closed with 1013, and the rest miss nothing', async () => {
  const stopped = await joins(() => new Shell(room.port));
  await stopped.until('* 8 joined (7 here)');
  stopped.child.kill('SIGSTOP');
  const padding = 'x'.repeat(32 * 1024);
  const isGone = () => client.heard.includes('* 8 left (6 here)');
  for (let round = 0; !isGone(); round += 1) {
    assert(round < 100, 'it is still there after 25 MiB');
    for (let nth = 0; nth < 8; nth += 1) client.say(`${round}.${nth} ${padding}`);
    await Promise.all([client, ...others].map((member) => member.until(`${round}.7 ${padding}`)));
  }
  stopped.child.kill('SIGCONT');
  assert.deepEqual(await once(stopped.child, 'exit'), [110, null]);
  assert.match(stopped.said, /1013.*slow/);
  await allHave('left', 'all the same');
});

await check('in a room of JSON it names who says it, shows bytes, and markup is text', async () => {
  const { port } = await bridge(binary, 'ws-l:0', 'hub:', '--join', '--id', 'json');
  const other = await Client.open(port);
  const { page } = await Reader.open(chromium, port);
  other.say('<img src=x onerror=alert(1)>&amp;');
  other.socket.send(Buffer.from([0xde, 0xad, 0, 1]));
  await page.until("document.querySelectorAll('.other').length === 2");
  await page.type('one');
  await page.press('Enter', SHIFT);
  await page.type('two');
  await page.press('Enter');
  await page.until("document.querySelector('.own')");
  const rows = await page.value("[...document.querySelectorAll('#log li')].map((row) => [row.className, ...[...row.children].map((part) => part.firstChild.data)])");
  assert.deepEqual(rows, [
    ['note', 'member 2 joined (2 here)'],
    ['other', 'member 1', '<img src=x onerror=alert(1)>&amp;'],
    ['other binary', 'member 1', '4 bytes: de ad 00 01'],
    ['own', 'You: ', 'one\ntwo'],
  ]);
  assert.equal(await page.value("document.querySelectorAll('#log img').length"), 0);
  assert.equal(JSON.parse(other.heard.at(-1)).text, 'one\ntwo');
});
await check('where nobody hears themselves it shows what is said at once', async () => {
  const { port } = await bridge(binary, 'ws-l:0', 'hub:', '--echo', 'no', '--id', 'prefix');
  const [reader, other] = [await Reader.open(chromium, port), await Client.open(port)];
  await reader.say('the same');
  await other.until('1: the same');
  other.say('the same');
  await reader.page.until("document.querySelector('.other')");
  assert.deepEqual(await reader.shown(), ['the same', 'the same']);
  assert.equal(await reader.page.value("document.querySelector('.own + .other b').textContent"), 'member 2');
});
await check('over TLS it connects over TLS', async () => {
  const { port } = await bridge(binary, 'wss-l:0,self-signed', 'hub:{path}');
  await chromium.ask('Security.setIgnoreCertificateErrors', { ignore: true });
  const reader = await Reader.open(chromium, port, '/a%20room', 'https');
  await reader.say('hello');
  await reader.until('hello');
  assert.equal(await reader.page.value("document.title + ', ' + socket.url"), `a room, wss://127.0.0.1:${port}/a%20room`);
});
await check('it keeps a thousand messages', async () => {
  const { port } = await bridge(binary, 'ws-l:0', 'hub:');
  const [reader, other] = [await Reader.open(chromium, port), await Client.open(port)];
  for (let number = 1; number <= 3000; number += 1) other.say(`${number}`);
  await reader.until('3000');
  const shown = await reader.shown();
  assert.deepEqual([shown.length, shown[0], shown.at(-1)], [1000, '2001', '3000']);
});
await check('it comes back when the server does', async () => {
  const first = await bridge(binary, 'ws-l:0', 'hub:');
  const { page } = await Reader.open(chromium, first.port);
  first.child.kill();
  await page.until("document.getElementById('state').className !== 'open'");
  await bridge(binary, `ws-l:${first.port}`, 'hub:');
  await page.until("document.getElementById('state').className === 'open'");
});
await check('it does not come back to one that is done', async () => {
  const { port } = await bridge(binary, 'ws-l:0,page=chat', 'literal:bye');
  const page = await chromium.open(`http://127.0.0.1:${port}/`);
  await page.until("document.getElementById('state')?.textContent === 'closed (1000)'");
  await page.until("document.querySelector('.other p')?.firstChild.data === 'bye'");
  assert.equal(await page.value("document.getElementById('again').textContent"), 'Connect');
});

if (pictures) {
  const { port } = await bridge(binary, 'ws-l:0', 'hub:{path}', '--join', '--id', 'prefix');
  const reader = await Reader.open(chromium, port, '/team');
  const people = { ann: await Client.open(port, '/team'), bob: await Client.open(port, '/team') };
  new Shell(`${port}/team`, '--', BOT);
  await reader.until('* 4 joined (4 here)');
  await take(reader, people, pictures);
}
process.exit();
