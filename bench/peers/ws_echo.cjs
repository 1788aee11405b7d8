// WebSocket echo with what npm has: `node ws_echo.cjs FOLDER uws|ws PORT`, FOLDER being the one with node_modules.
const [folder, library, port] = process.argv.slice(2);
const load = (name) => require(require.resolve(name, { paths: [folder] }));

if (library === 'uws') {
  const echo = { maxPayloadLength: 16 << 20, compression: 0, message: (ws, data, binary) => ws.send(data, binary) };
  load('@based/uws').App().ws('/*', echo).listen('127.0.0.1', +port, () => {});
} else {
  const { WebSocketServer } = load('ws');
  const server = new WebSocketServer({ host: '127.0.0.1', port: +port, perMessageDeflate: false, backlog: 4096 });
  server.on('connection', (ws) => {
    ws.on('message', (data, binary) => ws.send(data, { binary }));
    ws.on('error', () => {});
  });
}
