// Finding what was said in the room that is shown.
import { $, make } from '../page/browser.js';
import { count, t } from '../page/words.js';
import { moment, named, plain } from './show.js';

const MOST = 50;
/** The person stops typing for this long before the server is asked, in milliseconds. */
const PAUSE = 250;

export class Search {
  isOpen = false;
  #soon = 0;
  #asked = 0;

  constructor(chat, log) {
    Object.assign(this, { chat, log });
    $('words').addEventListener('input', () => { clearTimeout(this.#soon); this.#soon = setTimeout(() => this.#ask(), PAUSE); });
    $('search').addEventListener('submit', (event) => { event.preventDefault(); this.#ask(); });
    $('close-search').addEventListener('click', () => { this.close(); $('input').focus(); });
  }

  open(words = '') {
    this.#toggle(true);
    if (words) $('words').value = words;
    $('words').focus();
    $('words').select();
    if (words) this.#ask();
  }

  close() {
    if (!this.isOpen) return;
    this.#toggle(false);
    this.#asked += 1;
    $('words').value = '';
    $('found').replaceChildren();
  }

  #toggle(open) {
    this.isOpen = open;
    $('search').hidden = !open;
    $('open-search').ariaExpanded = String(open);
  }

  async #ask() {
    clearTimeout(this.#soon);
    const words = $('words').value.trim();
    const asked = this.#asked += 1;
    if (!words) return $('found').replaceChildren();
    const room = this.chat.current;
    const lines = room.isDirect ? here(room, words) : await this.#there(room, words);
    // Another question has been asked meanwhile.
    if (asked !== this.#asked) return undefined;
    const head = !lines.length ? t('foundNone') : lines.length < MOST ? t('foundN', { n: count(lines.length) }) : t('foundMore', { n: MOST });
    return $('found').replaceChildren(make('li', head, { className: 'count', role: 'status' }), ...lines.map((line) => this.#row(room, line)));
  }

  async #there(room, words) {
    const answer = await this.chat.session.ask({ do: 'history', room: room.name, words, limit: MOST });
    if (answer?.event === 'refused') this.chat.on.error(answer.text);
    return (answer?.lines ?? []).toReversed();
  }

  #row(room, line) {
    const row = make('li');
    const button = make('button', '', { type: 'button', onclick: () => this.#goTo(room, line.id) });
    const text = make('span', '', { dir: 'auto' });
    text.append(...plain(line.text));
    button.append(named(line.from), make('time', moment(line.time)), text);
    row.append(button);
    return row;
  }

  async #goTo(room, id) {
    if (!room.find(id)) await this.chat.around(room, id);
    if (this.chat.current === room) this.log.goTo(id);
  }
}

function here(room, words) {
  const all = words.toLowerCase().split(/\s+/u);
  const has = ({ text = '' }) => all.every((word) => text.toLowerCase().includes(word));
  return room.items.filter((item) => item.from !== undefined && has(item)).toReversed().slice(0, MOST);
}
