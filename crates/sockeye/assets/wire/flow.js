// One flow: the packets that the server tells of, as rows, and what stands at each. What is here are the facts of
// `--json` (docs/TRACE.md); texts are made in the language of the page.
import { printable } from '../page/text.js';
import { t } from '../page/words.js';

/** As many rows are kept of a flow. */
const MOST = 240;

/** `7 240` */
const grouped = (n) => (n < 1e4 ? String(n) : String(n).replace(/\B(?=(\d{3})+$)/g, ' '));

/** Seconds as people say them: `17 µs`, `23.8 ms`, `1.01 s`. */
export function duration(seconds) {
  for (const [unit, length, digits] of [['µs', 1e-6, 0], ['ms', 1e-3, 1], ['s', 1, 2]]) {
    const text = (seconds / length).toFixed(digits);
    if (Number(text) < 1000 || unit === 's') return `${text} ${unit}`;
  }
}

export class Flow {
  rows = [];
  /** Packets that were told of, and those of which there is no row any more. */
  count = 0;
  dropped = 0;
  isYours = false;
  /** Half of the quickest round trip, in seconds. */
  way = 0;
  /** Grows with each change. */
  version = 0;

  /** @param head the object that describes it */
  constructor(head) {
    Object.assign(this, head);
    this.states = head.first && { A: { state: head.first.A, sure: 'seen' }, B: { state: head.first.B, sure: 'seen' } };
  }

  get isOver() {
    const ended = ({ state }) => state === 'CLOSED' || state === 'TIME-WAIT';
    return this.count > 0 && Boolean(this.states) && ended(this.states.A) && ended(this.states.B);
  }

  /** The carriers of messages in it: `WebSocket`, `HTTP/2` … */
  layers = new Set();

  add(packet) {
    this.count += 1;
    this.version += 1;
    this.start ??= packet.time;
    for (const { layer } of packet.steps ?? []) this.layers.add(layer);
    this.#measure(packet);
    const row = { packets: [packet], before: this.states, like: kind(packet, this.states) };
    this.states = packet.states ?? this.states;
    if (!this.#fold(row)) this.rows.push(row);
    if (this.rows.length > MOST) {
      this.dropped += this.rows.splice(0, this.rows.length - MOST).reduce((sum, { packets, many }) => sum + (many?.count ?? packets.length), 0);
    }
  }

  #measure({ notes }) {
    if (this.vantage === 'both') return;
    for (const { note, rtt, time } of notes) {
      const trip = note === 'connected' ? rtt : note === 'rtt' ? time : 0;
      if (trip && (!this.way || trip / 2 < this.way)) this.way = trip / 2;
    }
  }

  /** From the third of a kind on, all of them are one row. */
  #fold(row) {
    const [before, last] = [this.rows.at(-2), this.rows.at(-1)];
    const same = (other) => row.like && other?.like === row.like;
    if (!same(last) || !(last.many || same(before))) return false;
    if (!last.many) {
      this.rows.pop();
      this.rows.pop();
      this.rows.push({ ...before, many: many(before.packets[0], many(last.packets[0])) });
    }
    const folded = this.rows.at(-1);
    folded.many = many(row.packets[0], folded.many);
    folded.key = undefined;
    return true;
  }
}

/** What a packet is one more of, if it is nothing but one more. */
function kind({ from, len, flags, fate, notes, steps, text, inferred, icmp, packets, states }, before) {
  const plain = !steps && !text && !inferred && !icmp && !packets && fate === 'arrived' && notes.every(({ note }) => note === 'rtt');
  const changes = states && before && ['A', 'B'].some((end) => states[end].state !== before[end].state || states[end].sure !== before[end].sure);
  if (!plain || changes || flags?.some((flag) => flag !== 'ACK' && flag !== 'PSH')) return '';
  return `${from}${len > 0 ? 'data' : 'ack'}`;
}

function many({ len, seq, ack }, more = { count: 0, bytes: 0, first: Infinity, last: -Infinity }) {
  const [first, last] = len ? [seq, seq + len - 1] : [ack, ack];
  return {
    count: more.count + 1, bytes: more.bytes + len,
    first: Math.min(more.first, first), last: Math.max(more.last, last), numbered: seq !== undefined,
  };
}

/** How an arrow is coloured. */
export function colour({ packets: [{ flags = [], notes, len, icmp }] }) {
  if (notes.some(({ note }) => note === 'retransmission')) return 'again';
  if (icmp) return 'rst';
  return ['RST', 'SYN', 'FIN'].find((flag) => flags.includes(flag))?.toLowerCase() ?? (len ? 'data' : 'ack');
}

/** The parts of what stands on an arrow, with the order in which they give way: the highest first, 0 never. */
function parts({ packets: [packet], many: all }) {
  if (all) return foldedParts(all);
  const { flags, seq, ack, len, window, mss, sack, notes, text, packets, inferred, icmp } = packet;
  const said = text === undefined ? [] : [[4, `“${printable(text)}”`]];
  const bytes = len ? [[1, `${grouped(len)} B`]] : [];
  if (inferred) return [[0, `(${inferred})`]];
  if (icmp) return [[0, `ICMP ${icmp}`]];
  if (!flags) return packets ? [[0, packets], ...bytes] : [[0, `${grouped(len)} B`], ...said];
  const has = (name) => notes.some(({ note }) => note === name);
  const tellsWindow = flags.includes('SYN') || has('zero-window') || has('window-update');
  return [
    [0, `${has('retransmission') ? '↻ ' : ''}${flags.join(' ')}`],
    [2, len ? `seq ${seq}–${seq + len - 1}` : `seq ${seq}`],
    ...(flags.includes('ACK') ? [[3, `ack ${ack}`]] : []),
    ...bytes,
    ...said,
    ...(sack ? [[5, `sack ${sack.map(([from, to]) => `${from}–${to - 1}`).join(' ')}`]] : []),
    ...(tellsWindow ? [[6, `win ${window}`]] : []),
    ...(mss ? [[7, `mss ${mss}`]] : []),
  ];
}

function foldedParts({ count, bytes, first, last, numbered }) {
  const range = numbered ? [[2, `${bytes ? 'seq' : 'ack'} ${first}–${last}`]] : [];
  return [[0, t(numbered ? 'segments' : 'datagrams', { n: grouped(count) })], ...range, ...(bytes ? [[1, `${grouped(bytes)} B`]] : [])];
}

/** As much of it as fits into `room` letters. */
export function label(row, room = Infinity) {
  const all = parts(row);
  for (let limit = 9; ; limit -= 1) {
    const text = all.filter(([order]) => order <= limit).map(([, part]) => part).join('  ');
    if (text.length <= room || limit === 0) return text;
  }
}

/** What stands under an arrow: `[class, text]` each. */
export function below({ packets: [{ notes, steps = [] }] }) {
  return [
    ...steps.map(({ layer, text }) => ['step', printable(`${layer} ${text}`)]),
    ...notes.filter(({ note }) => note !== 'rtt').map((note) => ['note', noted(note)]),
  ];
}

function noted({ note, of, after, how, bytes, count, rtt }) {
  const values = { of: `#${of}`, after: duration(after ?? 0), bytes: grouped(bytes ?? 0), count, rtt: duration(rtt ?? 0) };
  if (note !== 'retransmission') return t(`n-${note}`, values);
  values.of = of === undefined ? t('n-unseen') : values.of;
  return `↻ ${t(`n-${['fast', 'timeout', 'probe', 'spurious'].includes(how) ? how : 'again'}`, values)}`;
}

/** Where a state changes, or how it is known: `[end, state]` each. */
export const changes = ({ before, packets: [{ states }] }) => (states && before
  ? ['A', 'B'].filter((end) => states[end].state !== before[end].state || states[end].sure !== before[end].sure).map((end) => [end, states[end]])
  : []);

export const named = ({ state, sure }) => (sure === 'expected' ? `(${state})` : state);

/** Everything that is known of a row, line by line. */
export function whole(row, flow) {
  const [{ frame, time, from, seq_raw: seq, ack_raw: ack, window, states, notes }] = row.packets;
  const [a, b] = from === 'A' ? ['A', 'B'] : ['B', 'A'];
  const raw = seq === undefined ? [] : [t('raw', { seq: grouped(seq), ack: grouped(ack), window: grouped(window) })];
  const answered = notes.filter(({ note }) => note === 'rtt').map(({ of, time: after }) => t('n-rtt', { of: `#${of}`, after: duration(after) }));
  return [
    `#${frame}  ${((time - flow.start) * 1e3).toFixed(3)} ms  ${t(`end${a}`)} → ${t(`end${b}`)}  ${label(row)}`,
    ...below(row).map(([, text]) => text),
    ...answered,
    ...(states ? [`${t('endA')} ${named(states.A)} · ${t('endB')} ${named(states.B)}`] : []),
    ...raw,
  ].join('\n');
}
