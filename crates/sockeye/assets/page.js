// The console page: puts the log, the composer, the connection and its facts together.
import { Composer } from './page/composer.js';
import { Facts, OVER } from './page/facts.js';
import { Link } from './page/link.js';
import { Log } from './page/log.js';
import { KEY, protocols, Socket } from './page/socket.js';
import { Transport } from './page/transport.js';
import { $, download, make, remember, remembered, toClipboard } from './page/browser.js';
import { bytesOf, codec } from './page/text.js';
import { count, speak, t } from './page/words.js';
import { offerWire, toggleWire } from './wire/offer.js';

const KEYS = {
  'Enter  Shift+Enter': 'keySend', '↑  ↓': 'keyHistory', '/': 'keySearch', i: 'keyInput', 'Ctrl+L': 'keyClear', w: 'keyWire',
  'Tab  ↑  ↓': 'keyRows', 'c  h  Enter': 'keyRow', Esc: 'keyLeave', '?': 'keyHelp',
};
/** How often what came in is told to screen readers, in milliseconds. */
const TELL = 4_000;
/** Where the details have room beside the messages. */
const WIDE = matchMedia('(min-width: 64rem)');

/** What the person chose, kept for the next visit; and what the server said of itself. */
const state = {
  chosen: { lang: navigator.language, theme: '', eol: '', view: 'text', again: true, over: 'ws', ...remembered(localStorage, 'chosen', {}) },
  ending: null,
  facts: {},
  codec: codec('UTF-8'),
  token: takeToken(),
  told: 0,
  /** Why WebTransport came to nothing, and whether WebSocket has taken its place. */
  failed: '',
  fallen: false,
};
const log = new Log(state);
const link = new Link(open, { changed, received });
const composer = new Composer(state, link, sent);
const facts = new Facts(state, link);

/** The token of `#token=…`, which must not stay where it can be read or shared. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token) return remembered(sessionStorage, 'token', '');
  history.replaceState(null, '', location.pathname + location.search);
  remember(sessionStorage, 'token', token);
  return token;
}

/** What carries the messages: as was chosen, or else a WebSocket. */
async function open() {
  state.failed = '';
  if (state.chosen.over === 'wt' && !state.fallen) {
    // The certificate may be another one since: without its hash now there is nothing to try.
    if (!await askFacts()) throw new Error();
    const lack = lacks();
    try {
      if (lack) throw new Error(t(lack));
      return await ready(new Transport(transportUrl(), state.facts.webtransport.sha256));
    } catch ({ message }) {
      state.failed = message || t('c0');
    }
  }
  return ready(new Socket(`${location.origin.replace('http', 'ws')}/`, protocols(state.token)));
}

async function ready(carrier) {
  await carrier.ready;
  return carrier;
}

function transportUrl() {
  const { hostname, port, protocol } = location;
  const query = [state.token && `token=${encodeURIComponent(state.token)}`, state.facts.trace && `wire=${KEY}`].filter(Boolean).join('&');
  return `https://${hostname}:${port || (protocol === 'https:' ? 443 : 80)}/${query && `?${query}`}`;
}

/** The word for what there is no WebTransport without. */
const lacks = () => (!('WebTransport' in window) ? 'wtBrowser' : !state.facts.webtransport && 'wtServer');

function useOver() {
  const lack = state.facts.service !== undefined && lacks();
  for (const radio of document.querySelectorAll('[name=over]')) {
    radio.checked = radio.value === state.chosen.over;
    radio.disabled = Boolean(lack) && radio.value === 'wt';
  }
  $('over-why').textContent = lack ? t(lack) : '';
  $('over-why').hidden = !lack;
}

function changed() {
  const { ending } = link;
  if (link.state === 'open') {
    const why = state.failed;
    if (why) log.add('note', () => t('fallen', { why }));
    state.fallen ||= Boolean(why);
    log.add('note', () => `${t('open')}: ${OVER[link.carrier.over]}`);
    askFacts();
  } else if (ending && ending !== state.ending) {
    log.add('note', () => `${ending.meaning ? `${t('closed')}: ` : ''}${facts.ending(ending)}`);
    composer.stop();
    // Who may not connect may see all the same what crosses the wire.
    if (!state.facts.service) askFacts();
  }
  state.ending = ending;
  $('live').textContent = t(link.state, { n: link.left });
  facts.show();
}

function received(data) {
  const bytes = bytesOf(data).length;
  link.count('in', bytes);
  // A stream has no kinds of messages: what can be read as text is text.
  const stream = link.carrier.over === 'wt' && state.codec.name === 'utf-8';
  log.add('in', stream ? asText(data) : data, bytes);
}

function asText(data) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return data;
  }
}

function sent(data, bytes) {
  link.count('out', bytes);
  log.add('out', data, bytes);
}

/** Whether the server has told them: the page works without, too. */
async function askFacts() {
  const headers = state.token ? { authorization: `Bearer ${state.token}` } : {};
  const asking = fetch('/.sockeye/facts.json', { headers, cache: 'no-store' });
  const told = await asking.then((answer) => answer.ok && answer.json()).catch(() => null);
  if (told) state.facts = told;
  offerWire(state.facts);
  offerEncodings();
  useOver();
  facts.show();
  return Boolean(told);
}

/** The encodings of the server that this browser has, too. The server's own is chosen until another is. */
function offerEncodings() {
  const { encodings = [], encoding = 'UTF-8' } = state.facts;
  const chosen = state.encoding ?? encoding;
  const known = [...new Set([encoding, ...encodings])].filter(exists);
  $('encoding').replaceChildren(...known.map((name) => new Option(name, name, false, name === chosen)));
  useEncoding();
}

function exists(name) {
  try {
    return codec(name);
  } catch {
    return false;
  }
}

function useEncoding() {
  state.codec = codec($('encoding').value);
  log.redraw();
}

function choose(what) {
  Object.assign(state.chosen, what);
  remember(localStorage, 'chosen', state.chosen);
}

function useLanguage() {
  $('lang').value = speak(state.chosen.lang);
  $('keys-list').replaceChildren(...Object.entries(KEYS).flatMap(([keys, key]) => [make('dt', keys), make('dd', t(key))]));
  $('search').placeholder = t('search');
  composer.show();
  useOver();
  facts.show();
  log.redraw();
}

function useTheme() {
  document.documentElement.dataset.theme = $('theme').value = state.chosen.theme;
}

function toggleDetails(open) {
  $('facts').hidden = !open;
  $('details').ariaExpanded = open;
}

function tell() {
  const n = link.counters.in.n - state.told;
  if (n) $('live').textContent = t('heard', { n: count(n) });
  state.told += n;
}

const SHORTCUTS = {
  '/': () => $('search').focus(),
  i: () => $('input').focus(),
  w: toggleWire,
  '?': () => $('keys').showModal(),
};

function key(event) {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !/radio|checkbox/.test(event.target.type);
  if (event.ctrlKey && event.key === 'l') log.clear();
  else if (event.key === 'Escape' && !$('keys').open) leave(event.target);
  else if (!typing && !event.ctrlKey && !event.altKey && !event.metaKey && SHORTCUTS[event.key]) SHORTCUTS[event.key]();
  else return;
  event.preventDefault();
}

function leave(from) {
  if (from === $('search') && from.value) {
    from.value = '';
    return log.filter('');
  }
  (from === $('input') ? $('view') : $('input')).focus();
}

function wire() {
  const on = (id, what, then) => $(id).addEventListener(what, then);
  on('connect', 'click', () => (link.state === 'open' || link.state === 'connecting' ? link.disconnect() : link.connect()));
  on('details', 'click', () => toggleDetails($('facts').hidden));
  on('search', 'input', ({ target }) => log.filter(target.value));
  on('encoding', 'change', ({ target }) => { state.encoding = target.value; useEncoding(); });
  on('copy', 'click', ({ target }) => toClipboard(log.asText(), target));
  on('save-txt', 'click', () => download('txt', log.asText()));
  on('save-jsonl', 'click', () => download('jsonl', log.asJson()));
  on('clear', 'click', () => log.clear());
  on('help', 'click', () => $('keys').showModal());
  on('lang', 'change', ({ target }) => { choose({ lang: target.value }); useLanguage(); });
  on('theme', 'change', ({ target }) => { choose({ theme: target.value }); useTheme(); });
  on('eol', 'change', ({ target }) => choose({ eol: target.value }));
  on('reconnect', 'change', ({ target }) => { choose({ again: target.checked }); link.keep(target.checked); });
  for (const radio of document.querySelectorAll('[name=over]')) {
    radio.addEventListener('change', () => {
      choose({ over: radio.value });
      state.fallen = false;
      link.change();
    });
  }
  for (const radio of document.querySelectorAll('[name=view]')) {
    radio.addEventListener('change', () => { choose({ view: radio.value }); log.redraw(); });
    radio.checked = radio.value === state.chosen.view;
  }
  WIDE.addEventListener('change', ({ matches }) => toggleDetails(matches));
  document.addEventListener('keydown', key);
}

wire();
$('eol').value = state.chosen.eol;
$('reconnect').checked = link.again = state.chosen.again;
toggleDetails(WIDE.matches);
useTheme();
offerEncodings();
useLanguage();
link.connect();
setInterval(tell, TELL);
