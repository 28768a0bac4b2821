// Clients of recipes in Node, as a page has them: `clients.mjs WHAT WORDS...`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { WebSocket, check, require } from '../common.mjs';

const [what, ...words] = process.argv.slice(2);

// A WebSocket whose messages are waited for.
class Client {
  text = '';
  kinds = new Set();

  static async open(url, protocols) {
    const client = new this();
    client.socket = new WebSocket(url, protocols);
    client.closed = once(client.socket, 'close').then(([code, reason]) => [code, String(reason)]);
    client.socket.on('message', (data, isBinary) => client.take(data, isBinary));
    await once(client.socket, 'open');
    return client;
  }

  take(data, isBinary) {
    this.kinds.add(isBinary ? 'binary' : 'text');
    this.text += data.toString('latin1');
    this.look?.();
  }

  // Waits until what came has the pattern, and takes away all up to its end.
  async hears(pattern) {
    for (;;) {
      const found = pattern.exec(this.text);
      if (found) {
        this.text = this.text.slice(found.index + found[0].length);
        return found;
      }
      await new Promise((resolve, reject) => {
        this.look = resolve;
        this.closed.then(([code, reason]) => reject(new Error(`closed ${code} ${reason}, heard ${JSON.stringify(this.text)}`)));
      });
    }
  }

  types(line) {
    this.socket.send(Buffer.from(line));
  }
}

async function shell() {
  const open = () => Client.open('ws://localhost:8080/shell?cols=120&rows=40&resize=1');
  const [one, two] = [await open(), await open()];
  await check('the size of the query, in binary messages', async () => {
    one.types('stty size\n');
    await one.hears(/[\r\n]40 120\r\n/);
    assert.deepEqual([...one.kinds], ['binary']);
  });
  await check('another size later', async () => {
    one.socket.send('{"cols":100,"rows":30}');
    one.types('stty size\n');
    await one.hears(/[\r\n]30 100\r\n/);
  });
  await check('each tab has a terminal of its own', async () => {
    const terminals = [];
    for (const tab of [one, two]) {
      tab.types('tty\n');
      terminals.push((await tab.hears(/[\r\n](\/dev\/\S+)\r\n/))[1]);
    }
    assert.notEqual(terminals[0], terminals[1]);
  });
  await check('ctrl-C ends what runs, and not the shell', async () => {
    // A program says that it runs: before it does bash may lose a SIGINT.
    one.types("sh -c 'echo run$((7))ning; exec cat'\n");
    await one.hears(/[\r\n]run7ning\r\n/);
    one.types('\x03');
    await one.hears(/[#$] $/);
    one.types('echo st$((40 + 2))ill\n');
    await one.hears(/[\r\n]st42ill\r\n/);
  });
  await check('the exit status is the close code', async () => {
    one.types('exit 7\n');
    assert.deepEqual(await one.closed, [4007, 'exit 7']);
  });
  await check('a tab that is closed ends its shell, which was told of it', async () => {
    two.types("trap 'echo gone >hangup' HUP EXIT; echo arm''ed\n");
    await two.hears(/[\r\n]armed\r\n/);
    two.socket.close();
    await two.closed;
  });
}

async function mqtt() {
  const { connectAsync } = require('mqtt');
  const [page, plain] = words;
  const [one, two] = [
    await connectAsync(page, { reconnectPeriod: 0, rejectUnauthorized: false }),
    await connectAsync(plain, { reconnectPeriod: 0 }),
  ];
  const message = Buffer.concat([Buffer.from('🦀 \0'), Buffer.alloc(100_000, 7)]);
  for (const [name, from, to] of [['from here to there', one, two], ['and back', two, one]]) {
    await check(`100 kB with QoS 1 ${name}`, async () => {
      await to.subscribeAsync(`to/${name}`, { qos: 1 });
      const came = once(to, 'message');
      await from.publishAsync(`to/${name}`, message, { qos: 1 });
      const [topic, payload, { qos }] = await came;
      assert.deepEqual([topic, payload.equals(message), qos], [`to/${name}`, true, 1]);
    });
  }
  for (const client of [one, two]) await client.endAsync();
}

async function subprotocols() {
  for (const [offered, answered] of [[['mqtt'], 'mqtt'], [['mqttv3.1'], 'mqttv3.1'], [['mqttv3.1', 'mqtt'], 'mqtt']]) {
    await check(`who offers ${offered.join(' and ')} gets ${answered}`, async () => {
      const { socket } = await Client.open('ws://localhost:8083/mqtt', offered);
      assert.equal(socket.protocol, answered);
      socket.terminate();
    });
  }
}

async function languageServer() {
  const client = await Client.open('ws://localhost:3000/');
  const answers = new Map();
  const diagnostics = new Promise((resolve) => {
    client.take = (data, isBinary) => {
      assert.equal(isBinary, false);
      const { id, method, params, ...rest } = JSON.parse(data);
      if (method === 'textDocument/publishDiagnostics' && params.diagnostics.length) resolve(params.diagnostics);
      else if (method && id !== undefined) client.socket.send(JSON.stringify({ jsonrpc: '2.0', id, result: null }));
      else answers.get(id)?.(rest);
    };
  });
  let last = 0;
  const tell = (method, params, id) => client.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
  const ask = async (method, params) => {
    const answer = new Promise((resolve) => answers.set((last += 1), resolve));
    tell(method, params, last);
    const { error, result } = await answer;
    assert.equal(error, undefined);
    return result;
  };
  const [folder] = words;
  const uri = `${pathToFileURL(folder)}/page.ts`;
  // Its second line is one of two bytes and more a letter, so that a header that counts letters would be wrong.
  const text = "function crab(wide: number) { return wide; }\nconst word = '🦀 ü';\ncrab(word.length);\nword.toUpp\n";
  await check('initialize', async () => {
    const { capabilities } = await ask('initialize', { processId: null, rootUri: `${pathToFileURL(folder)}`, capabilities: { textDocument: { publishDiagnostics: {} } } });
    assert(capabilities.definitionProvider);
    tell('initialized', {});
    tell('textDocument/didOpen', { textDocument: { uri, languageId: 'typescript', version: 1, text } });
  });
  await check('a definition', async () => {
    const [{ range }] = await ask('textDocument/definition', { textDocument: { uri }, position: { line: 2, character: 1 } });
    assert.deepEqual(range.start, { line: 0, character: 9 });
  });
  await check('a completion', async () => {
    const found = await ask('textDocument/completion', { textDocument: { uri }, position: { line: 3, character: 10 } });
    assert((found.items ?? found).some(({ label }) => label === 'toUpperCase'));
  });
  await check('it says by itself what is wrong', async () => {
    assert.match((await diagnostics)[0].message, /'toUpp' does not exist/);
  });
  await check('shutdown and exit end it and the connection', async () => {
    await ask('shutdown');
    tell('exit');
    assert.deepEqual(await client.closed, [1000, '']);
  });
}

// A page that takes telnet's own words out of the text and refuses what they ask for (RFC 854, 1143).
class Telnet extends Client {
  take(data, isBinary) {
    this.rest = Buffer.concat([this.rest ?? Buffer.alloc(0), data]);
    let at = 0;
    const text = [];
    for (; at < this.rest.length; at += 1) {
      if (this.rest[at] !== 255) {
        text.push(this.rest[at]);
        continue;
      }
      const [verb, option] = this.rest.subarray(at + 1, at + 3);
      if (option === undefined) break;
      const refusal = { 251: 254, 253: 252 }[verb];
      if (refusal) {
        this.socket.send(Buffer.from([255, refusal, option]));
        this.negotiated = true;
      }
      at += 2;
    }
    this.rest = this.rest.subarray(at);
    super.take(Buffer.from(text), isBinary);
  }
}

async function mud() {
  const one = await Telnet.open('ws://localhost:4001/');
  await check('its welcome, and what it asks of a terminal', async () => {
    await one.hears(/Welcome to TinyMUX\r\n/);
    assert.deepEqual([[...one.kinds], one.negotiated], [['binary'], true]);
  });
  await check('a player in it', async () => {
    one.types('create Crab pinchpinch\r\n');
    await one.hears(/\r\nLimbo\r\n/);
    one.types('say I live\r\n');
    await one.hears(/You say, "I live"\r\n/);
  });
  await check('QUIT ends the page, too', async () => {
    one.types('QUIT\r\n');
    assert.deepEqual(await one.closed, [1000, '']);
  });
}

async function telnetd() {
  const one = await Telnet.open('ws://localhost:4002/');
  await check('a prompt without a newline is there at once', async () => {
    await one.hears(/name: $/);
    assert(one.negotiated);
  });
  await check('an answer to what is typed, and the end', async () => {
    one.types('crab\r\n');
    await one.hears(/hello crab\r\n/);
    assert.deepEqual(await one.closed, [1000, '']);
  });
}

async function lines() {
  const one = await Client.open('ws://localhost:4003/');
  await check('each line is a text message without its end', async () => {
    const heard = [];
    one.take = (data, isBinary) => heard.push([isBinary, String(data)]) === 5 && one.look();
    const all = new Promise((resolve) => (one.look = resolve));
    for (const line of ['PING', 'ECHO ü', 'ECHO 2']) one.socket.send(line);
    await Promise.race([all, one.closed]);
    assert.deepEqual(heard, [[false, '+PONG'], [false, '$2'], [false, 'ü'], [false, '$1'], [false, '2']]);
  });
}

const clients = { shell, mqtt, subprotocols, 'language-server': languageServer, mud, telnetd, lines };
await clients[what]();
process.exit();
