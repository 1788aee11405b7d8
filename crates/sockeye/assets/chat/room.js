// What is known of one room, or of one conversation of two: its lines in order, and the gaps between them.

/** Lines in a row that a page keeps; older ones are fetched again when somebody looks. */
const MOST = 2_000;
const KEEP = 1_500;

let rooms = 0;

export class Room {
  /** Tells this one from another of its name. */
  number = ++rooms;
  topic = '';
  owners = new Set();
  /** Names, and what is known of each. */
  people = new Map();
  /** Whether the server has us in it at the moment. */
  inside = false;
  /** The id of the last line that came, and of the first one that the server keeps. */
  last = 0;
  first = 0;
  /** In order: `{id, line…}`, `{gap: [from, to], why}` and `{note}`, which stands behind the line `id`. */
  items = [];
  /** What we said and nobody has acknowledged. */
  pending = [];
  unread = 0;
  named = false;
  /** The last id that was seen by the person, and where the mark of what is new stands. */
  read = null;
  mark = null;
  /** What is being written, and where one was reading: null is at the end. */
  draft = '';
  place = null;

  constructor(name, isDirect = false) {
    Object.assign(this, { name, isDirect, title: isDirect ? name : `#${name}` });
  }

  /** The server says where we are in it. Whether it is another room than it was. */
  joined({ topic = '', owners = [], people = [], first = 0, last = 0, after = 0 }) {
    const begun = last < this.last;
    if (begun) {
      this.items = [];
      this.last = this.read = 0;
    }
    Object.assign(this, { topic, first, inside: true, owners: new Set(owners) });
    this.people = new Map(people.map((name) => [name, this.people.get(name) ?? {}]));
    // What lies before the lines that follow is there to be fetched.
    const from = Math.max(first, this.last + 1);
    if (first && after >= from) this.#put({ gap: [from, after], id: from });
    this.last = Math.max(this.last, after);
    this.read ??= last;
    return begun;
  }

  /** Takes a line. Whether it was new. */
  take(line) {
    const { id } = line;
    if (this.find(id)) return false;
    this.#fill(id, id);
    this.#put(line);
    this.last = Math.max(this.last, id);
    return true;
  }

  find(id) {
    for (let at = this.#place(id) - 1; this.items[at]?.id === id; at--) {
      if (this.items[at].from !== undefined) return this.items[at];
    }
    return undefined;
  }

  /** What happened, behind all that was said so far. */
  note(note) {
    this.items.push({ id: this.last, time: Date.now(), note });
    return this.items.at(-1);
  }

  /** The server passed over these. */
  missed(from, to) {
    this.last = Math.max(this.last, to);
    this.#put({ gap: [from, to], id: from, why: 'missed' });
  }

  /** What `question` was answered with: `before` or `after` an id. */
  filled({ before, after }, lines, more) {
    const ids = lines.map((line) => line.id);
    // An empty answer has no more, whatever it says.
    more &&= ids.length > 0;
    let [low, high] = [Math.min(...ids), Math.max(...ids)];
    if (before !== undefined) [low, high] = [more ? low : this.#gap(before - 1)?.gap[0] ?? low, before - 1];
    else [low, high] = [after + 1, more ? high : this.#gap(after + 1)?.gap[1] ?? high];
    this.#fill(low, high);
    for (const line of lines) if (!this.find(line.id)) this.#put(line);
    this.last = Math.max(this.last, ...ids);
  }

  /** Lets go of the oldest when there are too many. */
  trim() {
    if (this.items.length <= MOST || this.isDirect) return;
    const gone = this.items.splice(0, this.items.length - KEEP);
    const until = this.items.find((item) => item.gap || item.from !== undefined)?.id ?? this.last + 1;
    const from = gone[0].gap?.[0] ?? Math.max(gone[0].id, this.first);
    this.items.unshift({ gap: [from, until - 1], id: from });
  }

  get gapAbove() {
    return this.items[0]?.gap && !this.items[0].why ? this.items[0] : undefined;
  }

  #gap(id) {
    return this.items.find(({ gap }) => gap && gap[0] <= id && id <= gap[1]);
  }

  /** Ids from `low` to `high` are no gap any more. */
  #fill(low, high) {
    for (const item of this.items.filter(({ gap }) => gap && gap[0] <= high && gap[1] >= low)) {
      const [from, to] = item.gap;
      const left = [[from, low - 1], [high + 1, to]].filter(([a, b]) => a <= b).map((gap) => ({ ...item, node: undefined, gap, id: gap[0] }));
      if (left.length === 1 && left[0].id === item.id) item.gap = left[0].gap;
      else this.items.splice(this.items.indexOf(item), 1, ...left);
    }
  }

  #put(item) {
    this.items.splice(this.#place(item.id), 0, item);
  }

  /** Behind everything up to `id`. What comes live belongs to the end. */
  #place(id) {
    let at = this.items.length;
    while (at && this.items[at - 1].id > id) at -= 1;
    return at;
  }
}
