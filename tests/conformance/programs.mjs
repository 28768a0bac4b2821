// Node's `ws` in front of real programs: `programs.mjs shell|lsp|echo|dns PORT`.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket, check } from './common.mjs';

const [mode, port] = process.argv.slice(2);

// A socket whose messages can be waited for.
class Talk {
  messages = [];

  static async open(path = '/') {
    const talk = new Talk();
    talk.socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    talk.closed = once(talk.socket, 'close');
    talk.socket.on('message', (data, binary) => {
      talk.messages.push({ data, binary });
      talk.wake?.();
    });
    await once(talk.socket, 'open');
    return talk;
  }

  // The first thing that `find` makes of what has come.
  async until(find) {
    for (;;) {
      const found = find(this.messages);
      if (found) return found;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }
}

async function shell() {
  const talk = await Talk.open('/?cols=97&rows=23&resize=1');
  const screen = () => Buffer.concat(talk.messages.map(({ data }) => data));
  const shows = (text) => talk.until(() => screen().includes(text));
  const types = (text) => talk.socket.send(Buffer.from(text));

  await check('a prompt', () => shows('ready> '));
  await check('what is typed is shown, and so is its output', async () => {
    types("printf '%s-%s\\n' one two\n");
    await shows('one-two\r\n');
    assert(screen().includes("printf '%s-%s"), 'no echo');
  });
  await check('all comes as binary messages', () => assert(talk.messages.every(({ binary }) => binary)));
  await check('the size that the page asked for', async () => {
    types('stty size\n');
    await shows('23 97\r\n');
  });
  await check('a resize while it runs', async () => {
    types('sh -c \'trap "stty size; exit" WINCH; echo trap-"set"; while :; do sleep 0.1; done\'\n');
    await shows('trap-set\r\n');
    talk.socket.send(JSON.stringify({ cols: 132, rows: 50 }));
    await shows('50 132\r\n');
  });
  await check('every byte from 0x80 to 0xff and UTF-8', async () => {
    const high = Buffer.from(Array.from({ length: 128 }, (_, at) => at + 128));
    types("printf '\\\\'; for n in {128..255}; do printf \"\\\\x$(printf %x $n)\"; done; echo ä-\"€\"-🦀\n");
    await shows(Buffer.concat([Buffer.from('\\'), high, Buffer.from('ä-€-🦀\r\n')]));
  });
  await check('ctrl-C interrupts', async () => {
    // It says itself that it runs: before that the shell might take what is typed.
    types('sh -c \'echo run-"ning"; exec sleep 1000\'\n');
    await shows('run-ning\r\n');
    types('\x03');
    await shows('^C');
    types('echo status-$?\n');
    await shows('status-130\r\n');
  });
  await check('exit 3 is Close 4003', async () => {
    types('exit 3\n');
    const [code, reason] = await talk.closed;
    assert.deepEqual([code, String(reason)], [4003, 'exit 3']);
  });
}

async function lsp() {
  const talk = await Talk.open();
  let count = 0;
  const parsed = () => talk.messages.map(({ data }) => JSON.parse(data));
  const tell = (method, params) => talk.socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
  const ask = async (method, params) => {
    const id = ++count;
    talk.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    const answer = await talk.until(() => parsed().find((message) => message.id === id && !message.method));
    assert(!answer.error, JSON.stringify(answer.error));
    return answer.result;
  };
  const uri = 'file:///tmp/ä.json';
  const text = '{\n  "grüße 🦀": [1, 2],\n  "broken": tru\n}';

  await check('initialize', async () => {
    const result = await ask('initialize', { processId: null, rootUri: null, capabilities: {} });
    assert(result.capabilities.hoverProvider, JSON.stringify(result));
    tell('initialized', {});
  });
  await check('diagnostics of a document that is wrong', async () => {
    tell('textDocument/didOpen', { textDocument: { uri, languageId: 'json', version: 1, text } });
    const is = ({ method, params }) => method === 'textDocument/publishDiagnostics' && params.diagnostics.length;
    const { params } = await talk.until(() => parsed().find(is));
    assert.equal(decodeURI(params.uri), uri);
    assert.deepEqual(params.diagnostics[0].range.start, { line: 2, character: 12 });
  });
  await check('symbols with characters beyond ASCII', async () => {
    const symbols = await ask('textDocument/documentSymbol', { textDocument: { uri } });
    assert.equal(symbols[0].name, 'grüße 🦀');
  });
  await check('a hover and a completion from a schema', async () => {
    const crab = { description: 'Ein Krebs: 🦀' };
    const schema = { properties: { 'grüße 🦀': crab, broken: { enum: ['größer', 'kleiner'] } } };
    const schemas = [{ fileMatch: ['*.json'], url: 'test:///schema', schema }];
    tell('workspace/didChangeConfiguration', { settings: { json: { validate: { enable: true }, schemas } } });
    const hover = await ask('textDocument/hover', { textDocument: { uri }, position: { line: 1, character: 5 } });
    assert(JSON.stringify(hover).includes('Ein Krebs: 🦀'), JSON.stringify(hover));
    const list = await ask('textDocument/completion', { textDocument: { uri }, position: { line: 2, character: 12 } });
    assert.deepEqual(list.items.map(({ label }) => label).sort(), ['"größer"', '"kleiner"']);
  });
  await check('a document of 1 MiB', async () => {
    const long = JSON.stringify(Array.from({ length: 45_000 }, (_, at) => ({ ['schlüssel' + at]: at })));
    assert(Buffer.byteLength(long) > 1 << 20);
    tell('textDocument/didChange', { textDocument: { uri, version: 2 }, contentChanges: [{ text: long }] });
    const edits = await ask('textDocument/formatting', { textDocument: { uri }, options: { tabSize: 2, insertSpaces: true } });
    assert(edits.length > 0, 'nothing is formatted');
  });
  await check('each message is one text message of bare JSON', () => {
    assert(talk.messages.every(({ data, binary }) => !binary && String(data).startsWith('{')));
  });
  await check('shutdown and exit are Close 1000', async () => {
    await ask('shutdown');
    tell('exit');
    assert.equal((await talk.closed)[0], 1000);
  });
}

async function echo() {
  const talk = await Talk.open();
  await check('1,000 datagrams of mixed sizes come back, each whole', async () => {
    const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
    // No more on their way than the kernel keeps for a socket: what it drops no bridge can bring back.
    const wanted = new Set();
    for (let number = 0; number < 1000; number++) {
      const size = number % 10 === 0 ? 60_000 - number : 1 + ((number * 7919) % 1500);
      const datagram = randomBytes(size);
      wanted.add(hash(datagram));
      talk.socket.send(datagram);
      await talk.until(() => talk.messages.length > number - 2);
    }
    await talk.until(() => talk.messages.length === 1000);
    assert(talk.messages.every(({ binary }) => binary));
    for (const { data } of talk.messages) assert(wanted.delete(hash(data)), `a datagram of ${data.length} bytes is not ours`);
  });
}

async function dns() {
  const talk = await Talk.open();
  // A question for an A record (RFC 1035 4.1).
  const question = (id, name) => {
    const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
    const head = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    return Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
  };
  await check('500 questions to a name server, an answer each', async () => {
    for (let id = 0; id < 500; id++) {
      talk.socket.send(question(id, id % 2 ? 'known.test' : 'unknown.test'));
      const { data } = await talk.until((messages) => messages[id]);
      assert.equal(data.readUInt16BE(0), id, 'an answer to another question');
      const status = data[3] & 15;
      assert.equal(status, id % 2 ? 0 : 3, `status ${status}`);
      if (id % 2) assert.deepEqual([...data.subarray(-4)], [192, 0, 2, 7]);
    }
  });
}

await { shell, lsp, echo, dns }[mode]();
process.exit(0);
