'use strict';
// Runs a program as the main module, then its handler: node.js SOURCE [ARG...]
// The program is known as main.js of the current directory, so that require() and
// import find what was uploaded there.
const fs = require('fs');
const path = require('path');

const driver = __filename;

// Without a source it waits for its work first, which may be that of repl.js too.
const work = process.argv.length < 3 ? require('./node_slot.js')(rehearse) : null;
if (work && work.mode === 'context') {
  const { Module } = require('module');
  delete require.cache[driver];
  Module._load(process.argv[1], null, true);
  return;
}

const env = process.env;
const eventFile = env.SANDBOX_EVENT_FILE;
const resultFile = env.SANDBOX_RESULT_FILE;
const context = {
  functionName: 'handler',
  requestId: env.SANDBOX_STEP_ID || '',
  awsRequestId: env.SANDBOX_STEP_ID || '',
  sessionId: env.SANDBOX_SESSION_ID || '',
};

// Writes to a pipe wait, or process.exit() would lose what the reader has not taken yet.
for (const name of ['stdout', 'stderr']) {
  const property = Object.getOwnPropertyDescriptor(process, name);
  Object.defineProperty(process, name, {
    ...property,
    get() {
      const stream = property.get.call(process);
      Object.defineProperty(process, name, property);
      if (stream._handle && stream._handle.setBlocking) {
        stream._handle.setBlocking(true);
      }
      return stream;
    },
  });
}

// Frames of this file and of node's loader below it are of no use to who wrote the program.
function describe(error) {
  if (!(error instanceof Error) || typeof error.stack !== 'string') {
    return 'Uncaught ' + require('util').inspect(error);
  }
  const lines = error.stack.split('\n');
  const end = lines.findIndex((line) => line.includes(driver));
  const kept = (end < 0 ? lines : lines.slice(0, end)).filter(
    (line) => !/^\s+at .*\(?node:internal\/(modules|vm|process)/.test(line));
  const extra = Object.keys(error).length > 0 ? ' ' + require('util').inspect({ ...error }) : '';
  return kept.join('\n') + extra;
}

// What the program has promised and not kept yet; node ends without a word when nothing is left to wait for.
// Told at the exit, not before: a listener of the program may find more to do when node has nothing left.
let promised = null;
let isIdle = false;
process.on('beforeExit', () => { isIdle = true; });
const { emit, reallyExit } = process;
process.on('exit', function last(code) {
  if (promised && isIdle && code === 0) {
    process.stderr.write(`${promised} never settled: nothing was left that could settle it\n`);
    process.exitCode = 1;
  }
  // What is left is to free, piece by piece, what goes with the process, unless somebody has more to do. An error that
  // nobody caught has a code, and is told after this.
  const isAll = process.listeners('exit').at(-1) === last && process.emit === emit && process.reallyExit === reallyExit &&
    !Object.keys(require.cache).some((name) => name.endsWith('.node'));
  if (code === 0 && isAll) {
    const status = process.exitCode || 0;
    if (work) work.lastWord(status);
    process.reallyExit(status);
  }
});

function fail(error) {
  promised = null;
  if (process.listenerCount('uncaughtException') > 0) {
    throw error;
  }
  process.stderr.write(describe(error) + '\n');
  process.exit(1);
}

// Whether the source can only be an ES module. Only sources with a hint are compiled twice.
function isModule(source, filename) {
  if (!/\b(?:import|export|await)\b/.test(source)) {
    return false;
  }
  const vm = require('vm');
  const compiles = (text) => {
    try {
      new vm.Script(text, { filename });
      return true;
    } catch (error) {
      return !(error instanceof SyntaxError) ||
        !/import statement|import\.meta|token 'export'|await is only valid|reserved word|missing \) after/.test(error.message);
    }
  };
  const wrap = (text) => require('module').wrap(text);
  return !compiles(wrap(source.replace(/^#!.*/, '')));
}

function runScript(source, filename) {
  const Module = require('module');
  const main = new Module(filename, null);
  main.id = '.';
  main.filename = filename;
  main.paths = Module._nodeModulePaths(path.dirname(filename));
  process.mainModule = main;
  Module._cache[filename] = main;
  main._compile(source, filename);
  main.loaded = true;
  return main.exports;
}

// Before there is work: a program's way through this file, which leaves no trace.
function rehearse(source) {
  const { mainModule } = process;
  const filename = '/rehearsal/main.js';
  if (!isModule(source, filename)) {
    runScript(source, filename);
  }
  delete require.cache[filename];
  process.mainModule = mainModule;
}

// An ES module must be a file beside those it imports. Its name is hidden, so no artifact pattern takes it.
async function runModule(source, dir) {
  let file = path.join(dir, '.main.mjs');
  try {
    fs.writeFileSync(file, source, { flag: 'wx' });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    file = path.join(dir, `.main-${process.pid}.mjs`);
    fs.writeFileSync(file, source, { flag: 'wx' });
  }
  process.on('exit', () => fs.rmSync(file, { force: true }));
  process.argv[1] = file;
  return import(require('url').pathToFileURL(file).href);
}

function call(handler) {
  const event = eventFile ? JSON.parse(fs.readFileSync(eventFile, 'utf8')) : {};
  if (handler.length < 3) {
    return handler(event, context);
  }
  return new Promise((resolve, reject) => {
    handler(event, context, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

function store(value) {
  promised = null;
  let text;
  try {
    text = value === undefined ? 'null' : JSON.stringify(value, (key, item) => {
      if (typeof item === 'number' && !Number.isFinite(item)) {
        throw new TypeError(`${item} has no form in JSON`);
      }
      return item;
    });
    if (text === undefined) {
      throw new TypeError(`a ${typeof value} has no form in JSON`);
    }
  } catch (error) {
    process.stderr.write(`the handler's result is not JSON: ${error.message}\n`);
    process.exit(1);
  }
  fs.writeFileSync(resultFile + '.new', text);
  fs.renameSync(resultFile + '.new', resultFile);
}

function finish(exported) {
  promised = null;
  const handler = exported && (exported.handler || (exported.default && exported.default.handler));
  if (typeof handler !== 'function') {
    return;
  }
  const value = call(handler);
  if (value && typeof value.then === 'function') {
    promised = "the handler's promise";
    Promise.resolve(value).then(store).catch(fail);
  } else {
    store(value);
  }
}

try {
  const source = fs.readFileSync(process.argv[2], 'utf8');
  const dir = process.cwd();
  const filename = path.join(dir, 'main.js');
  process.argv.splice(1, 2, filename);
  if (isModule(source, filename)) {
    promised = "the program's top-level await";
    runModule(source, dir).then(finish).catch(fail);
  } else {
    finish(runScript(source, filename));
  }
} catch (error) {
  fail(error);
}
