// title: let the runtime's own threads use io_uring, by libuv's switch for it
// wall: seccomp_calls
// gvisor: seccomp_calls
// source: CVE-2024-22017: node's rings outlived a change of user
'use strict';
const fs = require('fs');
const { held, escaped } = require('./attack.js');

const run = require('child_process').spawnSync(process.execPath, ['-e', `
  const fs = require('fs');
  fs.promises.stat('/workspace').then(() => {
    const rings = fs.readdirSync('/proc/self/fd').map((n) => { try { return fs.readlinkSync('/proc/self/fd/' + n); } catch (e) { return ''; } });
    process.stdout.write(rings.filter((r) => r.includes('io_uring')).length ? 'ring' : 'none');
  });`], { env: { ...process.env, UV_USE_IO_URING: '1' } });
if (String(run.stdout) === 'ring') escaped('a ring in a thread pool');
const direct = require('child_process').spawnSync('/usr/bin/python3', ['-I', '-c',
  'import ctypes; print(ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)))']);
if (Number(String(direct.stdout)) >= 0) escaped('a ring by a child');
held(`child: ${run.stdout}, call: ${String(direct.stdout).trim()}`);
