#!/bin/bash
# can: http tls h2 files-only
# Caddy as Debian ships it has no cache of HTTP (a plug-in has): it serves the same bodies as static files.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  "${root[@]}" caddy version 2>/dev/null || { echo "no caddy: bench/setup.sh gets it" >&2; exit 1; }
  exit 0
fi
render Caddyfile
export GOMAXPROCS=1 HOME=$DIRECTORY XDG_DATA_HOME=$DIRECTORY XDG_CONFIG_HOME=$DIRECTORY
exec "${root[@]}" caddy run --config "$DIRECTORY/Caddyfile" --adapter caddyfile
