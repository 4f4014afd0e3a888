'use strict';
// Keeps the JavaScript of a session: repl.js. Speaks frames on descriptor 3 (docs/agent.md).
//
// A step is evaluated by the engine's own inspector in its REPL mode: let, const and class may be declared again, await
// works at the top, and the value of the last expression comes back. The call only goes as far as an await that stands
// before the code, and the promise of the code's end is waited for here: an inspector that is terminated aborts the
// process (V8 11.3, when the code throws). The code runs in microtasks, and these from a script with breakOnSigint, so
// that SIGINT ends an endless loop in the step's first turn; in later turns it ends the wait. One that came before the
// code ends the step at that await. The native thread that hears it is kept (node's own REPL has it during an await):
// starting it for each script takes longer than most steps, and in between a signal is lost or ends the process.
const inspector = require('inspector');
const net = require('net');
const path = require('path');
const vm = require('vm');
const { inspect } = require('util');
const { Module } = require('module');

// Not when it is needed: an interrupt would leave half of it.
const rich = require('./repl_rich.js');

const { parse, stringify } = JSON;
const { alloc, byteLength, concat, from } = Buffer;
const MAX_NAME = 128, MAX_VALUE = 4096, MAX_TRACEBACK = 24576, MAX_JSON = 40960;

const { startSigintWatchdog, stopSigintWatchdog } = process.binding('contextify');
process.noDeprecation = true; // for the next line
const { clearAsyncIdStack } = process.binding('async_wrap');
delete process.noDeprecation;
const POLL_MS = 20;
const LATE_MS = 1000; // what has not come by then got lost: the engine forgets one that comes just when a script ends
const STRICT = '"use strict";', PAUSE = 'void (await 0, __sandbox_step__.enter());';
const SHIFT = STRICT.length + PAUSE.length; // of the first line's columns

let current = null; // the step that runs: what it may show still, and how it ends
let steps = 0;
let isHeard = false; // SIGINT, since the step began
const EARLY = {}; // is thrown when it came before the code

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
  let text;
  try {
    text = error instanceof Error && typeof error.stack === 'string' ? error.stack : 'Uncaught ' + inspect(error);
  } catch {
    text = 'Uncaught error that cannot be told';
  }
  const lines = text.split('\n').filter((line) => !/^\s+at .*(node:internal\/|node:inspector|node:vm|node:net|node:events)/.test(line));
  const end = lines.findIndex((line) => /^\s+at /.test(line) && line.includes(__dirname));
  const shift = (all, place, column) => place + Math.max(1, column - SHIFT);
  return (end < 0 ? lines : lines.slice(0, end)).map((line) => line.replace(/^(\s+at .*\bstep-\d+\.js:1:)(\d+)/, shift)).join('\n');
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
    value = String(isError ? error.message : inspect(error));
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
  catchErrors();
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
  if (error === EARLY) interrupt(step);
  else finish(step, 'failed', errorOf(error));
}

function show(kind, value, raw) {
  if (!current) return; // a timer of an earlier step
  rich.show(current, kind, value, raw, send);
}

const session = new inspector.Session();
session.connect();
const post = session.post.bind(session);

function succeed(step, value) {
  if (step.end) return;
  try {
    if (value !== undefined) show('result', value, false);
    finish(step, 'succeeded', null);
  } catch (problem) {
    fail(step, problem);
  }
}

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
    else if (/find context/.test(error.message)) process.reallyExit(1); // process.kill(process.pid) takes the inspector's
    else fail(step, new Error(error.message));
    return;
  }
  const thrown = reply.exceptionDetails;
  if (thrown) {
    take(thrown.exception || { type: 'string', value: thrown.text }, (value) => fail(step, value));
    return;
  }
  take(reply.result, (value) => succeed(step, value));
}

const turn = process._tickCallback;
// What the script below calls. A global: scripts see nothing else.
const bridge = { run: () => turn.call(process), enter, taken: undefined };
Object.defineProperty(globalThis, '__sandbox_step__', { value: bridge, enumerable: false, configurable: false, writable: false });
const script = new vm.Script('__sandbox_step__.run()', { filename: __filename });
const OPTIONS = { breakOnSigint: true, displayErrors: false };

// Whether a signal came that ended nothing; it is forgotten. The thread goes on: it is only counted down.
function takeSignal() {
  startSigintWatchdog();
  const has = stopSigintWatchdog();
  isHeard ||= has;
  return has;
}

// From here on a signal ends the turn by itself.
function enter() {
  if (takeSignal()) throw EARLY;
}

function runTurn(step) {
  try {
    script.runInThisContext(OPTIONS);
  } catch (error) {
    if (error.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
    // What was under way left its context behind, which node would take for a reason to abort.
    clearAsyncIdStack();
    isHeard = true;
    repair(process.stdout);
    repair(process.stderr);
    interrupt(step);
  }
}

const { prototype } = Promise;
const { then } = prototype;
const { apply } = Reflect;
const { defineProperty, getOwnPropertyDescriptor } = Object;
const RESULT = '.repl_result'; // V8's name of the value

// Up to the await before the code. The inspector's then() asks for the promise's constructor, which shows the promise; what
// it gets makes it give up.
function prepare(step, expression) {
  const property = getOwnPropertyDescriptor(prototype, 'constructor');
  const isOpen = !property || property.configurable; // or the code has frozen it, and the inspector waits
  let promise = null, answer = null, isLate = false;
  const get = function () {
    promise = this;
    throw promise;
  };
  if (isOpen) defineProperty(prototype, 'constructor', { configurable: true, get });
  post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true, userGesture: false }, (error, reply) => {
    if (isLate) answered(step, error, reply);
    else answer = [error, reply];
  });
  isLate = true;
  if (property && isOpen) defineProperty(prototype, 'constructor', property);
  else if (isOpen) delete prototype.constructor;
  // A value or an error may run code, which shall be interruptible too when it can.
  if (promise) apply(then, promise, [(box) => succeed(step, box[RESULT]), (error) => fail(step, error)]);
  else if (answer) answered(step, ...answer);
}

function evaluate(step, expression) {
  isTurn = true;
  try {
    prepare(step, expression);
  } catch (error) {
    fail(step, error);
  }
  try {
    if (!step.end) runTurn(step);
  } catch (error) {
    process.emit('uncaughtException', error);
  }
  isTurn = false;
  flush();
  if (current !== step) return;
  if (step.end) {
    deliver(step);
    return;
  }
  step.poll = setInterval(() => {
    if (takeSignal()) interrupt(step);
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

const { wait } = Atomics;
const { now } = Date;
const never = new Int32Array(new SharedArrayBuffer(4));

// The signal of the step before, which had its end already. The thread that hears it may not have had its turn yet, and
// would end what runs then.
function takeLateSignal() {
  const end = now() + LATE_MS;
  while (!isHeard && !takeSignal() && now() < end) wait(never, 0, 0, 1);
}

// The code may have removed them.
function catchErrors() {
  for (const [event, listener] of listeners) {
    if (!process.listeners(event).includes(listener)) process.on(event, listener);
  }
}

function begin(header, code) {
  const step = { left: header.max_display_bytes || 0, displays: header.max_displays || 0, dropped: 0, saved: {}, poll: undefined, end: null };
  current = step;
  steps += 1;
  if (header.after_interrupt) takeLateSignal();
  isHeard = false;
  catchErrors();
  for (const [name, value] of Object.entries(header.env || {})) {
    step.saved[name] = process.env[name];
    process.env[name] = value;
  }
  try {
    if (/\b(?:import|export)\b/.test(code)) code = require('./repl_import.js').rewrite(code);
    const mode = /^\s*(['"])use strict\1/.test(code) ? STRICT : ' '.repeat(STRICT.length);
    evaluate(step, `${mode}${PAUSE}${asExpression(code)}\n//# sourceURL=step-${steps}.js`);
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
// A listener of the code's would take the signal from the thread, and its end would leave it with nobody.
for (const [event, name] of [['newListener', 'startListeningIfSignal'], ['removeListener', 'stopListeningIfSignal']]) {
  const original = process.listeners(event).find((listener) => listener.name === name);
  process.removeListener(event, original);
  process.on(event, (type) => type === 'SIGINT' || original(type));
}
startSigintWatchdog();
catchErrors();
send('R');
