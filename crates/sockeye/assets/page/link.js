// The WebSocket to the server of this page: connects, reconnects after growing pauses, counts.

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 30_000;
/** A connection that lasted this long begins the pauses anew. */
const STEADY = 5_000;
/** Closings after which the server would only say the same again: normal, or refused. */
const FINAL = [1000, 1005, 1008];

export class Link {
  state = 'closed';
  again = true;
  /** How the last connection ended: `{code, reason}`; code 0 if there was none. */
  ending = null;
  since = null;
  counters = { in: { n: 0, bytes: 0 }, out: { n: 0, bytes: 0 } };
  #socket = null;
  #pause = FIRST_PAUSE;
  #timer = 0;

  /** @param on `changed()`, and `received(data)`: text or bytes */
  constructor(url, protocols, on) {
    Object.assign(this, { url, protocols, on });
  }

  connect() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.url, this.protocols);
    socket.binaryType = 'arraybuffer';
    this.since = null;
    socket.onopen = () => {
      this.since = new Date();
      this.ending = null;
      this.#become('open');
    };
    socket.onmessage = ({ data }) => this.on.received(typeof data === 'string' ? data : new Uint8Array(data));
    socket.onclose = ({ code, reason }) => this.#closed(this.since ? code : 0, reason);
    this.#become('connecting');
  }

  disconnect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#pause = FIRST_PAUSE;
    if (this.state === 'waiting') return this.#become('closed');
    this.#become('closing');
    this.#socket.close(1000);
  }

  /** Connects at once: what waits does not wait for its turn, and a connection that may be dead is let go. */
  renew() {
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
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
    this.#socket.send(data);
    return true;
  }

  count(way, bytes) {
    this.counters[way].n += 1;
    this.counters[way].bytes += bytes;
  }

  get queued() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get protocol() {
    return this.#socket?.protocol ?? '';
  }

  /** Seconds until the next attempt. */
  get left() {
    return Math.max(0, Math.ceil((this.due - Date.now()) / 1000));
  }

  #closed(code, reason) {
    const wanted = this.state === 'closing';
    if (this.since && Date.now() - this.since > STEADY) this.#pause = FIRST_PAUSE;
    this.ending = { code, reason };
    if (wanted || !this.again || FINAL.includes(code)) return this.#become('closed');
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
