// A Chromium that is driven by its DevTools protocol: pages that are looked at and typed into.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { WebSocket } from './common.mjs';

export class Chromium {
  #socket;
  #asked = new Map();
  #events = new Map();
  #last = 0;

  // Starts one with these words and a profile in a folder. It ends with our process group.
  static async start(words, folder) {
    const [program, ...flags] = words;
    const child = spawn(program, [...flags, `--user-data-dir=${folder}`, '--remote-debugging-port=0', 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const line of createInterface(child.stderr)) {
      const [, place] = /DevTools listening on (\S+)/.exec(line) ?? [];
      if (!place) continue;
      child.stderr.resume();
      const chromium = new Chromium();
      chromium.#socket = new WebSocket(place, { maxPayload: 1 << 28 });
      chromium.#socket.on('message', (data) => chromium.#receive(JSON.parse(data)));
      await once(chromium.#socket, 'open');
      return chromium;
    }
    throw new Error('Chromium does not listen');
  }

  #receive({ id, result, error, method, params, sessionId }) {
    if (method) return this.#events.get(sessionId)?.(method, params);
    const { resolve, reject } = this.#asked.get(id);
    this.#asked.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  ask(method, params = {}, sessionId = undefined) {
    const id = (this.#last += 1);
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  // Opens an address in a window of its own. `answer` says what comes, `{ type, body }`, for what it asks of `elsewhere`.
  async open(url, elsewhere = undefined, answer = undefined) {
    const { targetId } = await this.ask('Target.createTarget', { url: 'about:blank', newWindow: true });
    const { sessionId } = await this.ask('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page((method, params) => this.ask(method, params, sessionId));
    this.#events.set(sessionId, (method, params) => page.note(method, params));
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.ask(`${domain}.enable`);
    if (elsewhere) {
      page.answer = answer;
      await page.ask('Fetch.enable', { patterns: [{ urlPattern: elsewhere }] });
    }
    await page.ask('Page.navigate', { url });
    return page;
  }
}

class Page {
  // What it asked for, and what it complained of.
  requests = [];
  complaints = [];

  constructor(ask) {
    this.ask = ask;
  }

  note(method, params) {
    if (method === 'Network.requestWillBeSent') this.requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.text);
    if (method === 'Log.entryAdded') this.complaints.push(params.entry.text);
    if (method === 'Fetch.requestPaused') this.#answer(params);
  }

  #answer({ requestId, request }) {
    const { type, body } = this.answer(request.url);
    const responseHeaders = [['Content-Type', type], ['Access-Control-Allow-Origin', '*']].map(([name, value]) => ({ name, value }));
    return this.ask('Fetch.fulfillRequest', { requestId, responseCode: 200, responseHeaders, body: body.toString('base64') });
  }

  // The value of an expression, which may be a promise.
  async value(expression) {
    const { result, exceptionDetails } = await this.ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until an expression is true: it is looked at whenever the page changes.
  until(expression) {
    return this.value(`new Promise((resolve) => {
      const look = () => (${expression}) && (watch.disconnect(), resolve(true));
      const watch = new MutationObserver(look);
      watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      look();
    })`);
  }

  type(text) {
    return this.ask('Input.insertText', { text });
  }

  async press(key, modifiers = 0) {
    const text = key === 'Enter' ? '\r' : undefined;
    const code = { Enter: 13, Tab: 9, ArrowUp: 38, ArrowDown: 40 }[key];
    for (const type of ['keyDown', 'keyUp']) {
      await this.ask('Input.dispatchKeyEvent', { type, key, code: key, windowsVirtualKeyCode: code, text, modifiers });
    }
  }

  // A picture of it at a size, in light or dark.
  async picture({ width, height, scale, scheme }) {
    // One that is `mobile` would begin at its top; the scroll bars of phones are what is left of it.
    await this.ask('Emulation.setScrollbarsHidden', { hidden: width < 600 });
    await this.ask('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile: false });
    await this.ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    await this.value('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
    const { data } = await this.ask('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(data, 'base64');
  }
}
