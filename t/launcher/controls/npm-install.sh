# title: npm installs a local package offline, and it can be required
# needs: /usr/lib/node_modules/npm
# limits: memory=768m disk=64m
set -e
mkdir -p package && printf '{"name":"hello","version":"1.0.0","main":"i.js"}' > package/package.json && echo 'module.exports = () => "hello from a package";' > package/i.js
tar czf hello-1.0.0.tgz package
mkdir app && cd app && printf '{"name":"app","version":"1.0.0"}' > package.json
export npm_config_cache=/tmp/npm npm_config_update_notifier=false
npm install --offline --no-audit --no-fund --ignore-scripts ../hello-1.0.0.tgz >/tmp/npm.log 2>&1 || { cat /tmp/npm.log >&2; exit 1; }
[ "$(node -e 'console.log(require("hello")())')" = "hello from a package" ] && echo WORKS
