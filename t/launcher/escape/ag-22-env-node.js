// title: ask for a variable that opens Node's inspector or loads a module first
// wall: environment
// gvisor: environment
// env: NODE_OPTIONS=--no-warnings
'use strict';
const { held, escaped } = require('./attack.js');

if (process.env.NODE_OPTIONS) escaped('NODE_OPTIONS is ' + process.env.NODE_OPTIONS);
held('not set');
