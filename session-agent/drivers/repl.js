'use strict';
// Keeps the JavaScript of a session: repl.js. Speaks frames on descriptor 3 (docs/agent.md).
//
// A step is evaluated by the engine's own inspector in its REPL mode: let, const and class may be declared again, await
// works at the top, and the value of the last expression comes back. The call is made from a script with
// breakOnSigint, so that SIGINT ends an endless loop in the step's first turn; in later turns it ends the wait. The
// native thread that hears it is kept (node's own REPL has it during an await): starting it for each script takes longer
// than most steps, and in between a signal is lost or ends the process.
const inspector = require('inspector');
const net = require('net');
const path = require('path');
const vm = require('vm');
const { Module } = require('module');

const RICH = path.join(__dirname, 'repl_rich.js');
const { parse, stringify } = JSON;
const { alloc, byteLength, concat, from } = Buffer;
const MAX_NAME = 128, MAX_VALUE = 4096, MAX_TRACEBACK = 24576, MAX_JSON = 40960;

const { startSigintWatchdog, stopSigintWatchdog, watchdogHasPendingSigint } = process.binding('contextify');
const POLL_MS = 20;

let current = null; // the step that runs: what it may show still, and how it ends
let steps = 0;
let rich = null;

// Output is out when a step ends, and when process.exit() ends all.
for (const name of ['stdout', 'stderr']) {
  const property = Object.getOwnPropertyDescriptor(process, name);
  Object.defineProperty(process, name, {
    ...property,
    get() {
      const stream = property.get.call(process);
      Object.defineProperty(process, name, property);
      if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true);
      return stream;
    },
  });
}

const socket = new net.Socket({ fd: 3, readable: true, writable: true });
const write = socket.write.bind(socket);

// SIGINT ends a turn anywhere, also in the middle of a stream's own code, which then waits for ever for itself. So a turn
// only leaves frames here, and they are written when it is over.
let isTurn = false;
let outbox = [];

function flush() {
  const frames = outbox;
  outbox = [];
  for (const frame of frames) write(frame);
}

function send(type, ...parts) {
  const size = parts.reduce((sum, part) => sum + part.length, type.length);
  const head = alloc(4);
  head.writeUInt32LE(size);
  outbox.push(concat([head, from(type), ...parts]));
  if (!isTurn) flush();
}

function repair(stream) {
  const state = stream._writableState;
  if (state && state.writing) Object.assign(state, { writing: false, bufferProcessing: false, corked: 0, length: 0 });
}

// Frames of this file and below it are of no use to who wrote the code.
function describe(error) {
  const { inspect } = require('util');
  let text;
  try {
    text = error instanceof Error && typeof error.stack === 'string' ? error.stack : 'Uncaught ' + inspect(error);
  } catch {
    text = 'Uncaught error that cannot be told';
  }
  const lines = text.split('\n').filter((line) => !/^\s+at .*(node:internal\/|node:inspector|node:vm|node:net|node:events)/.test(line));
  const end = lines.findIndex((line) => /^\s+at /.test(line) && line.includes(__dirname));
  return (end < 0 ? lines : lines.slice(0, end)).join('\n');
}

function cut(text, size) {
  if (text.length <= size) return text;
  const head = Math.floor(size / 3);
  return `${text.slice(0, head)}\n... ${text.length - size} characters left out ...\n${text.slice(head - size)}`;
}

// What strict readers of JSON take.
const clean = (text) => from(text).toString().replaceAll('\0', '\ufffd');

function fit(text, size, bytes) {
  text = clean(cut(text, size));
  while (byteLength(stringify(text)) > bytes) text = clean(cut(text, Math.floor(text.length / 2)));
  return text;
}

function errorOf(error) {
  let name = 'Error', value = '';
  try {
    const isError = error instanceof Error;
    name = String(isError ? error.name : error === null ? 'null' : typeof error);
    value = String(isError ? error.message : require('util').inspect(error));
  } catch (second) {
    value = 'an error that cannot be told';
  }
  return { name: fit(name, MAX_NAME, 1024), value: fit(value, MAX_VALUE, 6144), traceback: fit(describe(error) + '\n', MAX_TRACEBACK, MAX_JSON) };
}

function deliver(step) {
  clearInterval(step.poll);
  for (const [name, value] of Object.entries(step.saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  current = null;
  send('E', from(stringify({ ...step.end, exit_code: null, dropped: Math.min(step.dropped, 1000000) })));
}

function finish(step, status, error) {
  if (step.end) return;
  step.end = { status, error };
  if (!isTurn) deliver(step);
}

function interrupt(step) {
  finish(step, 'interrupted', { name: 'Interrupted', value: 'by SIGINT', traceback: '' });
}

function fail(step, error) {
  finish(step, 'failed', errorOf(error));
}

function show(kind, value, raw) {
  if (!current) return; // a timer of an earlier step
  rich = rich || require(RICH);
  rich.show(current, kind, value, raw, send);
}

const session = new inspector.Session();
session.connect();
const post = session.post.bind(session);

// A value that the inspector holds, as itself: its answers are descriptions.
function take(remote, then) {
  if (remote.objectId === undefined) {
    const special = remote.unserializableValue;
    if (special === undefined) return then(remote.type === 'undefined' ? undefined : remote.value);
    return then(special.endsWith('n') ? BigInt(special.slice(0, -1)) : Number(special));
  }
  bridge.taken = undefined;
  post('Runtime.callFunctionOn', {
    objectId: remote.objectId,
    functionDeclaration: 'function (value) { __sandbox_step__.taken = value; }',
    arguments: [{ objectId: remote.objectId }],
    silent: true,
  });
  const value = bridge.taken;
  bridge.taken = undefined;
  post('Runtime.releaseObject', { objectId: remote.objectId });
  return then(value);
}

function answered(step, error, reply) {
  if (step.end) return;
  if (error) {
    if (/terminated/i.test(error.message)) interrupt(step);
    else fail(step, new Error(error.message));
    return;
  }
  const thrown = reply.exceptionDetails;
  if (thrown) {
    take(thrown.exception || { type: 'string', value: thrown.text }, (value) => fail(step, value));
    return;
  }
  take(reply.result, (value) => {
    try {
      if (value !== undefined) show('result', value, false);
      finish(step, 'succeeded', null);
    } catch (problem) {
      fail(step, problem);
    }
  });
}

// What the script below calls. A global: scripts see nothing else.
const bridge = { run() {}, taken: undefined };
Object.defineProperty(globalThis, '__sandbox_step__', { value: bridge, enumerable: false, configurable: false, writable: false });
const script = new vm.Script('__sandbox_step__.run()', { filename: __filename });
const OPTIONS = { breakOnSigint: true, displayErrors: false };
const turn = process._tickCallback;

function evaluate(step, expression) {
  bridge.run = () => {
    post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true, userGesture: false }, (error, reply) => {
      // The rest may run code of the value, which shall be interruptible too when it can.
      answered(step, error, reply);
    });
    turn.call(process); // what follows an await of something settled belongs to this turn
  };
  if (watchdogHasPendingSigint()) {
    forgetSignal();
    interrupt(step);
    return;
  }
  let ended = null;
  isTurn = true;
  try {
    script.runInThisContext(OPTIONS);
  } catch (error) {
    ended = error;
  }
  isTurn = false;
  if (ended && ended.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') {
    repair(process.stdout);
    repair(process.stderr);
    interrupt(step);
  } else if (ended) {
    process.emit('uncaughtException', ended);
  }
  flush();
  if (current !== step) return;
  if (step.end) {
    deliver(step);
    return;
  }
  step.poll = setInterval(() => {
    if (watchdogHasPendingSigint()) {
      forgetSignal();
      interrupt(step);
    }
  }, POLL_MS);
}

// `{a: 1}` is meant as an object.
function asExpression(code) {
  if (!/^\s*\{/.test(code) || /;\s*$/.test(code)) return code;
  try {
    new vm.Script(`(${code}\n)`);
    return `(${code}\n)`;
  } catch {
    return code;
  }
}

function forgetSignal() {
  stopSigintWatchdog();
  startSigintWatchdog();
}

function listen() {
  // A listener of an earlier step's code would have the signal for itself.
  if (process.listenerCount('SIGINT') > 0) {
    process.removeAllListeners('SIGINT');
    forgetSignal();
  } else if (watchdogHasPendingSigint()) {
    forgetSignal();
  }
  // The code may have removed them.
  for (const [event, listener] of listeners) {
    if (!process.listeners(event).includes(listener)) process.on(event, listener);
  }
}

function begin(header, code) {
  const step = { left: header.max_display_bytes || 0, displays: header.max_displays || 0, dropped: 0, saved: {}, poll: undefined, end: null };
  current = step;
  steps += 1;
  listen();
  for (const [name, value] of Object.entries(header.env || {})) {
    step.saved[name] = process.env[name];
    process.env[name] = value;
  }
  try {
    if (/\b(?:import|export)\b/.test(code)) code = require('./repl_import.js').rewrite(code);
    evaluate(step, `${asExpression(code)}\n//# sourceURL=step-${steps}.js`);
  } catch (error) {
    fail(step, error);
  }
}

let buffer = alloc(0);
socket.on('data', (data) => {
  buffer = buffer.length ? concat([buffer, data]) : data;
  while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32LE(0)) {
    const frame = buffer.subarray(4, 4 + buffer.readUInt32LE(0));
    buffer = buffer.subarray(4 + frame.length);
    const end = frame.indexOf(10);
    begin(parse(frame.toString('utf8', 1, end)), frame.toString('utf8', end + 1));
  }
});
socket.on('end', () => process.exit());
socket.on('error', () => process.exit(1));

const listeners = [
  ['uncaughtException', (error) => process.stderr.write(`${describe(error)}\n`)],
  ['unhandledRejection', (error) => process.stderr.write(`Unhandled rejection: ${describe(error)}\n`)],
];

// The code is known as a file of the workspace, so that require() and import find what is there.
const main = new Module(path.join(process.cwd(), 'step.js'), null);
main.filename = main.id;
main.paths = Module._nodeModulePaths(process.cwd());
main._compile('module.exports = { require, load: (name) => import(name) };', main.filename);
const { require: requireThere, load } = main.exports;
main.exports = {};
Object.assign(globalThis, { require: requireThere, module: main, exports: main.exports, __dirname: process.cwd(), __filename: main.filename });
bridge.load = load;
bridge.url = require('url').pathToFileURL(main.filename).href;
globalThis.display = (value, options) => show('display', value, Boolean(options && options.raw));
process.argv = [process.argv[0], ''];
process.mainModule = main;
startSigintWatchdog();
listen();
send('R');
