// The view of the wire: a panel under any page, the lines that fill it, and what the keys and buttons do.
import { $, download, make, remembered } from '../page/browser.js';
import { KEY } from '../page/socket.js';
import { speak, t } from '../page/words.js';
import { Flow, whole } from './flow.js';
import { Picture } from './picture.js';
import './words.js';

/** How long it waits before it asks again, and how often it draws at most, in milliseconds. */
const PAUSE = 2_000;
const FRAME = 60;
/** As many flows are kept, and as many lines to be saved. */
const FLOWS = 64;
const LINES = 20_000;
const SEES = { all: 'seesAll', own: 'seesOwn', none: 'seesNothing' };

const state = { flows: new Map(), lines: [], missed: 0, zoom: 1, chosen: null, note: 'asking' };
let asking;
let picture;

/** Shows the view, or hides it and asks for nothing any more. Whether it is shown now. */
export function toggle() {
  if (!$('wire')) build();
  const shows = $('wire').hidden;
  $('wire').hidden = !shows;
  document.body.classList.toggle('wired', shows);
  if (shows) {
    asking = new AbortController();
    ask(asking.signal);
    $('wire-view').focus();
  } else {
    asking.abort();
  }
  return shows;
}

function build() {
  document.head.append(make('link', '', { rel: 'stylesheet', href: '/.sockeye/wire.css' }));
  const button = (id, word, text, act) => {
    const made = make('button', text, { id, type: 'button', onclick: act });
    made.dataset.a = word;
    return made;
  };
  const named = (name, id, word) => {
    const made = make(name, '', { id });
    made.dataset.a = word;
    return made;
  };
  const bar = make('div', '', { className: 'wire-bar' });
  const title = make('b');
  title.dataset.t = 'wire';
  const which = named('select', 'wire-flow', 'whichFlow');
  which.onchange = () => { state.chosen = Number(which.value); drawSoon(true); };
  bar.append(
    title, make('span', '', { id: 'wire-sight' }), which,
    button('wire-out', 'zoomOut', '−', () => zoom(1 / 1.25)), button('wire-in', 'zoomIn', '+', () => zoom(1.25)),
    button('wire-fit', 'zoomFit', '1:1', () => zoom(0)), button('wire-newest', 'newest', '↓', newest), button('wire-save', 'wireSave', '.jsonl', save),
    button('wire-whole', 'wireWhole', '⤢', fill), button('wire-close', 'close', '×', () => $('wire-open').click()),
  );
  const view = named('div', 'wire-view', 'packets');
  view.tabIndex = 0;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  view.append(svg);
  const panel = named('section', 'wire', 'wireHelp');
  panel.hidden = true;
  panel.append(bar, make('p', '', { id: 'wire-note', role: 'status' }), view, make('pre', '', { id: 'wire-told' }));
  document.body.append(panel);
  picture = new Picture(svg);
  listen(panel, view);
  speak(document.documentElement.lang);
  // Texts in the picture and the list are not found by their names.
  new MutationObserver(() => drawSoon()).observe(document.documentElement, { attributeFilter: ['lang'] });
  new ResizeObserver(() => drawSoon()).observe(view);
}

function listen(panel, view) {
  const row = ({ target }) => { const found = target.closest?.('.row'); if (found) tell(found); };
  let place = '';
  view.addEventListener('mousemove', (event) => {
    // What is scrolled under a pointer that rests was not pointed at.
    const now = `${event.screenX} ${event.screenY}`;
    if (now !== place) row(event);
    place = now;
  });
  view.addEventListener('focusin', row);
  view.addEventListener('wheel', (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  panel.addEventListener('keydown', (event) => {
    const does = event.target.closest('select') ? null : {
      ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => step(-Infinity), End: () => step(Infinity),
      '+': () => zoom(1.25), '-': () => zoom(1 / 1.25), 0: () => zoom(0), Escape: () => $('wire-open').click(),
    }[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    // The page has keys of its own.
    event.stopPropagation();
    does();
  });
}

/** The row before or after the one that has the focus. */
function step(by) {
  const rows = [...$('wire-view').querySelectorAll('.row')];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 && Number.isFinite(by) ? rows.length - 1 : at + by;
  const row = rows[Math.min(rows.length - 1, Math.max(0, next))];
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function tell(element) {
  const row = current()?.rows.find((known) => known.element === element);
  if (row) $('wire-told').textContent = whole(row, current());
}

function newest() {
  $('wire-view').scrollTop = $('wire-view').scrollHeight;
}

function zoom(by) {
  state.zoom = by ? Math.min(4, Math.max(0.4, state.zoom * by)) : 1;
  drawSoon();
}

function fill() {
  $('wire-whole').ariaPressed = String(document.body.classList.toggle('wired-whole'));
}

const save = () => download('jsonl', state.lines.map((line) => `${line}\n`).join(''));

/** Asks for the lines, and again when they end, until somebody has seen enough. */
async function ask(signal) {
  while (!signal.aborted) {
    try {
      await read(signal);
      become(state.about?.sees === 'none' ? 'seesNone' : 'again');
    } catch (problem) {
      if (signal.aborted) return;
      become(problem instanceof Response ? 'refused' : 'again', { why: `${problem.status} ${problem.statusText}` });
    }
    await new Promise((done) => { setTimeout(done, PAUSE); signal.addEventListener('abort', done); });
  }
}

async function read(signal) {
  const token = remembered(sessionStorage, 'token', '');
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  // Without credentials a browser takes another connection than for all else (https://fetch.spec.whatwg.org,
  // section 2.6), and so the one that carries the view can be left out of it.
  const answer = await fetch(`/.sockeye/trace.jsonl?wire=${KEY}`, { headers, signal, cache: 'no-store', credentials: 'omit' });
  if (!answer.ok) throw answer;
  const lines = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await lines.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const line of parts) if (line) hear(line);
    drawSoon();
  }
}

function hear(line) {
  const said = JSON.parse(line);
  state.lines.push(line);
  if (state.lines.length > LINES) state.lines.splice(0, LINES / 10);
  const does = {
    view: () => begin(said),
    flow: () => {
      state.flows.set(said.flow, new Flow(said));
      if (state.flows.size > FLOWS) state.flows.delete(state.flows.keys().next().value);
    },
    packet: () => state.flows.get(said.flow)?.add(said),
    yours: () => { const flow = state.flows.get(said.flow); if (flow) flow.isYours = true; },
    missed: () => { state.missed += said.packets; },
  }[said.event];
  does?.();
}

function begin(said) {
  state.flows.clear();
  Object.assign(state, { about: said, missed: 0, chosen: null, lines: state.lines.slice(-1) });
  become('');
}

function become(note, values = {}) {
  Object.assign(state, { note, values });
  drawSoon();
}

/** The one that was chosen, or else one of the page's own that carries messages, or any. */
function current() {
  const chosen = state.flows.get(state.chosen);
  if (chosen) return chosen;
  const flows = [...state.flows.values()].reverse();
  const best = (wanted) => flows.find((flow) => wanted(flow) && !flow.isOver) ?? flows.find(wanted);
  return best(({ isYours }) => isYours) ?? best(() => true);
}

let timer = 0;

/** Draws before long. Timers run where nobody looks, too; `top`: from the beginning. */
function drawSoon(top = false) {
  if (top) $('wire-view').scrollTop = 0;
  timer ||= setTimeout(() => { timer = 0; draw(); }, FRAME);
}

function draw() {
  if ($('wire').hidden) return;
  const view = $('wire-view');
  const flow = current();
  const isAtEnd = view.scrollTop + view.clientHeight >= view.scrollHeight - 40;
  list(flow);
  note(flow);
  picture.svg.hidden = !flow;
  picture.svg.style.display = flow ? '' : 'none';
  if (!flow) return;
  const isOther = picture.flow !== flow;
  picture.draw(flow, view.clientWidth - 16, state.zoom);
  if (isOther || !$('wire-told').textContent) $('wire-told').textContent = t('howTo');
  if (isAtEnd || isOther) newest();
}

function list(flow) {
  const { about } = state;
  $('wire-sight').textContent = about ? `${t(`sight-${about.sight}`)} · ${t(SEES[about.sees])}` : '';
  const options = [...state.flows.values()].reverse().map((known) => {
    const more = [known.transport, ...known.layers, known.for && t('dialedFor', { what: known.for }), known.isYours && t('yours'), known.isOver && t('over')].filter(Boolean);
    return [String(known.flow), `${known.A} · ${more.join(' · ')} · ${known.count}`];
  });
  const which = $('wire-flow');
  which.hidden = !options.length;
  // An open list would close if it were made anew.
  if (which.options.length === options.length && options.every(([value], index) => which.options[index].value === value)) {
    options.forEach(([, text], index) => { if (which.options[index].text !== text) which.options[index].text = text; });
  } else {
    which.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  }
  if (flow) which.value = String(flow.flow);
}

function note(flow) {
  const { about, missed } = state;
  const words = [
    state.note && t(state.note, state.values),
    !state.note && !flow && t('noFlows'),
    about?.sight === 'socket' && t('blind'),
    missed > 0 && t('missed', { n: missed.toLocaleString('en') }),
    !state.note && about?.left_out && t('leftOut', { what: about.left_out }),
  ];
  const text = words.filter(Boolean).join(' ');
  if ($('wire-note').textContent !== text) $('wire-note').textContent = text;
}
