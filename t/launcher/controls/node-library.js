// title: Node's files, streams, crypto, zlib, WebAssembly, timers and intl
'use strict';
const fs = require('fs');
const assert = require('assert');
const crypto = require('crypto');
const { pipeline } = require('stream/promises');
const zlib = require('zlib');

(async () => {
  await fs.promises.mkdir('a/b', { recursive: true });
  await fs.promises.writeFile('a/b/c', crypto.randomBytes(200000));
  await pipeline(fs.createReadStream('a/b/c'), zlib.createGzip(), fs.createWriteStream('c.gz'));
  await pipeline(fs.createReadStream('c.gz'), zlib.createGunzip(), fs.createWriteStream('d'));
  assert((await fs.promises.readFile('d')).equals(await fs.promises.readFile('a/b/c')));
  await fs.promises.cp('a', 'e', { recursive: true });
  assert.strictEqual((await fs.promises.readdir('e/b')).length, 1);
  await fs.promises.rm('e', { recursive: true });
  const key = await new Promise((done, fail) => crypto.generateKeyPair('ed25519', (e, pub, priv) => (e ? fail(e) : done({ pub, priv }))));
  assert(crypto.verify(null, Buffer.from('x'), key.pub, crypto.sign(null, Buffer.from('x'), key.priv)));
  await new Promise((done, fail) => crypto.scrypt('p', 's', 32, (e, k) => (e ? fail(e) : done(k))));
  const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
  assert.strictEqual((await WebAssembly.instantiate(wasm)).instance.exports.add(40, 2), 42);
  assert.strictEqual(new Intl.DateTimeFormat('de', { timeZone: 'Asia/Tokyo', hour: 'numeric', hour12: false }).formatToParts(new Date(0))[0].value, '09');
  assert(require('os').cpus().length > 0 && require('os').totalmem() > 0);
  await require('timers/promises').setTimeout(20);
  console.log('WORKS');
})();
