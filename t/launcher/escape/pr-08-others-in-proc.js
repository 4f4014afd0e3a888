// title: see processes that are not one's own
// wall: pid_namespace
'use strict';
const fs = require('fs');
const { held, escaped } = require('./attack.js');

const seen = fs.readdirSync('/proc').filter((n) => /^\d+$/.test(n)).map(Number);
// Few processes have been here before us; on the host, thousands.
if (process.pid > 1000) escaped(`our own number is ${process.pid}`);
for (const pid of seen) {
  if (pid === 1) continue;
  const uid = /^Uid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (uid && uid[1] !== '1000') escaped(`process ${pid} of ${uid[1]}`);
}
held(`${seen.length} processes, ours is ${process.pid}`);
