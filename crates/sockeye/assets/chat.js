// The chat: puts the conversation with the server, the rooms, and what is shown of them together.
import { Chat } from './chat/chat.js';
import { askName, askTopic, nameDialog, showSettings, Switcher, topicDialog } from './chat/dialogs.js';
import { completed } from './chat/commands.js';
import { Log } from './chat/log.js';
import { Search } from './chat/search.js';
import { showPeople, showRooms } from './chat/side.js';
import { plain } from './chat/show.js';
import './chat/words.js';
import { $, remember, remembered } from './page/browser.js';
import { Link } from './page/link.js';
import { KEY, protocols, Socket } from './page/socket.js';
import { Transport } from './page/transport.js';
import { count, meaning, speak, t } from './page/words.js';
import { offerWire } from './wire/offer.js';

/** Where the lists lie over the messages. */
const NARROW = matchMedia('(max-width: 44rem)');
const chosen = { lang: navigator.language, theme: '', notify: false, over: 'ws', ...remembered(localStorage, 'chat.chosen', {}) };
const asked = new URLSearchParams(location.search);
const token = takeToken();
let facts = {};
/** Whether WebTransport came to nothing on this visit. */
let fallen = false;

const chat = new Chat((on) => new Link(open, on), {
  changed: () => { showAll(); },
  room: (room, isNews) => { log.changed(room, isNews); showSoon(); },
  state: showState,
  news: tell,
  show,
  name: (error) => askName(chat.me, error),
  error: showError,
}, asked);
const log = new Log({
  me: () => chat.me,
  earlier: (room, gap) => chat.earlier(room, gap),
  again: (line) => chat.again(line),
  discard: (line) => chat.discard(line),
  enter: (room) => chat.enter(room.name),
  seen: () => chat.seen(chat.current),
});
const search = new Search(chat, log);
const switcher = new Switcher(places, (name) => ({ title: `#${name}`, kind: t('goNew', { name }), go: () => chat.enter(name) }));

/** The token of `#token=…`, which must not stay where it can be read or shared. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token) return remembered(sessionStorage, 'token', '');
  history.replaceState(null, '', location.pathname + location.search);
  remember(sessionStorage, 'token', token);
  return token;
}

/** What carries the chat: as was chosen, or else a WebSocket. */
async function open() {
  // The certificate may be another one since: without its hash now there is nothing to try.
  if (chosen.over === 'wt' && !fallen && await askFacts() && !lacks()) {
    try {
      return await ready(new Transport(transportUrl(), facts.webtransport.sha256));
    } catch {
      fallen = true;
    }
  }
  return ready(new Socket(`${location.origin.replace('http', 'ws')}/?view=json`, protocols(token)));
}

async function ready(carrier) {
  await carrier.ready;
  return carrier;
}

function transportUrl() {
  const { hostname, port, protocol } = location;
  const query = token && `&token=${encodeURIComponent(token)}`;
  return `https://${hostname}:${port || (protocol === 'https:' ? 443 : 80)}/?view=json${facts.trace ? `&wire=${KEY}` : ''}${query}`;
}

/** The word for what there is no WebTransport without. */
const lacks = () => (!('WebTransport' in window) ? 'wtBrowser' : !facts.webtransport && 'wtServer');

/** Shows a room, and takes what is written in the other one along with that one. */
function show(room) {
  if (log.room) log.room.draft = $('input').value;
  $('input').value = room.draft;
  document.body.classList.toggle('direct', room.isDirect);
  drawers();
  log.show(room);
  search.close();
  showError('');
  showAll();
  if (!NARROW.matches) $('input').focus();
}

let soon = 0;

/** Lists are drawn a few times a second however much happens; timers also run where nobody looks. */
function showSoon() {
  soon ||= setTimeout(() => { soon = 0; showAll(); }, 120);
}

function showAll() {
  const room = chat.current;
  if (!room) return;
  showRooms([...chat.rooms.values()], room, { show: (to) => chat.show(to), leave: (from) => chat.leave(from) });
  showPeople(room, chat.me, { direct: (name) => chat.show(chat.direct(name)) });
  put($('room'), room.title);
  put($('topic'), room.isDirect ? '' : room.topic || t('noTopic'));
  $('topic').classList.toggle('none', !room.topic);
  $('topic').title = room.topic;
  put($('me'), chat.me || '…');
  $('input').placeholder = t('write', { to: room.isDirect ? room.name : room.title });
  $('input').ariaLabel = $('input').placeholder;
  switcher.show();
}

/** Writes only what is new. */
function put(element, text) {
  if (element.textContent !== text) element.replaceChildren(...plain(text));
}

function showState() {
  const { link, welcomed } = chat.session;
  document.body.dataset.state = welcomed ? 'open' : link.state;
  const isFine = welcomed || chat.waitsForName;
  $('trouble').hidden = isFine;
  $('now').hidden = link.state !== 'waiting' && link.state !== 'closed';
  if (isFine) return;
  const why = link.ending && `${meaning(link.ending.meaning)}${link.ending.reason ? ` (${link.ending.reason})` : ''}`;
  const words = link.state === 'waiting' ? t('lost', { n: link.left }) : link.state === 'closed' ? t('lostFor', { why }) : t('lostNow');
  put($('trouble').firstElementChild, words);
}

function showError(text) {
  put($('error'), text);
  $('error').hidden = !text;
  $('input').ariaInvalid = String(Boolean(text));
}

/** A line for us: to those who cannot see it, and to those who look elsewhere. */
function tell(room, { from, text }) {
  const isHere = room === chat.current;
  $('live').textContent = `${isHere ? '' : `${room.title}: `}${from}: ${text}`;
  if (!document.hidden || !chosen.notify || globalThis.Notification?.permission !== 'granted') return;
  const title = room.isDirect ? from : `${from} · ${room.title}`;
  const notification = new Notification(title, { body: text, tag: room.title });
  notification.onclick = () => { focus(); chat.show(room); notification.close(); };
}

async function toggleNotify() {
  const can = 'Notification' in globalThis && isSecureContext;
  const allowed = can && (Notification.permission === 'granted' || await Notification.requestPermission() === 'granted');
  choose({ notify: allowed && !chosen.notify });
  showNotify();
  if (!allowed) showError(t('notifyNo'));
}

function showNotify() {
  const on = chosen.notify && globalThis.Notification?.permission === 'granted';
  $('notify').ariaPressed = String(on);
  $('notify').ariaLabel = $('notify').title = t(on ? 'notifyOn' : 'notify');
}

function send() {
  const wrong = chat.write($('input').value);
  showError(wrong?.error ?? '');
  if (wrong?.error) return;
  if (wrong?.show) bring(wrong);
  $('input').value = '';
  log.end();
}

function bring({ show: what, words }) {
  ({
    topic: () => askTopic(chat.current), search: () => search.open(words), people: () => drawers('people', true),
    rooms: goTo, help: settings,
  })[what]();
}

function goTo() {
  switcher.open();
  chat.askRooms().then(() => switcher.show());
}

function places() {
  const mine = [...chat.rooms.values()].map((room) => ({
    title: room.isDirect ? `@${room.name}` : room.title, kind: t(room.isDirect ? 'goPerson' : 'goRoom'), unread: room.unread, go: () => chat.show(room),
  }));
  const others = chat.others.filter(({ room }) => !chat.rooms.has(`#${room}`))
    .map(({ room, people }) => ({ title: `#${room}`, kind: t('goOther', { n: count(people) }), go: () => chat.enter(room) }));
  const people = [...new Set([...chat.rooms.values()].flatMap((room) => [...room.people.keys()]))]
    .filter((name) => name !== chat.me && !chat.rooms.has(`@${name}`))
    .map((name) => ({ title: `@${name}`, kind: t('goPerson'), go: () => chat.show(chat.direct(name)) }));
  return [...mine, ...others, ...people];
}

function settings() {
  settingsWords();
  $('more').showModal();
}

function settingsWords() {
  showSettings(chat.keeps, facts.ways ?? []);
  const lack = facts.service !== undefined && lacks();
  $('over').value = chosen.over;
  $('over').disabled = Boolean(lack);
  $('over').title = lack ? t(lack) : '';
}

/** Opens one of the lists where they lie over the messages, and closes the other; beside the messages it shows or hides. */
function drawers(which = '', toggles = false) {
  for (const side of ['side', 'people']) {
    const opens = side === which && !(toggles === false && document.body.classList.contains(side));
    document.body.classList.toggle(side, opens);
    $(`open-${side}`).ariaExpanded = String(opens);
  }
  $('shade').hidden = !which || !document.body.classList.contains(which);
  if (which) $(which).querySelector('li button:not(:disabled)')?.focus();
  if (which === 'people') chat.askWho(chat.current);
}

function choose(what) {
  Object.assign(chosen, what);
  remember(localStorage, 'chat.chosen', chosen);
}

function useLanguage() {
  $('lang').value = speak(chosen.lang);
  $('words').placeholder = t('searchRoom');
  $('go-words').placeholder = t('goTo');
  showNotify();
  showState();
  log.redraw();
  showAll();
}

function useTheme() {
  document.documentElement.dataset.theme = $('theme').value = chosen.theme;
}

/** Whether the server has told them: the page works without, too. */
async function askFacts() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const asking = fetch('/.sockeye/facts.json', { headers, cache: 'no-store' });
  const told = await asking.then((answer) => answer.ok && answer.json()).catch(() => null);
  if (told) facts = told;
  offerWire(facts);
  return Boolean(told);
}

function complete(event) {
  const { value, selectionStart } = $('input');
  const names = [...chat.current.people.keys(), ...chat.rooms.keys()].map((name) => name.replace(/^[#@]/u, ''));
  const whole = completed(value, selectionStart, [...new Set(names)].filter((name) => name !== chat.me));
  if (!whole) return;
  event.preventDefault();
  [$('input').value] = whole;
  $('input').setSelectionRange(whole[1], whole[1]);
}

function key(event) {
  const { key: pressed, ctrlKey, metaKey, altKey, shiftKey, target } = event;
  const isModal = document.querySelector('dialog[open]');
  const isInput = target === $('input');
  if ((ctrlKey || metaKey) && pressed.toLowerCase() === 'k') goTo();
  else if (isModal) return;
  else if ((ctrlKey || metaKey) && pressed.toLowerCase() === 'f' && target !== $('words')) search.open();
  else if (altKey && /^Arrow(Up|Down)$/.test(pressed)) chat.step(pressed === 'ArrowDown' ? 1 : -1);
  else if (pressed === 'Escape') leave();
  else if (/^Page(Up|Down)$/.test(pressed)) log.page(pressed === 'PageUp' ? -1 : 1);
  else if (isInput && pressed === 'Enter' && !shiftKey && !event.isComposing) send();
  else if (isInput && pressed === 'Tab' && !shiftKey) return complete(event);
  else return;
  event.preventDefault();
}

function leave() {
  search.close();
  drawers();
  write();
}

/** Back to writing. A field that a dialog gave the focus back to has it without a cursor in Chromium. */
function write() {
  $('input').blur();
  if (!NARROW.matches) $('input').focus();
}

function wire() {
  const on = (id, what, then) => $(id).addEventListener(what, then);
  on('composer', 'submit', (event) => { event.preventDefault(); send(); $('input').focus(); });
  on('find', 'click', goTo);
  on('open-side', 'click', () => drawers('side'));
  on('open-people', 'click', () => drawers('people'));
  on('shade', 'click', () => drawers());
  on('topic', 'click', () => askTopic(chat.current));
  on('notify', 'click', toggleNotify);
  on('open-search', 'click', () => (search.isOpen ? search.close() : search.open()));
  on('now', 'click', () => chat.session.link.change());
  on('me', 'click', () => askName(chat.me));
  on('settings', 'click', settings);
  on('lang', 'change', ({ target }) => { choose({ lang: target.value }); useLanguage(); settingsWords(); });
  on('theme', 'change', ({ target }) => { choose({ theme: target.value }); useTheme(); });
  on('over', 'change', ({ target }) => { choose({ over: target.value }); fallen = false; chat.session.link.change(); });
  nameDialog({ enter: (name, password) => chat.enterAs(name, password), guest: () => chat.enterAs() });
  topicDialog((text) => chat.order({ do: 'topic', room: chat.current.name, text }));
  for (const dialog of document.querySelectorAll('dialog')) dialog.addEventListener('close', write);
  document.addEventListener('keydown', key);
  document.addEventListener('visibilitychange', () => { if (!document.hidden && log.isAtEnd) chat.seen(chat.current); });
}

wire();
useTheme();
chat.begin();
useLanguage();
askFacts();
setInterval(showState, 1_000);
