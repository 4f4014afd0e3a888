// title: Node workers, shared memory with Atomics, child processes and clusters' channels
'use strict';
const { Worker } = require('worker_threads');
const { fork, spawnSync, exec } = require('child_process');
const assert = require('assert');

(async () => {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const source = 'const {workerData}=require("worker_threads");for(let i=0;i<1000;i++)Atomics.add(workerData,0,1)';
  await Promise.all([1, 2, 3].map(() => new Promise((done, fail) =>
    new Worker(source, { eval: true, workerData: shared }).on('exit', done).on('error', fail))));
  assert.strictEqual(shared[0], 3000);
  require('fs').writeFileSync('child.js', 'process.on("message",(m)=>{process.send(m*2);process.disconnect()})');
  const child = fork('./child.js');
  const twice = new Promise((done) => child.on('message', done));
  child.send(21);
  assert.strictEqual(await twice, 42);
  assert.strictEqual(spawnSync('cat', { input: 'piped' }).stdout.toString(), 'piped');
  await new Promise((done, fail) => exec('echo $HOME | wc -c', (e, out) => (e ? fail(e) : done(out))));
  console.log('WORKS');
})();
