// title: a flood of Node workers, each with threads and a heap of its own
// wall: pids
// limits: processes=24 memory=512m
// expect: limit processes memory held
'use strict';
const { held, escaped } = require('./attack.js');
const { Worker } = require('worker_threads');

let n = 0;
function more() {
  if (n === 40) escaped('40 workers');
  let worker;
  try {
    worker = new Worker('setTimeout(() => {}, 20000); require("worker_threads").parentPort.postMessage(1)', { eval: true });
  } catch (e) {
    held(`worker ${n}: ${e.message}`);
  }
  worker.on('error', (e) => held(`worker ${n}: ${e.message}`));
  worker.once('message', () => { n++; more(); });
}
more();
