// Pictures of pages with something on them: on a phone in the dark, on a desk in the light.

import { writeFileSync } from 'node:fs';

export const SIZES = {
  phone: { width: 390, height: 844, scale: 1, scheme: 'dark' },
  desk: { width: 1280, height: 800, scale: 1, scheme: 'light' },
};

// Has members of a room talk with the page, then takes the pictures into a folder. `people` are who says it, by name.
export async function take(reader, people, folder) {
  const { page } = reader;
  const talk = [
    ['ann', 'Morning! main is green again.'],
    ['bob', 'deploying it to staging now'],
    ['page', 'Thanks. Is the migration in it?'],
    ['bob', 'yes, since last night'],
    ['ann', 'Two things are left:\n- the changelog\n- a look at it on a phone'],
    ['bob', '$ tail -1 deploy.log\n2026-11-21T10:02:11Z staging: 3 of 3 healthy, build 8f3c2e1d0b9a7766554433221100ffeeddccbbaa'],
    ['ann', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
    ['page', 'I take the phone.'],
    ['page', '!help'],
  ];
  for (const [index, [who, words]] of talk.entries()) {
    const before = await page.value("document.querySelectorAll('.words').length");
    if (who === 'page') await reader.say(words);
    else people[who].socket.send(words);
    const more = index + 1 === talk.length ? 1 : 0;
    await page.until(`document.querySelectorAll('.words').length > ${before + more}`);
  }
  people.bob.socket.close(1000);
  await page.until("document.querySelector('#log li:last-child').className === 'note'");
  for (const [name, size] of Object.entries(SIZES)) {
    writeFileSync(`${folder}/chat-${name}.png`, await page.picture(size));
  }
}

// What is said to each page of examples/ for its pictures.
const LINES = {
  echo: [
    ['text', 'hello'],
    ['text', '{"op": "subscribe", "channels": ["trades", "book"], "since": "2026-11-21T10:02:11Z"}'],
    ['binary', '89504e47 0d0a1a0a 0000000d 49484452 00000400 00000300 08060000'],
    ['text', 'naïve Zürich, ½ €,\ntwo lines'],
    ['text', '<b>not bold</b>'],
  ],
  redis: [
    'SET greeting "hello world"',
    'GET greeting',
    'HSET user:1 name Ann city Zürich age 33',
    'HGETALL user:1',
    'SET key "\\x89PNG\\r\\n"',
    'GET key',
    'INCR greeting',
    'HELLO 3',
    'HGETALL user:1',
    'SUBSCRIBE news',
  ],
  terminal: [
    'ls --color=always -C',
    'head -n 12 bot.sh',
    'seq 5 | awk \'{ printf "\\033[3%dm%s\\033[0m ", $1, "■■■■" } END { print "" }\'',
    'tput cols; tput lines',
  ],
};

const SIDES = {
  echo: () => ['echo:'],
  redis: (port) => [`tcp:127.0.0.1:${port}`],
  terminal: () => ['--pty', '--env', 'PS1=\\[\\e[32m\\]ann@studio\\[\\e[0m\\]:\\[\\e[34m\\]~/examples\\[\\e[0m\\]$ ', '--', 'bash', '--norc', '--noprofile'],
};

// Takes pictures of the pages of examples/ into a folder.
export async function takePages({ chromium, start, folder, redis, answer, elsewhere, publish }) {
  for (const [name, lines] of Object.entries(LINES)) {
    for (const [device, size] of Object.entries(SIZES)) {
      const { port } = await start(name, SIDES[name](redis));
      const page = await chromium.open(`http://127.0.0.1:${port}/`, elsewhere, answer);
      await page.until("document.getElementById('state')?.className === 'open'");
      await page.picture(size);
      if (name === 'terminal') await page.until("document.querySelector('.xterm-rows').textContent.includes('$')");
      for (const [count, line] of lines.entries()) {
        const [kind, words] = Array.isArray(line) ? line : [undefined, line];
        if (kind) await page.value(`document.querySelector('[value=${kind}]').click()`);
        await page.value(`(document.querySelector('#text, #line') ?? terminal).focus()`);
        if (words.includes('\n')) await page.value(`document.getElementById('text').value = ${JSON.stringify(words)}`);
        else await page.type(words);
        await page.press('Enter');
        if (name === 'echo') await page.until(`document.querySelectorAll('.received').length === ${count + 1}`);
        if (name === 'redis') await page.until("[...document.querySelectorAll('.own')].at(-1)?.children.length > 1");
        const prompts = `(document.querySelector('.xterm-rows').textContent.match(/ann@studio/g) ?? []).length`;
        if (name === 'terminal') await page.until(`${prompts} > ${count + 1} && document.getElementById('state').className === 'open'`);
      }
      if (name === 'redis') {
        publish('news', 'main is green again');
        await page.until("document.querySelector('.push')");
      }
      writeFileSync(`${folder}/${name}-${device}.png`, await page.picture(size));
    }
  }
}
