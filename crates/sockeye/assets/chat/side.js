// The lists beside the messages: rooms, conversations of two, and who is in the room.
import { $, make } from '../page/browser.js';
import { count, t } from '../page/words.js';
import { named, plain } from './show.js';

/** More names than this are counted and not listed. */
const MOST = 300;

export function showRooms(rooms, current, on) {
  const direct = rooms.filter((room) => room.isDirect);
  const looks = (room) => [room.number, room === current, room.unread, room.named, room.inside];
  fill($('rooms'), rooms.filter((room) => !room.isDirect), looks, (room) => row(room, current, on));
  fill($('direct'), direct, looks, (room) => row(room, current, on));
  $('direct-title').hidden = !direct.length;
  const elsewhere = rooms.filter((room) => room !== current).reduce((n, room) => n + room.unread, 0);
  $('elsewhere').hidden = !elsewhere;
  $('elsewhere').textContent = badge(elsewhere);
  const all = rooms.reduce((n, room) => n + room.unread, 0);
  document.title = `${all ? `(${badge(all)}) ` : ''}${current.title} · sockeye`;
}

const badge = (n) => (n > 99 ? '99+' : String(n));

function row(room, current, on) {
  const item = make('li', '', { className: [room === current && 'current', room.unread && 'unread', room.named && 'named', !room.inside && !room.isDirect && 'outside'].filter(Boolean).join(' ') });
  const button = make('button', '', { type: 'button', onclick: () => on.show(room) });
  if (room === current) button.ariaCurrent = 'true';
  if (room.isDirect) button.append(named(room.name, make('span', '', { className: 'name' })));
  else button.append(make('span', '#', { className: 'sign' }), label(room.name));
  if (room.unread) {
    button.append(make('b', badge(room.unread), { className: 'badge', ariaHidden: 'true' }), make('span', t('unreadN', { n: count(room.unread) }), { className: 'unseen' }));
  }
  const leave = t(room.isDirect ? 'closeDirect' : 'leave', { name: room.name, room: room.name });
  item.append(button, make('button', '×', { type: 'button', className: 'leave', title: leave, ariaLabel: leave, onclick: () => on.leave(room) }));
  return item;
}

function label(text) {
  const element = make('span', '', { className: 'label', dir: 'auto' });
  element.append(...plain(text));
  return element;
}

export function showPeople(room, me, on) {
  const people = room.isDirect ? [] : [...room.people].sort(([a], [b]) => (b === me) - (a === me) || a.localeCompare(b));
  $('people-title').textContent = t('peopleN', { n: count(people.length) });
  $('how-many').textContent = count(people.length);
  $('open-people').ariaLabel = $('open-people').title = t('peopleN', { n: count(people.length) });
  const looks = ([name, facts]) => [name, facts.muted, room.owners.has(name), name === me];
  fill($('names'), people.slice(0, MOST), looks, ([name, facts]) => person(room, name, facts, me, on));
  $('more-people').textContent = people.length > MOST ? `+ ${count(people.length - MOST)}` : '';
}

function person(room, name, { muted }, me, on) {
  const item = make('li');
  const signs = [name === me && t('you'), room.owners.has(name) && t('owner'), muted && t('muted')].filter(Boolean);
  const button = make('button', '', { type: 'button', disabled: name === me, onclick: () => on.direct(name) });
  button.append(named(name, make('span', '', { className: 'name' })));
  if (signs.length) button.append(make('small', signs.join(', ')));
  item.append(button);
  return item;
}

/** Makes a row of each of `things`; those that look as before stay what they are, so that a click on them is not lost. */
function fill(list, things, looks, make) {
  const old = [...list.children];
  const at = old.findIndex((row) => row.contains(document.activeElement));
  const kept = new Map(old.map((row) => [row.dataset.looks, row]));
  const rows = things.map((thing) => {
    const look = JSON.stringify([document.documentElement.lang, ...looks(thing)]);
    const row = kept.get(look) ?? make(thing);
    row.dataset.looks = look;
    return row;
  });
  if (rows.length === old.length && rows.every((row, n) => row === old[n])) return;
  list.replaceChildren(...rows);
  if (at >= 0) rows[Math.min(at, rows.length - 1)]?.querySelector('button').focus();
}
