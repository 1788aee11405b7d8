// Node's HTTP/2 without TLS: a server whose answers are whole, broken off, or end with trailers.
import { createServer, constants } from 'node:http2';

const big = Buffer.alloc(3_000_000, 'node');

const server = createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const path = headers[':path'];
  if (path === '/seen') {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.end(`${headers[':method']} ${headers['x-mine'] ?? 'none'} ${Buffer.concat(parts)}\n`);
    });
  } else if (path === '/trailers') {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7' }));
    stream.end('hi');
  } else if (path === '/reset') {
    stream.respond({ ':status': 200, 'content-length': 10 });
    stream.write('hello', () => setImmediate(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR)));
  } else if (path === '/big') {
    stream.respond({ ':status': 200 });
    stream.end(big);
  } else if (path === '/goaway') {
    // The next request needs another connection.
    stream.respond({ ':status': 200 });
    stream.end('bye\n', () => stream.session.goaway());
  } else {
    stream.respond({ ':status': 404 });
    stream.end('nothing here\n');
  }
});
server.listen(0, '127.0.0.1', () => {
  console.error(`listening http 127.0.0.1:${server.address().port}`);
});
