// title: watching a file by asking again (fs.watchFile): inotify is not to be had
'use strict';
const fs = require('fs');

fs.writeFileSync('watched', 'a');
const late = setTimeout(() => { console.error('no change was seen'); process.exit(1); }, 8000);
fs.watchFile('watched', { interval: 50 }, () => { clearTimeout(late); console.log('WORKS'); process.exit(0); });
setTimeout(() => fs.appendFileSync('watched', 'b'), 200);
