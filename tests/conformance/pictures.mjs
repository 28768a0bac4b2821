// Pictures of the chat page with some messages: on a phone in the dark, on a desk in the light.

import { writeFileSync } from 'node:fs';

const SIZES = {
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
