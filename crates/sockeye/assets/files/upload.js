// One file on its way to the server, by tus 1.0: it goes on where it stopped, after a pause, a cut, or another visit.
import { remember, remembered } from '../page/browser.js';
import { headers } from './server.js';

const VERSION = { 'tus-resumable': '1.0.0' };
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** As much is one request, and no more: a browser sends one again by itself when its connection was cut, all of it. */
const PIECE = 1024 * 1024;
/** The rate is that of the last seconds. */
const WINDOW = 5_000;
/** The browser remembers where so many uploads stand. */
const MOST = 200;

/** The server does not take it, and will not later either. */
class Refused extends Error {}

export class Upload {
  /** `waiting`, `running`, `paused`, `cut`, `done`, `failed`, `cancelled` */
  state = 'waiting';
  done = 0;
  rate = 0;
  why = '';
  /** Under what name it has landed. */
  landed = '';
  /** When it is tried again, after a cut. */
  retryAt = 0;
  #url = '';
  #request = null;
  #pause = FIRST_PAUSE;
  #timer = 0;
  #seen = [];

  /** `folder` is the path of the folder it goes to, `path` its name beneath that. */
  constructor(file, folder, path, changed) {
    Object.assign(this, { file, folder, path, changed });
    this.key = [folder, path, file.size, file.lastModified].join('|');
    this.#url = remembered(localStorage, 'uploads', {})[this.key] ?? '';
  }

  get isOver() {
    return ['done', 'failed', 'cancelled'].includes(this.state);
  }

  async run() {
    clearTimeout(this.#timer);
    this.#become('running');
    try {
      const at = this.#url ? await this.#ask() : null;
      let from = at ?? await this.#create();
      while (from < this.file.size) {
        if (this.state !== 'running') return;
        this.#saw(from);
        from = await this.#send(from);
      }
      this.#saw(from);
      this.#forget();
      this.#become('done');
    } catch (error) {
      if (this.state !== 'running') return;
      if (error instanceof Refused) {
        this.why = error.message;
        this.#forget();
        this.#become('failed');
      } else {
        this.#cut();
      }
    }
  }

  pause() {
    this.#stop('paused');
  }

  /** Gives it up: the server drops what it has. */
  cancel() {
    this.#stop('cancelled');
    if (this.#url) fetch(this.#url, { method: 'DELETE', headers: headers(VERSION) }).catch(() => { /* it expires */ });
    this.#forget();
  }

  /** Milliseconds that are left at this rate. */
  get left() {
    return this.rate ? (this.file.size - this.done) / this.rate * 1_000 : Infinity;
  }

  #stop(state) {
    clearTimeout(this.#timer);
    this.#become(state);
    this.#request?.abort();
  }

  #become(state) {
    this.state = state;
    if (state !== 'running') this.rate = 0;
    this.#seen = [];
    this.changed(this);
  }

  #cut() {
    this.retryAt = Date.now() + this.#pause;
    this.#become('cut');
    this.#timer = setTimeout(() => this.run(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  /** Where it stands; `null` when the server does not know it any more. */
  async #ask() {
    const response = await fetch(this.#url, { method: 'HEAD', headers: headers(VERSION), cache: 'no-store' });
    if ([403, 404, 410].includes(response.status)) {
      this.#forget();
      return null;
    }
    if (!response.ok) throw new Error(response.statusText);
    this.#landedAt(response.headers.get('content-location'));
    return Number(response.headers.get('upload-offset'));
  }

  async #create() {
    const text = (words) => btoa(String.fromCharCode(...new TextEncoder().encode(words)));
    const metadata = `filename ${text(this.path)},lastModified ${text(String(this.file.lastModified))}`;
    const more = { ...VERSION, 'upload-length': String(this.file.size), 'upload-metadata': metadata };
    const response = await fetch(this.folder, { method: 'POST', headers: headers(more) });
    await refuse(response.status, () => response.text());
    this.#url = new URL(response.headers.get('location'), location.href).pathname
      + new URL(response.headers.get('location'), location.href).search;
    this.#landedAt(response.headers.get('content-location'));
    const all = Object.entries(remembered(localStorage, 'uploads', {})).slice(-MOST);
    remember(localStorage, 'uploads', { ...Object.fromEntries(all), [this.key]: this.#url });
    return 0;
  }

  /** Sends some of it, and gives where it stands then. Only XMLHttpRequest tells how much of a body has left. */
  #send(from) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.#request = request;
      request.open('PATCH', this.#url);
      const more = { ...VERSION, 'upload-offset': String(from), 'content-type': 'application/offset+octet-stream' };
      for (const [name, value] of Object.entries(headers(more))) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded }) => this.#saw(from + loaded);
      request.onerror = request.onabort = request.ontimeout = () => reject(new Error('cut'));
      request.onload = () => {
        refuse(request.status, () => request.responseText).then(() => {
          this.#landedAt(request.getResponseHeader('content-location'));
          return Number(request.getResponseHeader('upload-offset'));
        }).then(resolve, reject);
      };
      request.send(this.file.slice(from, from + PIECE));
    });
  }

  #saw(done) {
    if (done > this.done) this.#pause = FIRST_PAUSE;
    this.done = done;
    const now = performance.now();
    this.#seen.push([now, done]);
    while (this.#seen.length > 2 && this.#seen[0][0] < now - WINDOW) this.#seen.shift();
    const [[then, before]] = this.#seen;
    this.rate = now > then ? (done - before) / (now - then) * 1_000 : 0;
    this.changed(this);
  }

  #landedAt(path) {
    if (path) this.landed = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
  }

  #forget() {
    this.#url = '';
    const { [this.key]: _, ...others } = remembered(localStorage, 'uploads', {});
    remember(localStorage, 'uploads', others);
  }
}

/** @throws {Refused} for what would be refused again, {Error} for what may go well next time */
async function refuse(status, words) {
  if (status < 300) return;
  const text = (await words()).trim();
  const passes = [404, 408, 409, 410, 423, 429].includes(status) || (status >= 500 && status !== 507);
  throw passes ? new Error(text) : new Refused(text || String(status));
}
