// The connection to the server of this page, whatever carries it: connects, reconnects after growing pauses, counts.

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 30_000;
/** A connection that lasted this long begins the pauses anew. */
const STEADY = 5_000;

export class Link {
  state = 'closed';
  again = true;
  /** How the last connection ended: `{meaning, code, reason}`; meaning 0 if there was none. */
  ending = null;
  since = null;
  counters = { in: { n: 0, bytes: 0 }, out: { n: 0, bytes: 0 } };
  /** What carries it, or did. */
  carrier = null;
  /** Which attempt it is: what comes of an earlier one counts no more. */
  #attempt = 0;
  #pause = FIRST_PAUSE;
  #timer = 0;

  /**
   * @param open gives a carrier that is ready, or fails
   * @param on `changed()`, and `received(data)`: text or bytes
   */
  constructor(open, on) {
    Object.assign(this, { open, on });
  }

  async connect() {
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.since = null;
    this.#become('connecting');
    try {
      const carrier = await this.open();
      if (attempt !== this.#attempt) return carrier.close();
      this.carrier = carrier;
    } catch {
      if (attempt === this.#attempt) this.#closed({ meaning: 0, code: 0, reason: '' });
      return;
    }
    this.since = new Date();
    this.ending = null;
    this.#become('open');
    this.carrier.listen({
      received: (data) => { if (attempt === this.#attempt) this.on.received(data); },
      closed: (ending) => { if (attempt === this.#attempt) this.#closed(ending); },
    });
  }

  disconnect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#pause = FIRST_PAUSE;
    if (this.state === 'open') {
      this.#become('closing');
      return this.carrier.close();
    }
    this.#attempt += 1;
    this.#become('closed');
  }

  /** Begins anew, with what is chosen now. */
  change() {
    this.#attempt += 1;
    if (this.state === 'open') this.carrier.close();
    this.#pause = FIRST_PAUSE;
    this.connect();
  }

  /** Whether to connect again by itself; stops waiting for it, too. */
  keep(again) {
    this.again = again;
    if (!again && this.state === 'waiting') this.disconnect();
  }

  /** Whether it could be handed over: false if there is no connection. */
  send(data) {
    if (this.state !== 'open') return false;
    this.carrier.send(data);
    return true;
  }

  count(way, bytes) {
    this.counters[way].n += 1;
    this.counters[way].bytes += bytes;
  }

  get queued() {
    return this.carrier?.queued ?? 0;
  }

  /** Seconds until the next attempt. */
  get left() {
    return Math.max(0, Math.ceil((this.due - Date.now()) / 1000));
  }

  #closed(ending) {
    const wanted = this.state === 'closing';
    if (this.since && Date.now() - this.since > STEADY) this.#pause = FIRST_PAUSE;
    this.ending = ending;
    if (wanted || !this.again || ending.final) return this.#become('closed');
    // Many pages that lost the same server must not come back all at once.
    const pause = this.#pause * (0.75 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.due = Date.now() + pause;
    this.#timer = setTimeout(() => this.connect(), pause);
    this.#become('waiting');
  }

  #become(state) {
    this.state = state;
    this.on.changed();
  }
}
