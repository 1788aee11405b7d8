// How names, texts and times look. Nothing that a person wrote is ever markup: it goes in as text.
import { make } from '../page/browser.js';
import { pieces } from '../page/text.js';
import { t } from '../page/words.js';

const LINK = /https?:\/\/[^\s<>"“”]+/giu;
/** What ends a sentence and not an address; a closing bracket stays if it was opened. */
const AFTER = /[.,;:!?'’。，；：！？、…]+$/u;

/** A hue for `name`, the same for everyone everywhere (FNV-1a). */
function hue(name) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  // Low bits alone would put `ann` beside `anna`.
  return (hash ^ hash >>> 15) % 360;
}

export function named(name, element = make('b', '', { className: 'name' })) {
  element.replaceChildren(...plain(name));
  element.dir = 'auto';
  element.style.setProperty('--hue', hue(name));
  return element;
}

/** The first character of a name in its colour: decoration. */
export function face(name) {
  const first = [...new Intl.Segmenter().segment(name)][0]?.segment ?? '?';
  const element = make('span', '', { className: 'face', ariaHidden: 'true' });
  element.append(...plain(first.toUpperCase()));
  element.style.setProperty('--hue', hue(name));
  return element;
}

/** `text` as nodes; what must not act is seen, and addresses of the web can be clicked. */
export function rich(text) {
  const nodes = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const url = trimmed(found);
    if (!URL.canParse(url)) continue;
    nodes.push(...plain(text.slice(from, index)));
    const link = make('a', '', { href: url, target: '_blank', rel: 'noopener noreferrer' });
    link.append(...plain(url));
    nodes.push(link);
    from = index + url.length;
  }
  nodes.push(...plain(text.slice(from)));
  return nodes;
}

export function plain(text) {
  return [...pieces(text)].map(([piece, kind]) => (kind === 'mark' ? make('i', piece) : document.createTextNode(piece)));
}

function trimmed(url) {
  for (;;) {
    const last = url.at(-1);
    const open = { ')': '(', ']': '[', '）': '（' }[last];
    const cut = open && !url.includes(open) ? url.slice(0, -1) : url.replace(AFTER, '');
    if (cut === url) return url;
    url = cut;
  }
}

const tag = () => document.documentElement.lang;

/** `14:03` */
export const minute = (time) => new Date(time).toLocaleTimeString(tag(), { hour: '2-digit', minute: '2-digit', hour12: false });

export const moment = (time) => new Date(time).toLocaleString(tag(), { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

/** `Today`, `Friday, 20 November 2026` */
export function day(time) {
  const [date, now] = [new Date(time), new Date()];
  if (isSameDay(date, now)) return t('today');
  if (isSameDay(date, new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1))) return t('yesterday');
  return date.toLocaleDateString(tag(), { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
}

export const isSameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

/** Whether `text` has `name` as a word: a name of letters that stand alone, any other anywhere. */
export function names(text, name) {
  const [all, one] = [text.toLowerCase(), name.toLowerCase()];
  const isLetter = (character) => character !== undefined && /[\p{L}\p{N}_]/u.test(character) && !/\p{scx=Han}/u.test(character);
  for (let at = all.indexOf(one); one && at >= 0; at = all.indexOf(one, at + 1)) {
    if (!(isLetter(all[at - 1]) && isLetter(one[0])) && !(isLetter(all[at + one.length]) && isLetter(one.at(-1)))) return true;
  }
  return false;
}
