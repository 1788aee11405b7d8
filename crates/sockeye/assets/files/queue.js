// All uploads of this visit: a few at a time, each with its own line.
import { $, make } from '../page/browser.js';
import { count, size, t } from '../page/words.js';
import { Upload } from './upload.js';

/** One connection is rarely enough for many small files, and three are enough for large ones. */
const AT_ONCE = 3;

export class Queue {
  #uploads = [];
  #lines = new Map();
  #tick = 0;

  /** `landed(upload)` is told when a file is there. */
  constructor(landed) {
    this.landed = landed;
    $('clear').onclick = () => this.#clear();
  }

  get isBusy() {
    return this.#uploads.some((upload) => !upload.isOver);
  }

  /** `files`: `[File, path]` each, for the folder at `folder`. */
  add(files, folder) {
    for (const [file, path] of files) {
      const upload = new Upload(file, folder, path, (it) => this.#changed(it));
      this.#uploads.push(upload);
      this.#lines.set(upload, new Line(upload, this));
      $('uploads').append(this.#lines.get(upload).element);
    }
    this.#next();
    this.show();
  }

  /** Another language, or another second. */
  show() {
    const counted = this.#uploads.filter(({ state }) => state !== 'cancelled');
    const done = counted.filter(({ state }) => state === 'done');
    $('queue').hidden = this.#uploads.length === 0;
    $('queue-title').textContent = t('uploading', { n: count(done.length), all: count(counted.length) });
    $('clear').hidden = !this.#uploads.some(({ isOver }) => isOver);
    for (const [, line] of this.#lines) line.show();
    clearTimeout(this.#tick);
    if (this.#uploads.some(({ state }) => state === 'cut')) this.#tick = setTimeout(() => this.show(), 1_000);
  }

  go(upload) {
    upload.state = 'waiting';
    this.#changed(upload);
  }

  #changed(upload) {
    if (upload.state === 'running') return this.#lines.get(upload)?.show();
    if (upload.state === 'done') this.landed(upload);
    if (upload.state === 'cancelled') this.#drop(upload);
    this.#next();
    this.show();
  }

  #next() {
    const running = this.#uploads.filter(({ state }) => state === 'running').length;
    const waiting = this.#uploads.filter(({ state }) => state === 'waiting');
    for (const upload of waiting.slice(0, Math.max(0, AT_ONCE - running))) upload.run();
  }

  #drop(upload) {
    this.#lines.get(upload)?.element.remove();
    this.#lines.delete(upload);
    this.#uploads = this.#uploads.filter((it) => it !== upload);
  }

  #clear() {
    for (const upload of this.#uploads.filter(({ isOver }) => isOver)) this.#drop(upload);
    this.show();
  }
}

/** What is seen of an upload. */
class Line {
  constructor(upload, queue) {
    this.upload = upload;
    this.element = make('li');
    this.name = make('bdi', upload.path, { title: upload.path });
    this.words = make('small');
    this.bar = make('progress', '', { max: Math.max(1, upload.file.size) });
    this.toggle = make('button', '', { type: 'button' });
    this.toggle.onclick = () => (['running', 'cut', 'waiting'].includes(upload.state) ? upload.pause() : queue.go(upload));
    this.cancel = make('button', '✕', { type: 'button' });
    this.cancel.onclick = () => upload.cancel();
    const buttons = make('span');
    buttons.append(this.toggle, this.cancel);
    this.element.append(this.name, this.words, buttons, this.bar);
    this.show();
  }

  show() {
    const { upload } = this;
    const { state, path: name } = upload;
    this.element.dataset.state = state;
    this.bar.value = state === 'done' ? this.bar.max : upload.done;
    this.bar.ariaLabel = name;
    this.words.textContent = words(upload);
    const runs = ['running', 'cut', 'waiting'].includes(state);
    this.toggle.textContent = t(runs ? 'pause' : state === 'failed' ? 'again' : 'resume');
    this.toggle.ariaLabel = t(runs ? 'pauseOf' : 'resumeOf', { name });
    this.cancel.ariaLabel = this.cancel.title = t('cancelOf', { name });
    this.toggle.hidden = this.cancel.hidden = state === 'done';
  }
}

function words(upload) {
  const [done, whole] = [size(upload.done), size(upload.file.size)];
  const own = upload.path.slice(upload.path.lastIndexOf('/') + 1);
  switch (upload.state) {
    case 'running': return t('running', { done, size: whole, rate: size(Math.round(upload.rate)), left: left(upload.left) });
    case 'paused': return t('paused', { done, size: whole });
    case 'cut': return t('cutOff', { done, n: Math.max(0, Math.ceil((upload.retryAt - Date.now()) / 1_000)) });
    case 'done': return upload.landed && upload.landed !== own ? t('doneAs', { name: upload.landed }) : t('done', { size: whole });
    case 'failed': return t('failed', { why: upload.why });
    default: return t('waiting');
  }
}

function left(ms) {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 2 || !Number.isFinite(seconds)) return t('soon');
  if (seconds < 100) return t('seconds', { n: seconds });
  return seconds < 6_000 ? t('minutes', { n: Math.round(seconds / 60) }) : t('hours', { n: Math.round(seconds / 3_600) });
}
