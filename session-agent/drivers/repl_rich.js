'use strict';
// Displays: the forms of a value, as many as the step may show.
const { inspect } = require('util');

const MAX_TEXT = 65536, MAX_ITEMS = 16, MAX_ITEM = 8 << 20, MAX_NODES = 10000, MAX_DEPTH = 32;
const HOOKS = [Symbol.for('sandbox.display'), Symbol.for('Jupyter.display'), '_repr_mimebundle_'];
const FORMS = [
  ['text/html', '_repr_html_'],
  ['text/markdown', '_repr_markdown_'],
  ['text/latex', '_repr_latex_'],
  ['image/svg+xml', '_repr_svg_'],
  ['image/png', '_repr_png_'],
  ['image/jpeg', '_repr_jpeg_'],
  ['application/json', '_repr_json_'],
];

const { from, concat } = Buffer;
const { stringify } = JSON;
const clean = (text) => from(text.replaceAll('\0', '\ufffd'));

function complain(what, error) {
  let text = 'an error';
  try {
    text = String(error);
  } catch {
    // nothing more is known
  }
  process.stderr.write(`${what} failed: ${text}\n`);
}

function plain(value) {
  let text;
  try {
    text = inspect(value);
  } catch (error) {
    return '<the value cannot be inspected>';
  }
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}... ${text.length - MAX_TEXT} characters more`;
}

// Whether it is objects, arrays, texts, numbers and nothing else, and not too much of them.
function isData(value) {
  const rest = [[value, 0]];
  let n = 0;
  while (rest.length > 0) {
    const [one, depth] = rest.pop();
    if (++n > MAX_NODES || depth > MAX_DEPTH) return false;
    if (one === null || typeof one === 'string' || typeof one === 'boolean') continue;
    if (typeof one === 'number') {
      if (!Number.isFinite(one)) return false;
      continue;
    }
    if (typeof one !== 'object' || require('util').types.isProxy(one)) return false;
    const prototype = Object.getPrototypeOf(one);
    const isArray = Array.isArray(one);
    if (!isArray && prototype !== Object.prototype && prototype !== null) return false;
    if (Object.getOwnPropertySymbols(one).length > 0 || (isArray && one.length > MAX_NODES)) return false;
    const properties = Object.getOwnPropertyDescriptors(one);
    if (isArray && Object.keys(one).length !== one.length) return false;
    for (const [key, property] of Object.entries(properties)) {
      if (isArray && key === 'length') continue;
      if (!('value' in property) || !property.enumerable || key === 'toJSON') return false;
      rest.push([property.value, depth + 1]);
    }
  }
  return true;
}

function bytes(mime, data) {
  if (data === undefined || data === null) return null;
  if (mime === 'application/json' || mime.endsWith('+json')) {
    const text = stringify(data);
    return text === undefined ? null : clean(text);
  }
  if (typeof data === 'string') {
    const isPicture = /^(image|audio|video)\//.test(mime) && mime !== 'image/svg+xml';
    return isPicture ? from(data, 'base64') : clean(data);
  }
  if (!(data instanceof Uint8Array)) throw new TypeError(`${mime} cannot be a ${typeof data}`);
  return mime.startsWith('text/') || mime === 'image/svg+xml' ? clean(from(data).toString()) : from(data);
}

function collect(forms, bundle) {
  if (!bundle || typeof bundle !== 'object') return;
  for (const [mime, data] of Object.entries(bundle)) {
    if (mime.length > 64 || !/^[a-z0-9.+-]+\/[a-z0-9.+-]+$/.test(mime) || forms.size >= MAX_ITEMS) continue;
    try {
      const form = bytes(mime, data);
      if (form) forms.set(mime, form);
    } catch (error) {
      complain(mime, error);
    }
  }
}

function method(value, name) {
  try {
    return typeof value[name] === 'function' ? value[name] : null;
  } catch {
    return null;
  }
}

function formsOf(value) {
  const forms = new Map();
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return forms;
  if (require('util').types.isProxy(value)) return forms;
  for (const name of HOOKS) {
    const hook = method(value, name);
    if (!hook) continue;
    try {
      collect(forms, hook.call(value));
    } catch (error) {
      complain(String(name), error);
    }
    break;
  }
  for (const [mime, name] of FORMS) {
    const hook = forms.has(mime) ? null : method(value, name);
    if (!hook) continue;
    try {
      const form = bytes(mime, hook.call(value));
      if (form) forms.set(mime, form);
    } catch (error) {
      complain(name, error);
    }
  }
  if (forms.size === 0 && typeof value === 'object' && isData(value)) forms.set('application/json', clean(stringify(value)));
  return forms;
}

function fit(step, text, forms) {
  let left = Math.max(0, step.left - text.length);
  const kept = [];
  for (const [mime, data] of forms) {
    if (data.length > Math.min(left, MAX_ITEM)) {
      step.dropped += 1;
      text = concat([text, from(`\n[${mime} of ${data.length} bytes is left out: too large]`)]);
    } else {
      left -= data.length;
      kept.push([mime, data]);
    }
  }
  const room = Math.max(0, Math.min(MAX_ITEM, step.left) - kept.reduce((sum, [, data]) => sum + data.length, 0));
  if (text.length > room) {
    let end = room;
    while (end > 0 && (text[end] & 0xc0) === 0x80) end -= 1; // not within a letter
    text = text.subarray(0, end);
  }
  return [['text/plain', text], ...kept];
}

exports.show = (step, kind, value, raw, send) => {
  if (step.displays <= 0 || step.left <= 0) {
    step.dropped += 1;
    return;
  }
  let forms;
  if (raw) {
    forms = new Map();
    collect(forms, value);
  } else {
    forms = formsOf(value);
  }
  const given = forms.get('text/plain');
  forms.delete('text/plain');
  const text = given || clean(raw ? `<${[...forms.keys()].join(', ')}>` : plain(value));
  const kept = fit(step, text, forms);
  step.displays -= 1;
  step.left -= kept.reduce((sum, [, data]) => sum + data.length, 0);
  const items = kept.map(([mime, data]) => ({ mime, size: data.length }));
  send('D', from(`${stringify({ kind, items })}\n`), ...kept.map(([, data]) => data));
};
