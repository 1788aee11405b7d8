// tus-js-client, as uploads in other people's pages use it: node tus_peer.mjs MODULES URL FILE
// It is stopped in the middle, and another one goes on with what it finds.
import { createReadStream, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, endpoint, file] = process.argv.slice(2);
const { Upload } = createRequire(join(modules, 'node_modules', 'x'))('tus-js-client');
const { size } = statSync(file);

const upload = (more) => new Promise((resolve, reject) => {
  const it = new Upload(createReadStream(file), {
    endpoint,
    chunkSize: 1_000_000,
    uploadSize: size,
    retryDelays: [0, 100],
    metadata: { filename: 'by tus-js-client.bin', filetype: 'application/octet-stream' },
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
