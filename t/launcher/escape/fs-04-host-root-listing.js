// title: read the host's accounts, logs, keys and homes where they always are
// wall: own_root
// gvisor: own_root
'use strict';
const fs = require('fs');
const { held, escaped } = require('./attack.js');

const tells = ['/etc/shadow', '/etc/sudoers', '/etc/fstab', '/etc/machine-id', '/etc/ssh', '/root/.bashrc', '/root/.ssh', '/var/log',
  '/var/lib/dpkg/status', '/var/lib', '/boot', '/sys/kernel', '/sys/class/net', '/run/systemd', '/run/docker.sock', '/mnt', '/srv'];
for (const path of tells) {
  try {
    fs.statSync(path);
    escaped(`${path} is there`);
  } catch (e) {
    if (e.code !== 'ENOENT' && e.code !== 'EACCES') escaped(`${path}: ${e.code}`);
  }
}
for (const dir of ['/home', '/root', '/var', '/opt']) {
  const names = fs.existsSync(dir) ? fs.readdirSync(dir).filter((n) => n !== 'tmp' && n !== 'sandbox') : [];
  if (names.length) escaped(`${dir} has ${names}`);
}
held(`none of ${tells.length} paths`);
