# title: pipelines of coreutils, awk, sed, find, xargs, sort, tar, gzip; job control, traps, here documents
set -eo pipefail
seq 1000 | awk '{s+=$1} END {print s}' | grep -qx 500500
mkdir -p d/e && for i in 1 2 3; do echo "line $i" > d/e/$i.txt; done
[ "$(find d -name '*.txt' -print0 | xargs -0 -n1 -P3 cat | sort | sed -n '2s/line //p')" = 2 ]
tar czf d.tgz d && rm -r d && tar xzf d.tgz && [ -s d/e/3.txt ]
cp -a d d2 && diff -r d d2 && mv d2 d3 && ln -s d3 link && [ -d link/e ]
[ "$(cat <(echo a) <(echo b) | tr -d '\n')" = ab ]
sleep 0.1 & pid=$!; wait $pid
trap 'caught=1' USR1; kill -USR1 $$; [ "$caught" = 1 ]
mkfifo p; echo through > p & [ "$(cat p)" = through ]
timeout 0.1 sleep 9 && exit 1 || [ $? = 124 ]
date -u -d @0 +%Y | grep -qx 1970 && TZ=America/New_York date -d 2024-07-01T12:00Z +%H | grep -qx 08
stat -c %s d.tgz >/dev/null && df /workspace >/dev/null && id -u | grep -qx 1000
head -c 100000 /dev/urandom | sha256sum >/dev/null && printf '%s\n' {1..50} | shuf | sort -n | tail -1 | grep -qx 50
echo WORKS
