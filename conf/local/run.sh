#!/bin/bash
# `make run`: starts gateway, executor and launcher with the embedded default, runs
# a first job through the front door. Run again, it starts what is not running.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
port=${SANDBOX_PORT:-8080}
mcp_addr=${MCP_ADDR:-}
out=${SANDBOX_OUT:-build/release}

say() { printf '== %s\n' "$*"; }
# What half started would only be in the way of the next try.
fail() {
    printf 'error: %s\n' "$*" >&2
    if [ -n "${started:-}" ]; then
        KEEP=1 bash conf/local/stop.sh >&2 || true
    fi
    exit 1
}

[ "$(id -u)" = 0 ] || fail 'the launcher makes namespaces and cgroups: run this as root'
bash conf/local/deps.sh run || say 'runsc could not be installed: there will be no gVisor tier'

# The checkout may be where an unprivileged daemon can't look, so everything it
# needs goes to a directory of its own; run/ holds what a person wants to see.
mkdir -p run
chmod 755 run
if [ ! -L run/state ] || [ ! -d run/state/etc ]; then
    state=$(mktemp -d /var/tmp/ngx_sandbox.XXXXXX)
    ln -sfn "$state" run/state
fi
state=$(readlink run/state)
# Another checkout may run beside this one: its control groups and user ids are others.
instance=local-${state##*.}
uid_base=$((200000 + $(cksum <<< "$instance" | cut -d ' ' -f 1) % 1000 * 2048))
executor_uid=${SANDBOX_EXECUTOR_UID:-64010}
gateway_group=www-data
gateway_gid=$(getent group "$gateway_group" | cut -d: -f3)
chmod 755 "$state"
mkdir -p "$state"/{bin,etc,etc/policies,logs,pids,sock,data,data/audit,data/artifacts,data/denials,tmp,launch}
install -m 755 "$out/executord" "$out/sandbox-launch" "$out/session-agent" "$out/ngx_http_sandbox_module.so" "$state/bin/"
mkdir -p "$state/opt"
cp -r session-agent/drivers session-agent/runtimes.json "$state/opt/"
mkdir -p "$state/opt/drivers/__pycache__"
cp "$out"/pycache/*.pyc "$state/opt/drivers/__pycache__/"
cp -r policies/*.json "$state/etc/policies/"
chown -R "$executor_uid:$executor_uid" "$state/data"
chown "$executor_uid:$gateway_gid" "$state/sock"
chmod 2770 "$state/sock"
chown root:root "$state/data/denials"
chmod 711 "$state/data"
chmod 755 "$state/data/denials"
# The gateway appends; the executor reads, and gives back the space of what it has taken over.
[ -e "$state/data/denials/denials.jsonl" ] ||
    install -m 640 -o "$executor_uid" -g "$executor_uid" /dev/null "$state/data/denials/denials.jsonl"

umask 077
[ -s "$state/etc/jwt.secret" ] || openssl rand -hex 32 > "$state/etc/jwt.secret"
for key in context artifact; do
    if [ ! -s "$state/etc/$key.key" ]; then
        openssl rand -hex 32 > "$state/etc/$key.key"
        chown "$executor_uid" "$state/etc/$key.key"
    fi
done
if [ ! -s "$state/etc/audit.key" ]; then
    "$state/bin/executord" audit keygen --out "$state/etc/audit.key" > "$state/etc/audit.pub" 2> /dev/null
    chown "$executor_uid" "$state/etc/audit.key"
    chmod 644 "$state/etc/audit.pub"
fi
umask 022

# MCP_ADDR: address:port, [address]:port, or :port for this machine alone. Unset: /mcp of the one server.
mcp_server=
if [ -n "$mcp_addr" ]; then
    [[ $mcp_addr == :* ]] && mcp_addr=127.0.0.1$mcp_addr
    [[ $mcp_addr =~ ^([0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$ ]] || fail "MCP_ADDR is no address:port: $mcp_addr"
    mcp_server="server { listen $mcp_addr; sandbox_resource http://$mcp_addr; include mcp_server.conf; }"
fi
fill() {
    sed -e "s,@MCP_SERVER@,$mcp_server,g" -e "s,@STATE@,$state,g; s,@PORT@,$port,g; s,@EXECUTOR_UID@,$executor_uid,g" \
        -e "s,@INSTANCE@,$instance,g; s,@UID_BASE@,$uid_base,g" \
        -e "s,@SECRET@,$state/etc/jwt.secret,g; s,@CONTEXT_KEY@,$state/etc/context.key,g" "$1" > "$2.tmp"
    chmod 644 "$2.tmp"
    mv "$2.tmp" "$2"
}
fill conf/local/gateway.conf.in "$state/etc/gateway.conf"
fill conf/local/executor.conf.in "$state/etc/executor.conf"
# The tier is offered where its program is; whether it runs here is the launcher's to say, and /readyz shows it.
gvisor=
if [ -x /usr/bin/runsc ] || [ -x /usr/local/bin/runsc ]; then
    gvisor=yes
    printf '# Jobs may ask for {"isolation": "gvisor"}.\npool.default.gvisor = 0..2\npool.default.gvisor.python = 1..4\n' >> "$state/etc/executor.conf"
fi
fill conf/local/launcher.conf.in "$state/etc/launcher.conf"
cp conf/gateway/*.conf conf/gateway/*.json "$state/etc/"
mkdir -p "$state/site"
cp docs/openapi.json docs/site/* "$state/site/"

# executord goes before sandboxes that are busy (the launcher sees to itself). Some containers have no real-time share.
first=
if chrt -r 1 true 2> /dev/null; then
    first='chrt -r 1'
fi
running() { [ -s "$state/pids/$1.supervisor" ] && kill -0 "$(cat "$state/pids/$1.supervisor")" 2>/dev/null; }
start() {
    local name=$1
    shift
    if running "$name"; then
        say "$name is running"
        return
    fi
    say "starting $name"
    started=yes
    setsid bash conf/local/supervise.sh "$name" "$state" "$@" > /dev/null 2>&1 < /dev/null &
}
wait_for() {
    local what=$1
    shift
    for _ in $(seq 150); do
        if "$@" > /dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    tail -n 5 "$state"/logs/*.log >&2
    fail "$what did not come up in 15 s; its log is above, all logs are in run/state/logs"
}
free_port() { ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

running gateway || free_port || fail "port $port is taken: set SANDBOX_PORT to another"
start launcher "$state/bin/sandbox-launch" --config "$state/etc/launcher.conf"
wait_for launcher test -S "$state/sock/launch.sock"
# shellcheck disable=SC2086 # words
start executor $first setpriv --reuid "$executor_uid" --regid "$executor_uid" --groups "$gateway_gid" --bounding-set -all \
    --no-new-privs "$state/bin/executord" --config "$state/etc/executor.conf"
wait_for executor test -S "$state/sock/executord.sock"
start gateway nginx -p "$state" -c "$state/etc/gateway.conf" -g 'daemon off;'
url=http://127.0.0.1:$port
mcp_url=${mcp_addr:+http://$mcp_addr/}
mcp_url=${mcp_url:-$url/mcp}
wait_for gateway curl -fsS "$url/readyz"

token=$(perl conf/local/token.pl "$state/etc/jwt.secret" tenant=demo app=quickstart agent=first sub=developer scope=admin)
umask 077
printf '%s\n' "$url" > run/url
printf '%s\n' "$token" > run/token
umask 022

say 'running a first job: Python reads an uploaded CSV, computes, writes an artifact'
reply=$(curl -fsS "$url/v1/jobs" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    --data-binary @conf/local/first-job.json) || fail "the first job was refused; see run/state/logs"
printf '%s\n' "$reply" | python3 -m json.tool
status=$(printf '%s' "$reply" | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])')
[ "$status" = succeeded ] || fail "the first job ended as $status"
link=$(printf '%s' "$reply" | python3 -c 'import json,sys; print(json.load(sys.stdin)["files"][0]["download_url"])')
say "its artifact, from $link:"
curl -fsS "$url$link" -H "Authorization: Bearer $token"

if [ -n "$gvisor" ]; then
    tier='     curl -s $(cat run/url)/v1/jobs -H "Authorization: Bearer $(cat run/token)" -H '"'Content-Type: application/json'"' \
       -d '"'"'{"language":"bash","code":"uname -a","isolation":"gvisor"}'"'"''
else
    tier='     apt-get install runsc, make stop, make run; then jobs may ask for {"isolation":"gvisor"}'
fi
cat <<END

ngx_sandbox is running at $url (make stop ends it)
address: run/url     token: run/token (tenant demo, its administrator, valid for a day)     logs: run/state/logs
API as a page: $url/docs

$token

Try next:
  1. Run some code:
     curl -s \$(cat run/url)/v1/jobs -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' \\
       -d '{"language":"bash","code":"id; uname -a; ls /"}'
  2. Meet a limit (memory; try time, processes, disk, output too):
     curl -s \$(cat run/url)/v1/jobs -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' \\
       -d '{"language":"python","code":"x = bytearray(10**9)","limits":{"memory":"64Mi"}}'
  3. Run behind a kernel of its own, gVisor ("isolation":"process" is the default tier, "gvisor" the stronger):
$tier
  4. Keep an interpreter, and go on where it was:
     S=\$(cat run/url)/v1/sessions/\$(curl -s \$(cat run/url)/v1/sessions -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' \\
       -d '{"language":"python"}' | grep -o 'ses_[a-z0-9]*' | head -n 1)
     curl -s \$S/steps -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' -d '{"code":"x = 20"}'
     curl -s \$S/steps -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' -d '{"code":"x * 2 + 2"}'
  5. Say what may run: from the next request on bash is refused, everywhere, and running bash is stopped:
     curl -s \$(cat run/url)/v1/policies -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' \\
       -d '{"name":"no shell","document":{"languages":["python","javascript"]},"applies_to":[{"tenant":true}]}'
     (DELETE /v1/policies/<its id> takes it back)
  6. See who ran what and what it used, and prove the record is whole:
     curl -s "\$(cat run/url)/v1/audit?limit=5" -H "Authorization: Bearer \$(cat run/token)"
     curl -s "\$(cat run/url)/v1/usage?group_by=app" -H "Authorization: Bearer \$(cat run/token)"
     run/state/bin/executord audit verify --config run/state/etc/executor.conf --public-key run/state/etc/audit.pub
  7. Point an agent at it, by the Model Context Protocol (streamable HTTP): URL $mcp_url, header
     "Authorization: Bearer <run/token>". Or be the agent:
     curl -s $mcp_url -H "Authorization: Bearer \$(cat run/token)" -H 'Content-Type: application/json' \\
       -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_code","arguments":{"language":"python","code":"print(6 * 7)"}}}'
More: README.md, docs/api.md, docs/governance.md, docs/mcp.md
END
