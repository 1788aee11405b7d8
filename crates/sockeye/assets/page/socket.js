// A WebSocket as a carrier of messages: text as text, bytes as bytes.

/** Closings after which the server would only say the same again: normal, or refused. */
const FINAL = [1000, 1005, 1008];

/** What this page has made up so that the server knows its connections by it: see them on the wire can who has it. */
export const KEY = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** What a WebSocket of this page offers: a browser can say a token nowhere else. */
export function protocols(token) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  const safe = btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return ['sockeye', ...(token ? [`token.${safe}`] : []), `wire.${KEY}`];
}

export class Socket {
  over = 'ws';
  #socket;

  constructor(url, protocols) {
    this.url = url;
    const socket = this.#socket = new WebSocket(url, protocols);
    socket.binaryType = 'arraybuffer';
    this.ready = new Promise((open, fail) => {
      socket.onopen = open;
      socket.onclose = () => fail(new Error());
    });
  }

  /** @param on `received(data)`: text or bytes; `closed({meaning, code, reason, final})` */
  listen(on) {
    this.#socket.onmessage = ({ data }) => on.received(typeof data === 'string' ? data : new Uint8Array(data));
    this.#socket.onclose = ({ code, reason }) => on.closed({ meaning: code, code, reason, final: FINAL.includes(code) });
  }

  send(data) {
    this.#socket.send(data);
  }

  close() {
    this.#socket.close(1000);
  }

  get queued() {
    return this.#socket.bufferedAmount;
  }

  get protocol() {
    return this.#socket.protocol;
  }
}
