// The page of a folder: ties its parts together.
//   files/list     the rows: sorted, searched, opened
//   files/preview  a look at a file
//   files/queue    uploads, a few at a time; files/upload is one of them
//   files/server   paths, the token, listings
import { $, make, remember, remembered } from './page/browser.js';
import { learn, speak, t } from './page/words.js';
import { dropped } from './files/dropped.js';
import { List } from './files/list.js';
import { leave } from './files/preview.js';
import { Queue } from './files/queue.js';
import { facts, link, list, useToken } from './files/server.js';
import { WORDS } from './files/words.js';
import { offerWire, toggleWire } from './wire/offer.js';

const chosen = { lang: navigator.language, theme: '', key: 'name', down: false, ...remembered(localStorage, 'files.chosen', {}) };
const KEYS = [['/', 'keySearch'], ['↑ ↓', 'keyRows'], ['Enter, Space', 'keyOpen'], ['Backspace', 'keyUp'], ['u', 'keyUpload'], ['w', 'keyWire'], ['?', 'keyHelp']];

let path = location.pathname.startsWith('/.sockeye/') ? '/' : location.pathname;
const rows = new List(open);
rows.sort = { key: chosen.key, down: chosen.down };
const queue = new Queue((upload) => {
  $('live').textContent = t('saved', { name: upload.path });
  if (upload.folder === path) again();
});
const folder = () => rows.folder;

function choose(what) {
  Object.assign(chosen, what);
  remember(localStorage, 'files.chosen', chosen);
}

function useLanguage() {
  $('lang').value = speak(chosen.lang);
  $('search').placeholder = t('search');
  const keys = KEYS.flatMap(([key, word]) => [make('dt', key), make('dd', t(word))]);
  $('keys-list').replaceChildren(...keys);
  if (folder()) rows.show();
  queue.show();
  where();
}

function useTheme() {
  document.documentElement.dataset.theme = $('theme').value = chosen.theme;
}

/** The way to this folder, each part of it a link. */
function where() {
  const root = folder()?.root ?? '/';
  const names = path.slice(root.length).split('/').filter(Boolean);
  let at = root;
  const parts = [crumb(t('home'), root, names.length === 0)];
  names.forEach((name, index) => {
    at += `${name}/`;
    parts.push(' / ', crumb(shown(name), at, index === names.length - 1));
  });
  $('path').replaceChildren(...parts);
  document.title = names.length ? `${shown(names.at(-1))} · sockeye` : 'sockeye';
}

function crumb(words, at, isHere) {
  const part = isHere ? make('b') : make('a', '', { href: link(at) });
  if (isHere) part.ariaCurrent = 'page';
  part.append(make('bdi', words));
  part.onclick = (event) => {
    if (isHere || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    open(at);
  };
  return part;
}

function shown(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function open(to) {
  history.pushState(null, '', to);
  $('search').value = '';
  enter(to);
}

/** The listing once more, soon: many files may land at once. */
let timer = 0;
function again() {
  clearTimeout(timer);
  timer = setTimeout(() => enter(path), 300);
}

async function enter(to) {
  path = to;
  try {
    const found = await list(to);
    if (path !== to) return;
    $('trouble').hidden = true;
    rows.use(found, to);
    $('put').hidden = !found.write;
    $('zip').href = link(to, 'archive=zip');
    $('tar').href = link(to, 'archive=tar.zst');
  } catch (problem) {
    if (path !== to) return;
    if (problem.status === 401) return $('ask').showModal();
    const why = problem instanceof Response ? `${problem.status} ${problem.statusText}` : t('unreachable');
    $('trouble').textContent = t('gone', { why });
    $('trouble').hidden = false;
  }
  where();
}

function upload(files) {
  if (folder()?.write && files.length > 0) queue.add(files, path);
}

function picked({ target }) {
  upload([...target.files].map((file) => [file, file.webkitRelativePath || file.name]));
  target.value = '';
}

function pressed(event) {
  const typing = event.target.matches('input, select, textarea');
  if (event.key === 'Escape' && event.target === $('search')) return $('search').blur();
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'ArrowDown' && event.target === $('search')) return act(event, () => rows.step(1));
  if (typing) return;
  const does = {
    '/': () => $('search').focus(),
    ArrowDown: () => rows.step(1),
    ArrowUp: () => rows.step(-1),
    Backspace: () => { if (path !== (folder()?.root ?? '/')) open(path.replace(/[^/]+\/$/, '')); },
    u: () => { if (folder()?.write) $('files').click(); },
    '?': () => $('keys').showModal(),
    w: toggleWire,
    ...(rows.current ? { ' ': () => rows.preview(rows.current) } : {}),
  }[event.key];
  if (does) act(event, does);
}

function act(event, does) {
  event.preventDefault();
  does();
}

function listen() {
  const on = (id, what, does) => $(id).addEventListener(what, does);
  on('lang', 'change', ({ target }) => { choose({ lang: target.value }); useLanguage(); });
  on('theme', 'change', ({ target }) => { choose({ theme: target.value }); useTheme(); });
  on('help', 'click', () => $('keys').showModal());
  on('search', 'input', () => rows.show());
  on('pick', 'click', () => $('files').click());
  on('pick-folder', 'click', () => $('folder').click());
  on('files', 'change', picked);
  on('folder', 'change', picked);
  on('look', 'close', leave);
  on('ask', 'close', () => { useToken($('token').value); enter(path); });
  for (const head of document.querySelectorAll('th[data-key]')) {
    head.onclick = () => { rows.sortBy(head.dataset.key); choose(rows.sort); };
  }
  addEventListener('keydown', pressed);
  addEventListener('popstate', () => enter(location.pathname));
  addEventListener('beforeunload', (event) => { if (queue.isBusy) event.preventDefault(); });
  let inside = 0;
  const over = (by) => { inside = Math.max(0, inside + by); $('over').hidden = !(inside && folder()?.write); };
  addEventListener('dragenter', (event) => { event.preventDefault(); over(1); });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('dragleave', () => over(-1));
  addEventListener('drop', async (event) => {
    event.preventDefault();
    inside = 0;
    over(0);
    upload(await dropped(event.dataTransfer));
  });
}

learn(WORDS);
useTheme();
useLanguage();
listen();
enter(path);
facts().then(offerWire);
