// What the person writes: text or hex into bytes, history, repeating, files.
import { $, remember, remembered } from './browser.js';
import { bytesOf, InputError, parseHex } from './text.js';
import { size, t } from './words.js';

/** The largest message that a server of sockeye takes unless it says otherwise, in bytes. */
const LARGEST = 16 * 1024 * 1024;
/** With this much waiting in the browser, in bytes, repeating pauses. */
const QUEUE = 1024 * 1024;
const HISTORY = 100;

export class Composer {
  #history = remembered(sessionStorage, 'history', []);
  /** Where ↑ and ↓ are: the length of the history is the draft. */
  #at = this.#history.length;
  #draft = '';
  #repeat = 0;
  #error = () => '';

  /** @param sent is told what went out: the data and its length in bytes */
  constructor(state, link, sent) {
    Object.assign(this, { state, link, sent });
    const on = (id, what, then) => $(id).addEventListener(what, then);
    on('composer', 'submit', (event) => { event.preventDefault(); this.#submit(); });
    on('input', 'keydown', (event) => this.#key(event));
    on('input', 'input', () => this.#say(() => ''));
    on('repeat', 'click', () => (this.#repeat ? this.stop() : this.#start()));
    on('file', 'click', () => $('pick').click());
    on('pick', 'change', () => this.#file($('pick').files[0]));
    for (const radio of document.querySelectorAll('[name=form]')) radio.addEventListener('change', () => this.show());
  }

  show() {
    $('input').placeholder = t(this.#hex ? 'hintHex' : 'hintText');
    $('eol').disabled = this.#hex;
    $('repeat').textContent = t(this.#repeat ? 'stop' : 'repeat');
    $('repeat').ariaPressed = Boolean(this.#repeat);
    $('limit').textContent = t('limit', { size: size(this.#largest) });
    this.#say(this.#error);
  }

  stop() {
    clearInterval(this.#repeat);
    this.#repeat = 0;
    this.show();
  }

  get #hex() {
    return document.querySelector('[name=form]:checked').value === 'hex';
  }

  get #largest() {
    return this.state.facts.limit ?? LARGEST;
  }

  /** What is written, as a message; nothing if there is none or if it cannot be sent. */
  #message() {
    const text = $('input').value;
    try {
      if (this.#hex) return parseHex(text);
      const end = $('eol').value;
      const lines = end ? text.replaceAll('\n', end) + end : text;
      return this.state.codec.name === 'utf-8' ? lines : this.state.codec.encode(lines);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#point(error, text);
    }
  }

  /** Says what is wrong, and selects it. */
  #point({ key, at, what }, text) {
    const before = text.slice(0, at).split('\n');
    const [line, column] = [before.length, [...before.at(-1)].length + 1];
    const encoding = $('encoding').value;
    this.#say(() => t(key, { what, encoding, place: t(line > 1 ? 'lineColumn' : 'column', { line, column }) }));
    $('input').focus();
    $('input').setSelectionRange(at, at + what.length);
  }

  #say(error) {
    this.#error = error;
    $('error').textContent = error();
    $('error').hidden = !error();
    $('input').ariaInvalid = Boolean(error());
  }

  #give(data) {
    const bytes = bytesOf(data).length;
    if (!this.link.send(data)) return this.#say(() => t('offline'));
    this.sent(data, bytes);
    return true;
  }

  #submit() {
    const data = this.#message();
    if (!data?.length || !this.#give(data)) return;
    this.#keep($('input').value);
    $('input').value = '';
  }

  #keep(text) {
    if (text && text !== this.#history.at(-1)) this.#history.push(text);
    this.#history.splice(0, this.#history.length - HISTORY);
    this.#at = this.#history.length;
    remember(sessionStorage, 'history', this.#history);
  }

  #start() {
    const data = this.#message();
    if (!data?.length || !this.#give(data)) return;
    this.#keep($('input').value);
    this.#repeat = setInterval(() => {
      if (this.link.queued > QUEUE) this.#say(() => t('busy'));
      else this.#give(data);
    }, Math.max(10, $('every').value));
    this.show();
  }

  async #file(file) {
    $('pick').value = '';
    const words = { what: file.name, size: size(file.size), limit: size(this.#largest) };
    if (file.size > this.#largest) return this.#say(() => t('tooLarge', words));
    try {
      this.#give(new Uint8Array(await file.arrayBuffer()));
    } catch {
      this.#say(() => t('unread', words));
    }
  }

  #key(event) {
    const { value, selectionStart, selectionEnd } = $('input');
    // An input method takes Enter for itself; 229 is how Safari says so.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey) this.#submit();
    else if (event.key === 'ArrowUp' && !value.slice(0, selectionStart).includes('\n')) this.#recall(-1);
    else if (event.key === 'ArrowDown' && !value.slice(selectionEnd).includes('\n')) this.#recall(1);
    else return;
    event.preventDefault();
  }

  #recall(step) {
    const at = this.#at + step;
    if (at < 0 || at > this.#history.length) return;
    if (this.#at === this.#history.length) this.#draft = $('input').value;
    this.#at = at;
    $('input').value = this.#history[at] ?? this.#draft;
    this.#say(() => '');
  }
}
