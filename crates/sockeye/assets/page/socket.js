// A WebSocket as a carrier of messages: text as text, bytes as bytes.

/** Closings after which the server would only say the same again: normal, or refused. */
const FINAL = [1000, 1005, 1008];

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
