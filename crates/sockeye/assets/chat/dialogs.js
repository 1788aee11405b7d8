// What is asked in between: a name, where to go, a topic; and the settings.
import { $, make, toClipboard } from '../page/browser.js';
import { count, t } from '../page/words.js';
import { named, plain } from './show.js';

/** @param on `enter(name, password)`: gives what is wrong, or nothing; `guest()` */
export function nameDialog(on) {
  const dialog = $('ask-name');
  const form = dialog.querySelector('form');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const [name, password] = [$('name').value.trim(), $('password').value];
    if (!name) return $('name').focus();
    const wrong = await on.enter(name, password);
    if (!wrong) return dialog.close();
    nameError(wrong);
  });
  $('as-guest').addEventListener('click', () => { dialog.close(); on.guest(); });
  // Escape is the same as not choosing a name.
  dialog.addEventListener('cancel', () => on.guest());
  dialog.addEventListener('close', () => { $('password').value = ''; });
}

export function nameError(text) {
  $('name-error').replaceChildren(...plain(text));
  const isPassword = document.activeElement === $('password');
  (isPassword ? $('password') : $('name')).focus();
}

export function askName(name, error = '') {
  $('as-guest').textContent = name ? t('stay', { name }) : t('asGuest');
  $('name-error').textContent = '';
  if (!$('ask-name').open) $('ask-name').showModal();
  if (error) nameError(error);
  else $('name').select();
}

/** Asks where to go: `places()` gives `[{title, kind, go}]`, `otherwise(words)` one more for what is none of them. */
export class Switcher {
  #places = [];
  #at = 0;

  constructor(places, otherwise) {
    Object.assign(this, { places, otherwise });
    $('go-words').addEventListener('input', () => { this.#at = 0; this.show(); });
    $('go-words').addEventListener('keydown', (event) => this.#key(event));
    $('go').querySelector('form').addEventListener('submit', (event) => { event.preventDefault(); this.#go(this.#at); });
  }

  open() {
    $('go-words').value = '';
    this.#at = 0;
    if (!$('go').open) $('go').showModal();
    this.show();
  }

  show() {
    if (!$('go').open) return;
    const words = $('go-words').value.trim().toLowerCase();
    const bare = words.replace(/^[#@]/u, '');
    const all = this.places();
    this.#places = all.filter(({ title }) => title.toLowerCase().includes(words) || title.toLowerCase().slice(1).startsWith(bare));
    if (bare && !all.some(({ title }) => title.toLowerCase() === `#${bare}`)) this.#places.push(this.otherwise($('go-words').value.trim().replace(/^#/u, '')));
    this.#places.splice(50);
    $('go-list').replaceChildren(...this.#places.map((place, at) => this.#row(place, at)));
    $('go-words').setAttribute('aria-activedescendant', `go-${this.#at}`);
    document.getElementById(`go-${this.#at}`)?.scrollIntoView({ block: 'nearest' });
  }

  #row({ title, kind, unread }, at) {
    const row = make('li', '', { id: `go-${at}`, role: 'option', ariaSelected: String(at === this.#at), onclick: () => this.#go(at) });
    row.append(title.startsWith('@') ? named(title.slice(1), make('span', '', { className: 'name' })) : label(title), make('small', kind));
    if (unread) row.append(make('b', String(unread), { className: 'badge' }));
    return row;
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.#at = (this.#at + step + this.#places.length) % this.#places.length || 0;
    this.show();
  }

  #go(at) {
    const place = this.#places[at];
    if (!place) return;
    $('go').close();
    place.go();
  }
}

function label(text) {
  const element = make('span', '', { dir: 'auto' });
  element.append(...plain(text));
  return element;
}

export function topicDialog(set) {
  const dialog = $('ask-topic');
  dialog.querySelector('form').addEventListener('submit', () => set($('topic-text').value.trim()));
  dialog.querySelector('[data-close]').addEventListener('click', () => dialog.close());
}

export function askTopic(room) {
  $('topic-title').textContent = t('topicOf', { room: room.name });
  $('topic-text').value = room.topic;
  $('ask-topic').showModal();
  $('topic-text').select();
}

const KEYS = {
  'Enter  Shift+Enter': 'keySend', 'Ctrl+K': 'keyGo', 'Alt+↑  Alt+↓': 'keyNext', 'PageUp  PageDown': 'keyPage',
  'Ctrl+F': 'keyFind', Esc: 'keyLeaveChat', '/': 'keyCommands',
};

/** What the settings tell: keys, what is kept, and how else to come in. */
export function showSettings(keeps, ways) {
  $('keys').replaceChildren(...Object.entries(KEYS).flatMap(([keys, key]) => [make('dt', keys), make('dd', t(key))]));
  $('promise').replaceChildren(...plain(keeps ? kept(keeps) : ''));
  $('ways').replaceChildren(...ways.map((way) => {
    const row = make('li');
    const code = make('code');
    code.append(...plain(way));
    const copy = make('button', t('copy'), { type: 'button', onclick: () => toClipboard(way, copy) });
    row.append(code, copy);
    return row;
  }));
}

function kept({ lines, days, promise }) {
  const what = [lines && t('keepsLines', { n: count(lines) }), days && t('keepsDays', { n: count(days) })].filter(Boolean);
  return [promise && t('promise', { promise }), what.length ? t('keeps', { what: what.join(', ') }) : t('keepsAll')].filter(Boolean).join(' ');
}
