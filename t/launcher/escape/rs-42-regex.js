// title: a regular expression that runs for ages inside the interpreter, where no timer of its own fires
// wall: cpu
// gvisor: cpu
// limits: cpu_ms=1000
// expect: limit cpu
'use strict';
const { escaped } = require('./attack.js');

setTimeout(() => process.exit(0), 100);
const begin = Date.now();
for (let n = 20; Date.now() - begin < 8000; n++) /^(a+)+$/.test('a'.repeat(Math.min(n, 27)) + '!');
escaped('eight seconds of matching');
