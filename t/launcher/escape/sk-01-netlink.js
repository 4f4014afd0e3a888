// title: ask the network stack by netlink for its links (through the runtime's own interface list)
// wall: seccomp
// gvisor: seccomp
'use strict';
const { held, escaped } = require('./attack.js');

const run = require('child_process').spawnSync('/usr/bin/python3', ['-I', '-c',
  'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0)); print("bound")']);
if (String(run.stdout).includes('bound')) escaped('a route socket');
held(String(run.stderr).trim().split('\n').pop());
