// One stream of a WebTransport session as a carrier of messages: bytes, as they come.
import { bytesOf } from './text.js';

/** How long a network may take that drops what it does not know, in milliseconds. */
const PATIENCE = 5_000;
/** How long a server whose stream has ended is given to end the session as well, in milliseconds. */
const FAREWELL = 1_000;

export class Transport {
  over = 'wt';
  protocol = '';
  queued = 0;
  #session;
  #stream;

  /** @param sha256 of the certificate, as `AB:CD:…`, where nobody vouches for it */
  constructor(url, sha256) {
    this.url = url;
    const value = sha256 && Uint8Array.from(sha256.split(':'), (pair) => parseInt(pair, 16));
    const options = sha256 ? { serverCertificateHashes: [{ algorithm: 'sha-256', value }] } : {};
    this.#session = new WebTransport(url, options);
    this.#session.closed.catch(() => {});
    this.ready = this.#open();
  }

  async #open() {
    const late = setTimeout(() => this.#session.close(), PATIENCE);
    await this.#session.ready;
    clearTimeout(late);
    this.#stream = await this.#session.createBidirectionalStream();
    this.writer = this.#stream.writable.getWriter();
  }

  /** As that of a WebSocket. */
  listen(on) {
    // A server that has more to say than that it is done, such as that it stops, may be there again soon.
    const session = this.#session.closed.then(({ closeCode: code = 0, reason = '' }) => (
      { meaning: code ? 'Other' : 1000, code, reason, final: !code && !reason }
    ), ({ message }) => ({ meaning: 1006, reason: message }));
    this.#read(on).then(() => { setTimeout(() => this.close(), FAREWELL); }, (error) => error).then(async (error) => {
      const code = error?.source === 'stream' ? error.streamErrorCode : null;
      on.closed(code ? { meaning: 'Other', code, reason: '' } : await session);
      this.close();
    });
  }

  async #read(on) {
    const reader = this.#stream.readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      on.received(value);
    }
  }

  async send(data) {
    const bytes = bytesOf(data);
    this.queued += bytes.length;
    // Who reads hears of it when the stream has broken.
    await this.writer.write(bytes).catch(() => {});
    this.queued -= bytes.length;
  }

  close() {
    this.#session.close({ closeCode: 0, reason: '' });
  }
}
