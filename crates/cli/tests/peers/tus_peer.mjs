// tus-js-client, as uploads in other people's pages use it: node tus_peer.mjs MODULES URL FILE tus-v1|ietf-draft-05
// It is stopped in the middle, and another one goes on with what it finds.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, endpoint, file, protocol] = process.argv.slice(2);
const { Upload } = createRequire(join(modules, 'node_modules', 'x'))('tus-js-client');
const { size } = statSync(file);
// Of a stream it does not know which piece is the last, and the draft wants to be told.
const source = () => (protocol === 'tus-v1' ? createReadStream(file) : readFileSync(file));

const upload = (more) => new Promise((resolve, reject) => {
  const it = new Upload(source(), {
    endpoint,
    protocol,
    chunkSize: 1_000_000,
    uploadSize: size,
    retryDelays: [0, 100],
    metadata: { filename: `by ${protocol}.bin`, filetype: 'application/octet-stream' },
    onError: reject,
    onSuccess: () => resolve(it),
    ...more(() => it, resolve),
  });
  it.start();
});

const first = await upload((it, resolve) => ({
  onChunkComplete: async (_, accepted) => {
    if (accepted < 2_000_000) return;
    await it().abort();
    resolve(it());
  },
}));
let began = 0;
await upload(() => ({
  uploadUrl: first.url,
  onProgress: (sent) => { began ||= sent; },
}));
if (began < 2_000_000) throw new Error(`it began at ${began}`);
console.log('all is well');
process.exit(0);
