'use strict';
// Waits for work on descriptor 3 (docs/agent.md, "Slots"), and makes of this process one that was started with it.
// It cannot be given descriptors: 0 to 2 are a program's, 5 and 6 the output of a session's interpreter, and 3 is, when
// the work has come, for a program's last word or that interpreter's own.
const fs = require('fs');
const { Module } = require('module');

function read(size) {
  const bytes = Buffer.allocUnsafe(size);
  for (let n = 0; n < size;) {
    const got = fs.readSync(3, bytes, n, size - n);
    if (got === 0) process.reallyExit(1);
    n += got;
  }
  return bytes;
}

// The lowest number that is free is the one that was closed.
function place(number, path, flags) {
  fs.closeSync(number);
  if (fs.openSync(path, flags) !== number) process.reallyExit(1);
}

// Each of the engine's functions is compiled when it is first called, and so are expressions: what all work calls is called
// here, and shows nothing. What cannot be rehearsed, because this Node is another, is only slower.
function rehearse(driver) {
  const { Console } = require('console');
  const nothing = fs.openSync('/dev/null', 'r');
  fs.readSync(nothing, Buffer.allocUnsafe(4), 0, 4);
  fs.closeSync(nothing);
  JSON.parse(Buffer.from('{"mode":["job"]}').toString());
  process.emit('beforeExit', 0);
  driver('0;');
  // They are the program's own, and stay with the numbers 1 and 2 when these become those of a session.
  if (![1, 2].every((fd) => fs.fstatSync(fd).isFIFO())) return;
  for (const name of ['stdout', 'stderr']) process[name]._handle.setBlocking(true);
  const { stdout } = process;
  const { write } = stdout;
  stdout.write = () => write.call(stdout, '');
  try {
    new Console({ stdout }).log('%s', 'text', { of: [1, 'value'] });
  } finally {
    delete stdout.write;
  }
}

// Says that this process ends, right before it does (session-agent/last_word.h). Descriptor 3 is kept for that, unless the program
// puts something else there; programs that it starts do not have it: node sees to that for all that it was started with.
function wordOf() {
  const { fstatSync, writeSync } = fs;
  const word = Buffer.from('E\0');
  const { dev, ino } = fstatSync(3);
  return (code) => {
    try {
      const now = fstatSync(3);
      if (now.dev === dev && now.ino === ino) {
        word[1] = code;
        writeSync(3, word);
      }
    } catch {}
  };
}

module.exports = (driver) => {
  delete Module._cache[__filename];
  module.parent.children.length = 0;
  // What a program or an interpreter of a session takes time to load.
  for (const name of ['vm', 'url', 'util', 'net', 'inspector']) require(name);
  try {
    rehearse(driver);
  } catch {}
  fs.writeSync(3, 'R');
  const work = JSON.parse(read(read(4).readUInt32LE()).toString());
  let lastWord = null;
  if (work.mode === 'job') {
    lastWord = wordOf();
  } else {
    place(0, '/dev/null', 'r');
    place(1, '/proc/self/fd/5', 'w');
    place(2, '/proc/self/fd/6', 'w');
  }
  fs.closeSync(5);
  fs.closeSync(6);
  process.chdir(work.cwd);
  for (const name of Object.keys(process.env)) {
    if (!(name in work.env)) delete process.env[name];
  }
  Object.assign(process.env, work.env);
  process.argv.splice(1, process.argv.length, ...work.argv.slice(work.skip));
  Module._initPaths(); // by what HOME is now
  return { mode: work.mode, lastWord };
};
