#!/bin/bash
# can: http miss
# Vinyl Cache (Varnish until 2026) of Debian sid. It has no TLS of its own. Its log is written by a process beside it, in
# blocks, as its packages run it; that one's time counts too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  said=$("${root[@]}" vinyld -V 2>&1) || { echo "no vinyld: bench/setup.sh gets it" >&2; exit 1; }
  echo "${said%%$'\n'*}"
  exit 0
fi
render default.vcl
# Told to stop, its worker would wait for connections to the origin: both are killed.
exec "${root[@]}" bash -c '
  vinyld -F -j none -T none -n "$0/work" -a "127.0.0.1:$1" -f "$0/default.vcl" -s malloc,256m & server=$!
  vinylncsa -n "$0/work" -t 30 -a -w "$0/access.log" & log=$!
  stop() {
    for stat in /proc/[0-9]*/stat; do
      read -r pid name state parent rest < "$stat" && [ "$parent" = "$server" ] && kill -KILL "$pid"
    done 2>/dev/null
    kill -KILL $server $log
  }
  trap stop TERM
  wait $server' "$DIRECTORY" "$HTTP_PORT"
