// title: a Node HTTP server and fetch to it, streams, keep-alive, a web socket's upgrade
'use strict';
const http = require('http');
const assert = require('assert');

const server = http.createServer((req, res) => {
  if (req.method === 'POST') { req.pipe(res); return; }
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify({ url: req.url }));
});
server.on('upgrade', (req, socket) => { socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'); });
server.listen(0, '127.0.0.1', async () => {
  const base = `http://localhost:${server.address().port}`;
  assert.strictEqual((await (await fetch(base + '/a?b')).json()).url, '/a?b');
  const body = 'x'.repeat(500000);
  assert.strictEqual(await (await fetch(base, { method: 'POST', body })).text(), body);
  await new Promise((done) => http.get(base, { headers: { Connection: 'Upgrade', Upgrade: 'x' } }).on('upgrade', (r, s) => { s.destroy(); done(); }));
  console.log('WORKS');
  process.exit(0);
});
