// Node's `ws`, in both roles. Run with the folder that has node_modules as the first argument.
import { createRequire } from 'node:module';
import { strict as assert } from 'node:assert';
import { once } from 'node:events';

const [modules, part, uri] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(`${modules}/`)('ws');

async function ask() {
  const peer = new WebSocket(uri, { rejectUnauthorized: false });
  await once(peer, 'open');
  for (const said of ['你好', Buffer.from([0, 255]), '', 'x'.repeat(100_000)]) {
    peer.send(said);
    const [heard, isBinary] = await once(peer, 'message');
    assert.equal(isBinary, typeof said !== 'string');
    assert.deepEqual(heard, Buffer.from(said));
  }
  peer.ping('are you there?');
  const [pong] = await once(peer, 'pong');
  assert.equal(String(pong), 'are you there?');
  peer.close(1000, 'done');
  const [code] = await once(peer, 'close');
  assert.equal(code, 1000);
  console.log('all is well');
}

function serve() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('listening', () => console.log(server.address().port));
  server.on('connection', (peer) => {
    peer.on('message', (data, isBinary) => {
      if (String(data) === 'leave') peer.close(4001, 'as you wish');
      else peer.send(isBinary ? data : String(data).toUpperCase());
    });
  });
}

await { ask, serve }[part]();
