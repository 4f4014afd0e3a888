#!/bin/bash
# Builds the gateway's module.
#
#   build.sh OUT            OUT/ngx_http_sandbox_module.so, for the distribution's nginx
#   build.sh OUT asan       OUT/nginx-asan: nginx from its source package with the module
#                           built in, everything with AddressSanitizer and UBSan;
#                           OUT/ngx_http_sandbox_module.so is then only a stamp
#
# The source package is kept in build/nginx-src.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { echo "usage: $0 OUT [release|asan]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
variant=${2:-release}
work=$out/nginx
so=ngx_http_sandbox_module.so
jobs=$(nproc)
[ "$jobs" -le 4 ] || jobs=4

# Configure prints pages; it is only of interest when it fails.
configure_quietly() {
    if ! "$@" > configure.log 2>&1; then
        tail -n 30 configure.log >&2
        exit 1
    fi
}

# What configure writes into its Makefile by name: the add-on's files, and how it is called.
inputs() {
    (cd "$root" && ls lib/*.h ngx_sandbox_module/*.h && cat config ngx_sandbox_module/build.sh t/asan/nginx.c)
}
stale() {
    [ ! -e "$work/objs/Makefile" ] || ! inputs | cmp -s - "$work/inputs"
}

build_release() {
    local tree=/usr/share/nginx/src
    [ -e "$tree/conf_flags" ] || { echo 'error: nginx-dev is not installed' >&2; exit 1; }
    # A tree of our own: builds side by side, and the package's tree stays as it was installed.
    if stale; then
        rm -rf "$work"
        mkdir -p "$work"
        cp -r "$tree/auto" "$tree/configure" "$work/"
        ln -s "$tree/src" "$work/src"
        # shellcheck disable=SC1091
        source "$tree/conf_flags"
        (cd "$work" && configure_quietly ./configure "${NGX_CONF_FLAGS[@]}" \
            --with-cc-opt='-O2 -g -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-strict-aliasing' \
            --with-ld-opt='-Wl,-z,relro -Wl,-z,now' --add-dynamic-module="$root")
        inputs > "$work/inputs"
    fi
    make -s -j "$jobs" -C "$work" -f objs/Makefile modules
    cp "$work/objs/$so" "$out/$so.tmp"
    mv "$out/$so.tmp" "$out/$so"
}

fetch_source() {
    local cache=$root/build/nginx-src version list
    version=$(dpkg-query -W -f '${Version}' nginx)
    [ -e "$cache/$version/configure" ] && return
    mkdir -p "$cache"
    list=$(mktemp -d)
    # The machine's own sources, with deb-src said: nothing is changed outside this directory.
    mkdir -p "$list/sources.list.d" "$list/lists/partial"
    : > "$list/sources.list"
    if [ -e /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > "$list/sources.list"
    fi
    for file in /etc/apt/sources.list.d/debian*.sources; do
        [ -e "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" > "$list/sources.list.d/${file##*/}"
    done
    local apt=(-o Dir::Etc::SourceList="$list/sources.list" -o Dir::Etc::SourceParts="$list/sources.list.d"
               -o Dir::State::Lists="$list/lists" -o APT::Sandbox::User=root -o Acquire::Retries=3)
    apt-get -qq "${apt[@]}" update
    # A mirror drops the sources of a revision when the next one is there: another of the same upstream version
    # then serves, newest first. The sanitized nginx is only for tests.
    local revision found=
    for revision in "$version" $(apt-cache "${apt[@]}" showsrc nginx | sed -n "s/^Version: \(${version%-*}-.*\)/\1/p" | grep -Fvx "$version" | sort -rV); do
        if (cd "$list" && apt-get -qq "${apt[@]}" --download-only source "nginx=$revision"); then
            found=1
            break
        fi
        echo "no sources of nginx $revision" >&2
        rm -f "$list"/nginx_*
    done
    if [ -z "$found" ]; then
        rm -rf "$list"
        echo "error: the archive has no sources of nginx ${version%-*}" >&2
        exit 1
    fi
    # What an interrupted run left would be refused as already there.
    rm -rf "$cache/$version.tmp"
    (cd "$list" && dpkg-source --no-check -x ./*.dsc "$cache/$version.tmp" > /dev/null)
    mv "$cache/$version.tmp" "$cache/$version"
    rm -rf "$list"
}

build_asan() {
    local version sanitize='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
    fetch_source
    version=$(dpkg-query -W -f '${Version}' nginx)
    if stale; then
        rm -rf "$work"
        cp -r "$root/build/nginx-src/$version" "$work"
        clang -O1 -c -o "$work/leaks.o" "$root/t/asan/nginx.c"
        # NGX_DEBUG_PALLOC: without it nginx's pools hide every overflow from the sanitizer.
        (cd "$work" && configure_quietly ./configure --with-cc=clang --with-debug --with-threads \
            --with-http_ssl_module --with-http_v2_module --with-http_realip_module --with-http_auth_request_module \
            --with-http_stub_status_module --with-http_slice_module --with-http_gunzip_module \
            --with-http_sub_module --prefix=/usr/share/nginx --error-log-path=stderr \
            --http-log-path=/var/log/nginx/access.log --pid-path=/run/nginx.pid --lock-path=/var/lock/nginx.lock \
            --http-client-body-temp-path=/var/lib/nginx/body --http-proxy-temp-path=/var/lib/nginx/proxy \
            --http-fastcgi-temp-path=/var/lib/nginx/fastcgi --http-scgi-temp-path=/var/lib/nginx/scgi \
            --http-uwsgi-temp-path=/var/lib/nginx/uwsgi \
            --with-cc-opt="-O1 -g -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1 $sanitize \
                -fsanitize-ignorelist=$root/ngx_sandbox_module/sanitize.list" \
            --with-ld-opt="$sanitize $work/leaks.o" --add-module="$root")
        inputs > "$work/inputs"
    fi
    make -s -j "$jobs" -C "$work" -f objs/Makefile binary
    cp "$work/objs/nginx" "$out/nginx-asan.tmp"
    mv "$out/nginx-asan.tmp" "$out/nginx-asan"
    : > "$out/$so"
}

exec 9> "$out/.nginx.lock"
flock 9
case $variant in
    asan) build_asan ;;
    *) build_release ;;
esac
