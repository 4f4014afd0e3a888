// title: a result with duplicate keys, lone surrogates and nesting without end, for parsers that disagree
// wall: result
// gvisor: result
// artifacts: *
'use strict';
const fs = require('fs');

exports.handler = undefined;
fs.writeFileSync(process.env.SANDBOX_RESULT_FILE, '{"a":1,"a":2,"b":"\\ud800","c":' + '['.repeat(20000) + ']'.repeat(20000) + '}');
require('./attack.js').held('the forgery is laid');
