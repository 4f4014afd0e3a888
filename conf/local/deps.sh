#!/bin/bash
# Installs the Debian packages that a purpose needs and that are missing.
# Usage: deps.sh build|run|test|extra
set -euo pipefail

build="gcc make pkg-config nginx nginx-dev libjwt-dev libjansson-dev libyajl-dev libuv1-dev libhttp-parser-dev
       libseccomp-dev libsqlite3-dev libssl-dev libwslay-dev python3-minimal python3 curl openssl perl util-linux procps"
run="$build runsc netbase" # both tiers; names of ports
test="$run clang clang-format clang-tidy libclang-rt-14-dev cppcheck libcrypt-jwt-perl libcryptx-perl
      sqlite3 wrk bubblewrap universal-ctags libjson-perl python3-jsonschema dpkg-dev libpcre2-dev zlib1g-dev
      python3-numpy python3-pandas python3-matplotlib python3-pil python3-pip" # what tenants use: t/launcher/controls, t/agent/repl_python.t

extra="$test python3-venv chromium" # t/extra/docs_page.t

case "${1:-}" in
build) packages=$build ;;
run) packages=$run ;;
test) packages=$test ;;
extra) packages=$extra ;;
*) echo "usage: $0 build|run|test|extra" >&2; exit 2 ;;
esac
# Any Go of 1.19 or later builds what test-extra needs of it.
if [ "$1" = extra ] && ! command -v go >/dev/null 2>&1 && [ ! -x /usr/local/go/bin/go ]; then
    packages="$packages golang-go"
fi
# A node of another origin serves as well as Debian's.
command -v node >/dev/null 2>&1 || packages="$packages nodejs"

# Likewise npm, which installs what t/mcp/package.json names.
case "$1" in
test | extra) command -v npm >/dev/null 2>&1 || packages="$packages npm" ;;
esac

missing=()
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || { echo "missing packages, and only root can install them: ${missing[*]}" >&2; exit 1; }
echo "== installing ${#missing[@]} packages: ${missing[*]}"

# Packages that bring a service would start it on a public port: forbid that while we install.
guard=/usr/sbin/policy-rc.d
made=
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$guard"
    chmod 755 "$guard"
    made=1
fi
trap '[ -z "$made" ] || rm -f "$guard"' EXIT

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
echo "== packages are installed"
