// The picture of one flow: arrows with true slopes between the lines of both ends, which show their states. It is laid
// out as crates/trace draws it. Everything is made as elements and text, so nothing that a peer says is markup.
import { t } from '../page/words.js';
import { below, changes, colour, duration, label, named, whole } from './flow.js';
import { arrived, Scale, sent } from './scale.js';

const WIDEST = 960;
const NARROWEST = 340;
/** Below this states stand under the arrows. */
const NARROW = 680;
const TOP = 66;
/** Height of a line of text, and widths of letters on an arrow and below it. */
const LINE = 15;
const LETTER = 7;
const SMALL = 6;
/** The loopback has no slope to speak of: so much shows the direction. */
const TILT = 7;
const COLOURS = {
  CLOSED: 'closed', LISTEN: 'closed', 'SYN-SENT': 'open', 'SYN-RECEIVED': 'open', ESTABLISHED: 'up', 'TIME-WAIT': 'wait',
};

function el(name, fields = {}, ...inside) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [field, value] of Object.entries(fields)) element.setAttribute(field, value);
  element.append(...inside);
  return element;
}

function wrapped(text, room) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line && line.length + word.length >= room) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

export class Picture {
  #layers = { lives: el('g'), names: el('g', { class: 'names' }), rows: el('g', { role: 'list' }) };

  constructor(svg) {
    this.svg = svg;
    svg.append(this.#layers.lives, this.#layers.names, this.#layers.rows);
  }

  /** Draws `flow` as wide as there is `room`, in pixels. */
  draw(flow, room, zoom) {
    this.flow = flow;
    this.width = Math.min(WIDEST, Math.max(NARROWEST, room));
    this.narrow = this.width < NARROW;
    this.ends = this.narrow ? { A: 14, B: this.width - 14 } : { A: 190, B: this.width - 112 };
    this.letters = this.ends.B - this.ends.A - 44;
    const rows = flow.rows.map((row) => this.#place(row));
    this.scale = new Scale(rows.flatMap(({ moments }) => moments), TOP + (flow.dropped ? 24 : 0));
    for (const row of rows) row.y = this.#ys(row);
    const height = this.scale.end + 20;
    this.svg.setAttribute('viewBox', `0 0 ${this.width} ${Math.ceil(height)}`);
    this.svg.style.width = `${Math.round(this.width * zoom)}px`;
    this.svg.style.height = `${Math.round(Math.ceil(height) * zoom)}px`;
    this.#layers.lives.replaceChildren(...this.#lives(rows), ...this.#pauses(), ...this.#phases(rows));
    this.#layers.names.replaceChildren(...this.#heads(), ...this.#times(rows));
    this.#show(rows);
  }

  /** Texts of a row, and when it leaves its sender and reaches its receiver. */
  #place(row) {
    const { flow: { start, vantage, way } } = this;
    const [{ time, from, fate }] = row.packets;
    const at = time - start;
    const half = way / 2;
    const far = { both: [at, at], middle: [at - half, at + half], [from]: [at, at + way] }[vantage] ?? [at - way, at];
    const states = this.narrow ? changes(row).map(([end, state]) => `${t(`end${end}`)} ${named(state)}`) : [];
    const lines = [...below(row), ...(states.length ? [['state', states.join(' · ')]] : [])]
      .flatMap(([name, text]) => wrapped(text, this.letters / SMALL).map((part) => [name, part]));
    const isLost = fate === 'unanswered' || fate === 'lost';
    const texts = lines.length ? LINE * (lines.length + 1.4) : 10;
    return { row, from, to: from === 'A' ? 'B' : 'A', far, lines, isLost, moments: [sent(far[0], texts), arrived(far[1], !isLost)] };
  }

  #ys({ far }) {
    const [begin, end] = far.map((time) => this.scale.y(time));
    return [begin, Math.max(end, begin + TILT)];
  }

  /** Rows that stay where they are stay the same elements: what has the focus keeps it. */
  #show(rows) {
    const language = document.documentElement.lang;
    const elements = rows.map((place) => {
      const { row, y } = place;
      const key = `${y} ${this.width} ${language}`;
      if (row.key !== key) {
        const made = this.#row(place);
        if (row.element?.contains(document.activeElement)) queueMicrotask(() => made.focus());
        Object.assign(row, { key, element: made });
      }
      return row.element;
    });
    const layer = this.#layers.rows;
    const shown = new Set(elements);
    for (const old of [...layer.children]) if (!shown.has(old)) old.remove();
    elements.forEach((element, index) => {
      if (layer.children[index] !== element) layer.insertBefore(element, layer.children[index] ?? null);
    });
  }

  #row(place) {
    const { row, from, to, y: [y0, y1], isLost } = place;
    const name = row.packets[0].inferred ? 'hollow' : colour(row);
    const way = from === 'A' ? 1 : -1;
    const [x0, x1] = [this.ends[from] + 6 * way, this.ends[to] - 6 * way];
    const stop = isLost ? 0.62 : 1;
    const [x, y] = [x0 + (x1 - x0) * stop, y0 + (y1 - y0) * stop];
    const text = whole(row, this.flow);
    return el(
      'g', { class: 'row', tabindex: -1, role: 'listitem', 'aria-label': text, 'data-frame': row.packets[0].frame },
      el('path', { class: 'hit', d: `M${x0} ${y0}L${x1} ${y1}` }),
      el('path', { class: `arrow ${name}`, d: `M${x0} ${y0}L${x} ${y}` }),
      ...(isLost
        ? [el('path', { class: 'arrow dots', d: `M${x} ${y}L${x1} ${y1}` }), el('path', { class: 'cross', d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` })]
        : [el('path', { class: `tip ${name}`, d: `M${x1} ${y1}l${-8 * way} -4v8z` })]),
      ...this.#dots(place),
      ...this.#texts(place, name),
    );
  }

  #dots({ from, to, y: [y0, y1], isLost }) {
    const near = (end) => this.flow.vantage === 'both' || this.flow.vantage === end;
    return [[from, y0], [to, y1]].filter(([end]) => end === from || !isLost)
      .map(([end, y]) => el('circle', { class: near(end) ? 'seen' : 'placed', cx: this.ends[end], cy: y, r: 3 }));
  }

  #texts({ row, from, y: [y0, y1], lines }, name) {
    const way = from === 'A' ? 1 : -1;
    const x = this.ends[from] + 20 * way;
    const anchor = from === 'A' ? 'start' : 'end';
    const turn = way * Math.atan((y1 - y0) / (this.ends.B - this.ends.A)) * (180 / Math.PI);
    const text = (y, kind, words) => el('text', { x, y, class: kind, 'text-anchor': anchor }, words);
    return [el(
      'g', { transform: `rotate(${turn.toFixed(2)} ${this.ends[from]} ${y0})` },
      text(y0 - 5, `label ${name}`, label(row, this.letters / LETTER)),
      ...lines.map(([kind, words], index) => text(y0 + LINE * (index + 1) - 2, `below ${kind}`, words)),
    )];
  }

  /** The lines of both ends, coloured by their states, and the names of these. */
  #lives(rows) {
    return ['A', 'B'].flatMap((end) => {
      const { first } = this.flow;
      const pieces = [{ y: TOP - 16, state: first?.[end] ?? '', sure: 'seen' }];
      for (const { row, from, y } of rows) {
        const at = row.packets[0].states?.[end];
        const last = pieces.at(-1);
        if (at && (at.state !== last.state || at.sure !== last.sure)) pieces.push({ ...at, y: y[from === end ? 0 : 1] });
      }
      return [...this.#bars(end, pieces), ...(this.narrow ? [] : this.#states(end, pieces))];
    });
  }

  #bars(end, pieces) {
    return pieces.map(({ y, state, sure }, index) => {
      const until = pieces[index + 1]?.y ?? this.scale.end + 4;
      const name = state ? COLOURS[state] ?? 'close' : 'plain';
      return el('path', { class: `life s-${name}${sure === 'expected' ? ' expected' : ''}`, d: `M${this.ends[end]} ${y}V${Math.max(until, y)}` });
    });
  }

  #states(end, pieces) {
    let free = 0;
    const x = this.ends[end] + (end === 'A' ? -12 : 12);
    return pieces.filter(({ state }, index) => state && state !== pieces[index - 1]?.state).map(({ y, state, sure }) => {
      const at = Math.max(y + 4, free);
      free = at + 12;
      return el('text', { x, y: at, class: `state${sure === 'expected' ? ' expected' : ''}`, 'text-anchor': end === 'A' ? 'end' : 'start' }, state);
    });
  }

  #pauses() {
    const middle = (this.ends.A + this.ends.B) / 2;
    return this.scale.pauses.flatMap(([y, time]) => [
      ...Object.values(this.ends).flatMap((x) => [
        el('rect', { class: 'bg', x: x - 8, y: y - 7, width: 16, height: 14 }),
        el('path', { class: 'broken', d: `M${x - 4} ${y - 1}l8 -5m-8 12l8 -5` }),
      ]),
      el('text', { class: 'dim', x: middle, y: y + 4, 'text-anchor': 'middle' }, t('later', { time: duration(time) })),
    ]);
  }

  /** A line where data begins, and one where the end does. */
  #phases(rows) {
    let last = '';
    return rows.flatMap(({ row: { packets: [{ flags = [], len }] }, y }) => {
      if (last === 'phaseClose' || this.flow.transport !== 'tcp') return [];
      const closes = flags.includes('FIN') || flags.includes('RST');
      const phase = closes ? 'phaseClose' : len && !last ? 'phaseData' : last;
      if (phase === last) return [];
      last = phase;
      const [at, middle] = [y[0] - 13, (this.ends.A + this.ends.B) / 2];
      return [
        el('path', { class: 'phase', d: `M4 ${at}H${this.width - 4}` }),
        el('text', { class: 'dim state', x: middle, y: at + 4, 'text-anchor': 'middle' }, t(phase)),
      ];
    });
  }

  #heads() {
    const { flow, ends, narrow } = this;
    const note = flow.dropped ? [el('text', { class: 'dim', x: this.width / 2, y: TOP + 8, 'text-anchor': 'middle' }, t('gone', { n: flow.dropped }))] : [];
    const anchor = (end) => (narrow ? { A: 'start', B: 'end' }[end] : 'middle');
    const x = (end) => (narrow ? ends[end] + { A: -8, B: 8 }[end] : ends[end]);
    return [...note, ...['A', 'B'].flatMap((end) => [
      el('text', { class: 'name', x: x(end), y: 16, 'text-anchor': anchor(end) }, t(end === 'A' && flow.for ? 'relay' : `end${end}`)),
      el('text', { class: 'dim', x: x(end), y: 32, 'text-anchor': anchor(end) }, flow[end]),
    ])];
  }

  /** The time of every row beside it, where there is room. */
  #times(rows) {
    if (this.narrow) return [];
    let last = 0;
    return [el('text', { class: 'time', x: 62, y: 32, 'text-anchor': 'end' }, 'ms'), ...rows.flatMap(({ row, from, y }) => {
      const { vantage, start } = this.flow;
      const at = y[vantage === from || vantage === 'both' || vantage === 'middle' ? 0 : 1];
      if (at - last < 11) return [];
      last = at;
      return [el('text', { class: 'time', x: 62, y: at + 4, 'text-anchor': 'end' }, ((row.packets[0].time - start) * 1e3).toFixed(3))];
    })];
  }
}
