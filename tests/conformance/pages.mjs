// The pages of examples/ as people use them: `WSBRIDGE FOLDER PICTURES REDIS CHROMIUM...`.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bridge, check, require } from './common.mjs';
import { Chromium } from './chromium.mjs';
import { SIZES, takePages } from './pictures.mjs';

const [binary, folder, pictures, redis, ...words] = process.argv.slice(2);
const CDN = 'https://cdn.jsdelivr.net/npm/';
const page = (name) => fileURLToPath(new URL(`../../examples/${name}.html`, import.meta.url));
const chromium = await Chromium.start(words, `${folder}/profile`);

// What the CDN has at an address: the file of the npm package.
function packaged(url) {
  const [, name, version, path] = /^(@xterm\/[^@]+)@([^/]+)\/(.+)$/.exec(url.slice(CDN.length));
  assert.equal(version, require(`${name}/package.json`).version, url);
  return { type: path.endsWith('.css') ? 'text/css' : 'text/javascript', body: readFileSync(require.resolve(`${name}/${path}`)) };
}

// A page in a browser, in front of an endpoint.
class Reader {
  static async open(name, side, ...more) {
    const reader = new this();
    reader.bridge = await bridge(binary, 'ws-l:0', '--page', page(name), ...side);
    await reader.show(...more);
    return reader;
  }

  async show({ query = '', answer = packaged } = {}) {
    this.url = `http://127.0.0.1:${this.bridge.port}/${query}`;
    this.page = await chromium.open(this.url, `${CDN}*`, answer);
    await this.page.until("document.readyState === 'complete' && document.getElementById('state')?.className === 'open' || document.getElementById('missing')?.hidden === false");
  }

  state(words) {
    return this.page.until(`document.getElementById('state').textContent === ${JSON.stringify(words)}`);
  }

  // Puts text into a field as a paste does.
  fill(field, text) {
    return this.page.value(`{ const field = document.getElementById('${field}'); field.value = ${JSON.stringify(text)}; field.dispatchEvent(new Event('input')); field.focus(); }`);
  }

  click(selector) {
    return this.page.value(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  // The texts of all that have a selector.
  texts(selector) {
    return this.page.value(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((element) => element.textContent)`);
  }
}

// The echo console.
class Echo extends Reader {
  // Sends it, and gives what came back: its facts but for the time of day, and what is shown of it.
  async says(kind, text) {
    const before = (await this.texts('.received')).length;
    await this.click(`[value=${kind}]`);
    await this.fill('text', text);
    await this.page.press('Enter');
    await this.page.until(`document.querySelectorAll('.received').length === ${before + 1}`);
    const [sent, received] = await this.page.value(`['.sent', '.received'].map((row) => {
      const item = [...document.querySelectorAll(row)].at(-1);
      return [[...item.querySelectorAll('.facts > :not(time)')].map((fact) => fact.textContent), item.querySelector('pre')?.textContent ?? null, item.querySelector('.more')?.textContent ?? null];
    })`);
    assert.match(received[0].pop(), /^\d+(\.\d)? ms$/);
    assert.deepEqual([sent[0][0], received[0][0]], ['Sent', 'Received']);
    assert.deepEqual([sent[0].slice(1), sent[1], sent[2]], [received[0].slice(1), received[1], received[2]]);
    return [received[0].slice(1).join(' '), received[1], received[2]];
  }
}

// The Redis console.
class Console extends Reader {
  // Gives a command and waits for so many replies; they are what is shown under it.
  async gives(line, replies = 1) {
    await this.fill('line', line);
    await this.page.press('Enter');
    await this.page.until(`[...document.querySelectorAll('.own')].at(-1)?.children.length === ${1 + replies}`);
    return this.page.value("[...[...document.querySelectorAll('.own')].at(-1).children].slice(1).map((reply) => reply.textContent).join('\\n--\\n')");
  }

  async table(rows) {
    for (const [line, reply] of rows) assert.equal(await this.gives(line), reply, line);
  }

  pushed(text) {
    return this.page.until(`[...document.querySelectorAll('.push')].some((row) => row.textContent === ${JSON.stringify(text)})`);
  }
}

const cli = (...command) => execFileSync('redis-cli', ['-p', redis, ...command], { encoding: 'utf8' }).trim();

// The terminal.
class Terminal extends Reader {
  async row(text) {
    await this.page.until(`[...document.querySelectorAll('.xterm-rows > div')].some((row) => row.textContent.trimEnd() === ${JSON.stringify(text)})`);
  }

  prompt() {
    return this.page.until("[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent.trim()).filter(Boolean).at(-1) === 'ready>'");
  }

  // Types where the shell asks: what comes while it changes the modes of its terminal may get lost.
  async types(line) {
    await this.prompt();
    await this.page.type(line);
    await this.page.press('Enter');
  }
}

const SHELL = ['--pty', '--env', 'PS1=ready> ', '--', 'bash', '--norc', '--noprofile'];
const echo = await Echo.open('echo', ['echo:']);
const own = await Console.open('redis', [`tcp:127.0.0.1:${redis}`]);
const terminal = await Terminal.open('terminal', SHELL);

await check('they ask for nothing but what they name, and complain of nothing', async () => {
  for (const reader of [echo, own, terminal]) {
    const foreign = reader === terminal ? ['addon-fit@0.10.0/lib/addon-fit.js', 'xterm@5.5.0/css/xterm.css', 'xterm@5.5.0/lib/xterm.js'] : [];
    const asked = reader.page.requests.filter((url) => !url.startsWith('data:')).sort();
    assert.deepEqual(asked, [reader.url, ...foreign.map((path) => `${CDN}@xterm/${path}`)]);
    assert.deepEqual(reader.page.complaints, []);
  }
});
await check('in a frame they do not connect', async () => {
  for (const reader of [echo, own, terminal]) {
    const said = await reader.page.value(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.onload = () => {
        resolve(frame.contentDocument.getElementById('state').textContent);
        frame.remove();
      };
      frame.src = '/?framed';
      document.body.append(frame);
    })`);
    assert.equal(said, 'not in a frame of another page');
  }
});

await check('echo: texts and bytes come back with kind, size and time', async () => {
  assert.deepEqual(await echo.says('text', 'hello'), ['text 5 bytes', 'hello', null]);
  assert.deepEqual(await echo.says('text', ''), ['text 0 bytes', null, null]);
  assert.deepEqual(await echo.says('text', 'naïve 日本 🦀\nnext'), ['text 23 bytes', 'naïve 日本 🦀\nnext', null]);
  assert.deepEqual(await echo.says('binary', 'DE ad,0xbe:ef\n00'), ['binary 5 bytes', 'de ad be ef 00', null]);
  assert.deepEqual(await echo.says('binary', 'ff'), ['binary 1 byte', 'ff', null]);
  assert.deepEqual(await echo.says('binary', ''), ['binary 0 bytes', null, null]);
});
await check('echo: a mebibyte comes back, and its beginning is shown', async () => {
  const [facts, shown, more] = await echo.says('text', 'x'.repeat(1 << 20));
  assert.deepEqual([facts, shown, more], ['text 1,048,576 bytes', 'x'.repeat(16384), '1,032,192 more characters are not shown']);
});
await check('echo: markup is text', async () => {
  const hostile = '<img src=x onerror="document.title = \'taken\'"><script>document.title = \'taken\'</script>&amp;';
  assert.equal((await echo.says('text', hostile))[1], hostile);
  assert.deepEqual(await echo.page.value("[document.querySelectorAll('#log img, #log script').length, document.title]"), [0, 'Echo console']);
});
await check('echo: what is no hex is told and not sent', async () => {
  const before = (await echo.texts('.sent')).length;
  await echo.click('[value=binary]');
  for (const [text, why] of [['0g', "'g' is no hex digit"], ['abc', 'a byte has two hex digits']]) {
    await echo.fill('text', text);
    await echo.page.press('Enter');
    assert.deepEqual([await echo.texts('#wrong'), (await echo.texts('.sent')).length], [[why], before]);
  }
});
await check('echo: it closes, connects again, and offers subprotocols', async () => {
  await echo.click('#connect');
  await echo.state('closed: 1000 done');
  await echo.fill('protocols', 'mqtt, chat');
  await echo.click('#connect');
  await echo.state('connected, mqtt');
  assert.equal((await echo.says('text', 'again'))[1], 'again');
  echo.bridge.child.kill();
  await echo.page.until("document.getElementById('state').textContent.startsWith('closed: 1001 going away')");
  await echo.click('#connect');
  await echo.state('cannot connect');
});
await check('echo: it goes where ?url= says', async () => {
  const other = await bridge(binary, 'ws-l:0', 'literal:from elsewhere');
  const reader = new Echo();
  reader.bridge = await bridge(binary, 'ws-l:0', '--page', page('echo'), 'echo:');
  reader.url = `http://127.0.0.1:${reader.bridge.port}/?url=ws://127.0.0.1:${other.port}/`;
  reader.page = await chromium.open(reader.url);
  await reader.page.until("document.querySelector('.received pre')?.textContent === 'from elsewhere'");
  await reader.state('closed: 1000 done');
});

await check('redis: strings, lists and hashes as redis-cli shows them', async () => {
  await own.table([
    ['SET greeting "hello world"', 'OK'],
    ['get greeting', '"hello world"'],
    ['GET nothing', '(nil)'],
    ['LPUSH list one two three', '(integer) 3'],
    ['LRANGE list 0 -1', '1) "three"\n2) "two"\n3) "one"'],
    ['LRANGE nothing 0 -1', '(empty array)'],
    ['HSET user:1 name Ann age 33', '(integer) 2'],
    ['HGETALL user:1', '1) "name"\n2) "Ann"\n3) "age"\n4) "33"'],
    ['EVAL "return {1, {2, {3, \'x\'}}, {}}" 0', '1) (integer) 1\n2) 1) (integer) 2\n   2) 1) (integer) 3\n      2) "x"\n3) (empty array)'],
  ]);
  assert.match(await own.gives('INFO server'), /^# Server\r?\nredis_version:/);
});
await check('redis: quotes and escapes are those of redis-cli', async () => {
  await own.table([
    ['ECHO "a \\"b\\" \\\\ \\n \\x41"', '"a \\"b\\" \\\\ \\n A"'],
    ["ECHO 'it\\'s \\n'", '"it\'s \\\\n"'],
    ['ECHO ""', '""'],
    ["ECHO a'b", '"a\'b"'],
    ['ECHO "open', 'Invalid argument(s): a " is missing at the end'],
    ['ECHO "a"b', 'Invalid argument(s): a blank is missing behind "'],
  ]);
});
await check('redis: errors are told as errors', async () => {
  assert.match(await own.gives('LPUSH greeting x'), /^\(error\) WRONGTYPE /);
  assert.match(await own.gives('NOSUCH <img src=x>'), /^\(error\) ERR unknown command 'NOSUCH'/);
  assert.equal(await own.page.value("document.querySelectorAll('#log img').length"), 0);
  assert.deepEqual((await own.texts('.wrong')).length, 4);
});
await check('redis: UTF-8 is readable and bytes are escaped', async () => {
  await own.table([
    ['SET words "naïve 日本 🦀"', 'OK'],
    ['GET words', '"naïve 日本 🦀"'],
    ['STRLEN words', '(integer) 18'],
    ['SET bytes "\\x00\\xff\\x80 a\\r\\n"', 'OK'],
    ['GET bytes', '"\\x00\\xff\\x80 a\\r\\n"'],
    ['SET turned "a\\xe2\\x80\\xaeb"', 'OK'],
    ['GET turned', '"a\\xe2\\x80\\xaeb"'],
  ]);
  assert.equal(cli('--no-raw', 'GET', 'bytes'), '"\\x00\\xff\\x80 a\\r\\n"');
  assert.equal(cli('GET', 'words'), 'naïve 日本 🦀');
});
await check('redis: a reply that comes in many pieces is one', async () => {
  assert.equal(await own.gives("EVAL \"for i = 1, 5000 do redis.call('RPUSH', 'many', string.rep('y', i)) end return 5000\" 0"), '(integer) 5000');
  assert.equal(await own.gives('LLEN many'), '(integer) 5000');
  const lines = (await own.gives('LRANGE many 0 600')).split('\n');
  assert.deepEqual(lines, Array.from({ length: 601 }, (_, at) => `${String(at + 1).padStart(3)}) "${'y'.repeat(at + 1)}"`));
  assert.match(await own.gives('LRANGE many 0 -1'), /\n\(12,2\d\d,\d{3} more characters are not shown\)$/);
  assert.equal(await own.gives('PING'), 'PONG');
});
await check('redis: what is published is heard, in RESP2 and RESP3', async () => {
  for (const hello of ['HELLO 2', 'HELLO 3']) {
    await own.gives(hello);
    const confirmed = await own.gives('SUBSCRIBE news sport', 2);
    assert.equal(confirmed, '1) "subscribe"\n2) "news"\n3) (integer) 1\n--\n1) "subscribe"\n2) "sport"\n3) (integer) 2');
    const words = `${hello} überall`;
    assert.equal(cli('PUBLISH', 'news', words), '1');
    await own.pushed(`1) "message"\n2) "news"\n3) "${words}"`);
    // In RESP3 one may speak while one listens, and what is heard comes before the answer.
    if (hello === 'HELLO 3') {
      assert.equal(await own.gives('PUBLISH sport goal'), '(integer) 1');
      await own.pushed('1) "message"\n2) "sport"\n3) "goal"');
    }
    assert.match(await own.gives('UNSUBSCRIBE news sport', 2), /\(integer\) 0$/);
    await own.table([['GET greeting', '"hello world"']]);
  }
});
await check('redis: RESP3 has types of its own', async () => {
  await own.table([
    ['HGETALL user:1', '1# "name" => "Ann"\n2# "age" => "33"'],
    ['SADD set one', '(integer) 1'],
    ['SMEMBERS set', '1~ "one"'],
    ['ZADD sorted 1.5 a', '(integer) 1'],
    ['ZSCORE sorted a', '(double) 1.5'],
    ['GET nothing', '(nil)'],
    ['EVAL "redis.setresp(3) return true" 0', '(true)'],
    ['HGETALL nothing', '(empty hash)'],
    ['DEBUG PROTOCOL bignum', '(error) ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.'],
  ]);
  assert.match(await own.gives('INFO server'), /^# Server\r?\nredis_version:/);
});
await check('redis: earlier lines come back, and secrets do not', async () => {
  await own.table([['ECHO one', '"one"'], ['ECHO two', '"two"']]);
  assert.match(await own.gives('AUTH somebody secret'), /^\(error\) /);
  await own.fill('line', 'draft');
  for (const [key, expected] of [['ArrowUp', 'ECHO two'], ['ArrowUp', 'ECHO one'], ['ArrowDown', 'ECHO two'], ['ArrowDown', 'draft'], ['ArrowDown', 'draft']]) {
    await own.page.press(key);
    assert.equal(await own.page.value("document.getElementById('line').value"), expected);
  }
  const shown = await own.texts('#log');
  assert(shown[0].includes('AUTH (not shown)') && !shown[0].includes('secret'));
});
await check('redis: MONITOR goes on, QUIT ends it, and the button connects again', async () => {
  assert.equal(await own.gives('MONITOR'), 'OK');
  cli('SET', 'seen', 'by all');
  await own.page.until(`[...document.querySelectorAll('.push')].some((row) => row.textContent.endsWith('"SET" "seen" "by all"'))`);
  await own.gives('QUIT');
  await own.state('closed: 1000 done');
  await own.click('#again');
  await own.state('connected');
  await own.table([['GET seen', '"by all"']]);
});

await check('terminal: its files are those of npm', async () => {
  const html = readFileSync(page('terminal'), 'utf8');
  const named = [...html.matchAll(/(?:href|src)="(https:[^"]+)"\s+integrity="(sha384-[^"]+)" crossorigin="anonymous"/g)];
  assert.equal(named.length, 3);
  assert.equal(html.match(/(?:href|src)="https:/g).length, 3);
  for (const [, url, integrity] of named) {
    assert.equal(integrity, `sha384-${createHash('sha384').update(packaged(url).body).digest('base64')}`, url);
  }
});
await check('terminal: a shell that knows its size, also when it changes', async () => {
  await terminal.row('ready>');
  const cols = () => terminal.page.value('terminal.cols');
  const wide = await cols();
  await terminal.types('echo "[$(tput cols)]"');
  await terminal.row(`[${wide}]`);
  const { width, height, scale } = SIZES.phone;
  await terminal.page.ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile: false });
  await terminal.page.until(`innerWidth === ${width} && terminal.cols < ${wide} && terminal.cols === fit.proposeDimensions().cols`);
  const narrow = await cols();
  assert(narrow > 30 && narrow < wide, `${narrow}`);
  await terminal.types('echo "[$(tput cols)]"');
  await terminal.row(`[${narrow}]`);
});
await check('terminal: letters of all kinds and control keys', async () => {
  await terminal.types("printf '%s|' 'naïve 日本'; echo");
  await terminal.row('naïve 日本|');
  await terminal.types('echo $((1+1)) up; cat');
  await terminal.row('2 up');
  await terminal.click('#control');
  await terminal.page.type('c');
  await terminal.row('^C');
  await terminal.types('echo $((6*7))$?');
  await terminal.row('42130');
  await terminal.prompt();
  await terminal.click('[data-arrow=A]');
  await terminal.page.press('Enter');
  await terminal.row('420');
});
await check('terminal: exit 3 is seen, and Enter has a new shell', async () => {
  await terminal.types('exit 3');
  await terminal.state('exit 3');
  await terminal.row('[exit 3; Enter connects again]');
  await terminal.page.press('Enter');
  await terminal.state('connected');
  await terminal.types('echo new $((40+2))');
  await terminal.row('new 42');
  await terminal.types('kill -KILL $$');
  await terminal.state('signal KILL');
  await terminal.click('#again');
  await terminal.state('connected');
  await terminal.types('exit');
  await terminal.state('ended');
});
await check('terminal: a file that is not that of npm is refused', async () => {
  const altered = (url) => {
    const { type, body } = packaged(url);
    return { type, body: url.endsWith('/xterm.js') ? Buffer.concat([body, Buffer.from(';')]) : body };
  };
  const reader = await Terminal.open('terminal', SHELL, { answer: altered });
  await reader.state('no xterm.js');
  assert.equal(await reader.page.value('typeof Terminal'), 'undefined');
  assert(reader.page.complaints.some((words) => /integrity/.test(words)), reader.page.complaints.join());
});

if (pictures) {
  process.chdir(fileURLToPath(new URL('../../examples', import.meta.url)));
  const start = (name, side) => bridge(binary, 'ws-l:0', '--page', page(name), ...side);
  const publish = (channel, words) => cli('PUBLISH', channel, words);
  await takePages({ chromium, start, folder: pictures, redis, publish, elsewhere: `${CDN}*`, answer: packaged });
}
process.exit();
