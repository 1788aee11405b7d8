// The messages: kept within bounds, shown a little in every frame, filtered, copied, saved.
import { $, make, toClipboard } from './browser.js';
import { bytesOf, dump, grouped, pieces, printable } from './text.js';
import { clock, count, size, t } from './words.js';

const MOST = 5_000;
const MOST_BYTES = 16 * 1024 * 1024;
/** How much of a long message is shown at first, in bytes and in lines, and how much more each time. */
const SHOWN = { text: 1024, hex: 256, lines: 16, more: 256 * 1024 };
/** How long drawing may take in one frame, in milliseconds. */
const FRAME = 8;
/** Rows in a block; the browser lays out a block only when it comes near the view. */
const BLOCK = 30;
/** Where sixteen bytes in a row do not fit. */
const NARROW = matchMedia('(max-width: 44rem)');

const button = (key, values) => make('button', t(key, values), { type: 'button', className: key });

/**
 * @typedef {object} Entry a message, or a note about the connection
 * @property {number} time
 * @property {'in'|'out'|'note'} way
 * @property {number} bytes
 * @property {string|Uint8Array|(() => string)} data text, binary, or the words of a note
 * @property {boolean} [hex] shown like this, whatever the others are
 * @property {number} [more] what is shown beyond the first part
 * @property {HTMLElement} [row]
 */
export class Log {
  /** @type {Entry[]} */
  entries = [];
  #dropped = 0;
  #bytes = 0;
  /** How many of the entries have their row. */
  #filled = 0;
  /** How many of these, from the oldest on, are still to be drawn anew. */
  #stale = 0;
  #frame = 0;
  #filter = '';
  /** Whether the newest is kept in view; what came since it is not; where the list stood, and its heights. */
  #pinned = true;
  #unseen = 0;
  #top = 0;
  #shape = '';
  /** Rows of what was dropped; they leave with the next frame, so that the list moves only then. */
  #gone = [];
  #found = globalThis.Highlight && new Highlight();
  #actions = make('span', '', { className: 'actions' });
  #view = $('view');
  #list = $('log');

  /** @param state has the `codec` for bytes, and `chosen.view` */
  constructor(state) {
    this.state = state;
    this.#actions.append(button('copy'), button('hex'));
    if (this.#found) CSS.highlights.set('found', this.#found);
    this.#view.addEventListener('scroll', () => this.#scrolled());
    this.#view.addEventListener('keydown', (event) => this.#key(event));
    for (const what of ['pointerover', 'focusin']) {
      this.#list.addEventListener(what, ({ target }) => this.#offer(target.closest('li')));
    }
    this.#list.addEventListener('click', ({ target }) => target.type === 'button' && this.#do(target.className, target.closest('li')));
    $('jump').addEventListener('click', () => this.newest());
    const moved = new ResizeObserver(() => this.#pinned && this.newest());
    moved.observe(this.#list);
    moved.observe(this.#view);
    NARROW.addEventListener('change', () => this.redraw());
  }

  add(way, data, bytes = 0) {
    this.entries.push({ time: Date.now(), way, data, bytes });
    this.#bytes += bytes;
    while (this.entries.length > MOST || (this.#bytes > MOST_BYTES && this.entries.length > 1)) this.#drop();
    this.#soon();
  }

  clear() {
    this.entries = [];
    this.#gone = [];
    this.#dropped = this.#bytes = this.#filled = 0;
    this.#list.replaceChildren();
    this.newest();
    this.redraw();
  }

  /** Shows everything anew: in other words, in another encoding, as hex, filtered. */
  redraw() {
    this.#found?.clear();
    this.#stale = this.#filled;
    this.#soon();
  }

  /** Shows only what has `text` in it. */
  filter(text) {
    this.#filter = text.toLowerCase();
    this.#list.classList.toggle('filtered', text);
    this.redraw();
  }

  newest() {
    this.#pinned = true;
    this.#unseen = 0;
    this.#view.scrollTop = this.#view.scrollHeight;
    this.#stand();
    $('jump').hidden = true;
  }

  asText() {
    return this.entries.map((entry) => {
      const head = { in: `← ${entry.bytes} B`, out: `→ ${entry.bytes} B`, note: '·' }[entry.way];
      const words = this.#words(entry);
      return `${clock(entry.time)} ${head}${words.includes('\n') ? '\n' : ' '}${words}\n`;
    }).join('');
  }

  /** An object a line, with the fields of `sockeye --json`. */
  asJson() {
    return this.entries.map(({ time, way, data, bytes }) => {
      const content = typeof data === 'string' ? { kind: 'text', bytes, text: data } : { kind: 'binary', bytes, hex: grouped(data) };
      const what = way === 'note' ? { event: 'note', text: data() } : { event: 'message', direction: way, ...content };
      return `${JSON.stringify({ v: 1, time: new Date(time).toISOString(), ...what })}\n`;
    }).join('');
  }

  /** An entry as it is shown, whole, for the clipboard and for files. */
  #words(entry) {
    if (entry.way === 'note') return entry.data();
    return this.#isHex(entry) ? dump(bytesOf(entry.data), this.state.codec) : printable(this.#text(entry));
  }

  #isHex(entry) {
    return entry.hex ?? this.state.chosen.view === 'hex';
  }

  #text({ data }, most) {
    return typeof data === 'string' ? data.slice(0, most) : this.state.codec.decode(data.subarray(0, most));
  }

  #drop() {
    const { bytes, row } = this.entries.shift();
    this.#bytes -= bytes;
    this.#dropped += 1;
    if (!row) return;
    this.#gone.push(row);
    this.#filled -= 1;
    this.#stale = Math.max(0, this.#stale - 1);
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#work());
  }

  /** What one frame has time for: first what is new, then what must be drawn anew, from the newest on. */
  #work() {
    this.#frame = 0;
    const until = performance.now() + FRAME;
    const before = this.#filled;
    for (const row of this.#gone.splice(0)) (row.nextSibling ? row : row.parentElement).remove();
    const left = () => this.#filled < this.entries.length || this.#stale > 0;
    while (left() && performance.now() < until) {
      if (this.#filled < this.entries.length) this.#append(this.entries[this.#filled++]);
      else this.#draw(this.entries[--this.#stale]);
    }
    if (left()) this.#soon();
    if (this.#pinned) this.newest();
    else this.#unseen += this.#filled - before;
    this.#sum();
  }

  #append(entry) {
    let block = this.#list.lastElementChild;
    if (!block || block.childElementCount >= BLOCK) this.#list.append(block = make('ol'));
    const arrow = make('b', { in: '←', out: '→', note: '·' }[entry.way], { role: 'img' });
    entry.row = make('li', '', { className: entry.way, tabIndex: -1, entry });
    entry.row.append(make('time', clock(entry.time)), arrow, make('small'), make('p'));
    block.append(entry.row);
    this.#draw(entry);
  }

  #draw(entry) {
    const { row, way, data, bytes } = entry;
    const body = row.querySelector('p');
    row.hidden = !this.#matches(entry);
    if (way === 'note') return body.textContent = data();
    row.children[1].ariaLabel = t(way);
    row.children[2].textContent = `${typeof data === 'string' ? '' : 'bin '}${size(bytes)}`;
    const hex = this.#isHex(entry);
    body.classList.toggle('dump', hex);
    const rest = hex ? this.#drawHex(entry, body) : this.#drawText(entry, body);
    if (rest) body.append(button(bytes - (entry.more ?? 0) > SHOWN.more ? 'moreOf' : 'more', { size: size(bytes) }));
    else if (entry.more) body.append(button('less'));
    if (this.#filter && !row.hidden) this.#highlight(body);
  }

  /** @returns {boolean} whether there is more than what is shown */
  #drawHex({ data, more = 0 }, body) {
    const bytes = bytesOf(data);
    body.textContent = dump(bytes.subarray(0, SHOWN.hex + more), this.state.codec, NARROW.matches ? 8 : 16);
    return bytes.length > SHOWN.hex + more;
  }

  #drawText(entry, body) {
    const most = SHOWN.text + (entry.more ?? 0);
    const cut = entry.data.length > most;
    let text = this.#text(entry, most);
    // Half a character at the cut would look like broken bytes.
    if (cut) text = text.replace(/[\ud800-\udbff]$|[\udc00-\udcff]{1,3}$/u, '');
    const lines = text.split('\n', SHOWN.lines).join('\n');
    // The end of the last line is no line more.
    const tall = !entry.more && text.length > lines.length + 1;
    if (tall) text = lines;
    body.replaceChildren(...Array.from(pieces(text), ([piece, className]) => (className ? make('i', piece, { className }) : piece)));
    return cut || tall;
  }

  #matches(entry) {
    const has = (text) => text.toLowerCase().includes(this.#filter);
    if (!this.#filter) return true;
    if (entry.way === 'note') return has(entry.data());
    return has(this.#text(entry)) || (this.#isHex(entry) && has(grouped(bytesOf(entry.data))));
  }

  #highlight(body) {
    const { length } = this.#filter;
    const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    while (this.#found && texts.nextNode()) {
      const node = texts.currentNode;
      const text = node.data.toLowerCase();
      for (let at = text.indexOf(this.#filter); at >= 0; at = text.indexOf(this.#filter, at + length)) {
        this.#found.add(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + length }));
      }
    }
  }

  #sum() {
    const all = count(this.entries.length);
    const shown = this.#filter && count(this.#list.querySelectorAll('li:not([hidden])').length);
    $('count').textContent = this.#filter ? t('found', { n: shown, all }) : t('total', { n: all });
    $('empty').hidden = this.entries.length > 0;
    $('dropped').hidden = !this.#dropped;
    $('dropped').textContent = t('dropped', { n: count(this.#dropped) });
    $('jump').hidden = this.#pinned;
    $('jump').textContent = this.#unseen ? t('newestN', { n: count(this.#unseen) }) : t('newest');
  }

  /** Remembers where the list stands; says whether a person moved it up since. */
  #stand() {
    const { scrollTop, scrollHeight, clientHeight } = this.#view;
    const shape = `${scrollHeight} ${clientHeight}`;
    const byHand = scrollTop < this.#top && shape === this.#shape;
    this.#top = scrollTop;
    this.#shape = shape;
    return byHand;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#view;
    const below = scrollHeight - scrollTop - clientHeight;
    if (this.#stand() && below > 8) this.#pinned = false;
    else if (this.#pinned || below <= 8) this.newest();
    $('jump').hidden = this.#pinned;
  }

  /** Puts the buttons into the message that the person is at. */
  #offer(row) {
    if (!row || row.entry.way === 'note') return;
    this.#actions.firstChild.textContent = t('copy');
    this.#actions.lastChild.textContent = t(this.#isHex(row.entry) ? 'text' : 'hex');
    if (this.#actions.parentElement !== row) row.append(this.#actions);
  }

  /** @param what `copy`, `hex`, or else more or less of the message */
  #do(what, row) {
    const { entry } = row;
    if (what === 'copy') return toClipboard(this.#words(entry), this.#actions.firstChild);
    if (what === 'hex') entry.hex = !this.#isHex(entry);
    else if (row.querySelector('.less')) entry.more = 0;
    else if (row.querySelector('.more, .moreOf')) entry.more = (entry.more ?? 0) + SHOWN.more;
    this.#draw(entry);
    this.#offer(row);
    row.focus();
  }

  #key(event) {
    if (event.target.type === 'button' || event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.closest('li');
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const what = { c: 'copy', h: 'hex', Enter: 'more' }[event.key];
    if (step) {
      const rows = [...this.#list.querySelectorAll('li:not([hidden])')];
      rows.at(row ? Math.max(0, rows.indexOf(row) + step) : -1)?.focus();
    } else if (what && row && row.entry.way !== 'note') this.#do(what, row);
    else return;
    event.preventDefault();
  }
}
