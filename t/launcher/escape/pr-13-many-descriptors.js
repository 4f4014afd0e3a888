// title: open far more descriptors than a sandbox is given, each of them kernel memory
// wall: rlimits
// gvisor: rlimits
'use strict';
const fs = require('fs');
const { held, escaped } = require('./attack.js');

let n = 0;
try {
  for (; n < 6000; n++) fs.openSync('/dev/null', 'r');
} catch (e) {
  held(`${e.code} after ${n}`);
}
escaped(`${n} descriptors`);
