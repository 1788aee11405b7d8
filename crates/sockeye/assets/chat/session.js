// The conversation with the server, whatever connection carries it: objects out and in, answers to questions, waking up.

/** A connection that said nothing for this long is asked whether it lives, in milliseconds. */
const QUIET = 45_000;
/** How long it has for that answer; less when the person has just come back to the page. */
const PATIENCE = 10_000;
const AWAKE_PATIENCE = 4_000;
const UNLIMITED = 1e9;

export class Session {
  /** Whether the server has let us in on this connection. */
  welcomed = false;
  limits = { line: 8192, burst: 40, rate: 10 };
  #asked = new Map();
  #next = 0;
  #heard = 0;
  #doubt = 0;
  /** What is still to be said, and how much may be said at once. */
  #queue = [];
  #room = 40;
  #filled = 0;
  #pacing = 0;
  /** The beginning of a line whose end has not come. */
  #rest = '';
  #decoder = new TextDecoder();
  /** Makes the tags of this page differ from all others. */
  #own = [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(36).padStart(2, '0')).join('');

  /**
   * @param carry makes the connection, a `Link` of page/link.js, from its `{changed, received}`
   * @param on `hello()`: the first object; `heard(object)`; `changed()`; `lost()`
   */
  constructor(carry, on) {
    this.on = on;
    this.link = carry({ changed: () => this.#changed(), received: (data) => this.#received(data) });
    setInterval(() => this.#watch(), 5_000);
    for (const [what, where] of [['online', window], ['pageshow', window], ['focus', window], ['visibilitychange', document]]) {
      where.addEventListener(what, () => { if (!document.hidden) this.#wake(); });
    }
  }

  tag() {
    return `${this.#own}-${++this.#next}`;
  }

  /** Gives what answers `object`: `refused` among it, and null if the connection broke first. */
  ask(object) {
    const tag = this.tag();
    if (!this.#put({ ...object, tag })) return Promise.resolve(null);
    return new Promise((done) => this.#asked.set(tag, done));
  }

  /** Says `object` as soon as the server's limits let it. */
  say(object) {
    this.#queue.push(object);
    this.#pace();
  }

  greet() {
    this.#put(this.on.hello());
  }

  #put(object) {
    return this.link.state === 'open' && this.link.send(`${JSON.stringify(object)}\n`);
  }

  /** A bucket that the server has, too: who keeps to it is never refused for haste. */
  #pace() {
    clearTimeout(this.#pacing);
    const { burst, rate } = this.limits;
    const now = performance.now();
    this.#room = Math.min(burst - 1, this.#room + (now - this.#filled) / 1000 * rate * 0.9);
    this.#filled = now;
    while (this.welcomed && this.#queue.length && this.#room >= 1) {
      if (!this.#put(this.#queue[0])) return;
      this.#queue.shift();
      this.#room -= 1;
    }
    if (this.welcomed && this.#queue.length) this.#pacing = setTimeout(() => this.#pace(), 1000 / rate);
  }

  #changed() {
    this.#doubt = 0;
    if (this.link.state === 'open') {
      this.#rest = '';
      this.#decoder = new TextDecoder();
      this.#heard = Date.now();
      this.greet();
    } else {
      this.welcomed = false;
      this.#queue = [];
      for (const done of this.#asked.values()) done(null);
      this.#asked.clear();
      this.on.lost();
    }
    this.on.changed();
  }

  #received(data) {
    this.#heard = Date.now();
    this.#doubt = 0;
    // Bytes come from a carrier that knows no messages: a line may come in pieces.
    const isText = typeof data === 'string';
    const lines = (isText ? data : this.#rest + this.#decoder.decode(data, { stream: true })).split('\n');
    if (!isText) this.#rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('{')) this.#take(line);
    }
  }

  #take(line) {
    let object;
    try {
      object = JSON.parse(line);
    } catch {
      return;
    }
    if (object.event === 'welcome') {
      this.welcomed = true;
      const { line = this.limits.line, burst, rate } = object.limits ?? {};
      this.limits = { line, burst: burst ?? UNLIMITED, rate: rate ?? UNLIMITED };
      this.#room = this.limits.burst - 1;
      this.#filled = performance.now();
    }
    this.on.heard(object);
    this.#asked.get(object.tag)?.(object);
    this.#asked.delete(object.tag);
    if (object.event === 'welcome') this.#pace();
  }

  /** Whether it lives: a connection that slept with its machine does not say that it is gone. */
  #watch() {
    if (this.link.state !== 'open') return;
    const now = Date.now();
    if (this.#doubt && now > this.#doubt) this.link.change();
    else if (!this.#doubt && now - this.#heard > QUIET) this.#ping(PATIENCE);
  }

  #wake() {
    if (this.link.state === 'waiting') this.link.change();
    else if (this.link.state === 'open' && this.welcomed && !this.#doubt) {
      this.#ping(AWAKE_PATIENCE);
      setTimeout(() => this.#watch(), AWAKE_PATIENCE + 100);
    }
  }

  #ping(patience) {
    this.#doubt = Date.now() + patience;
    this.#put({ do: 'ping' });
  }
}
