// title: pairs of sockets in families that the filter of socket() refuses (TIPC has them), told from node by python
// wall: seccomp_sockets
// gvisor: seccomp_sockets
// source: socketpair(2)
'use strict';
const { held, escaped } = require('./attack.js');

const run = require('child_process').spawnSync('/usr/bin/python3', ['-I', '-c', `
import socket
for family in (2, 10, 16, 17, 30, 38, 40, 43, 44):
    for kind in (1, 2, 3, 5):
        try:
            socket.socketpair(family, kind)
            print("made", family, kind)
        except OSError as e:
            if e.errno != 1:
                print("asked", family, kind, e.strerror)
`]);
const out = String(run.stdout).trim().split('\n').pop();
if (out) escaped(out);
held('no pair');
