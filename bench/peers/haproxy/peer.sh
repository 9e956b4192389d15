#!/bin/bash
# can: http tls h2 miss
# HAProxy of Debian sid where setup.sh made it, else the machine's own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  said=$("${root[@]}" haproxy -v 2>/dev/null) || { echo "no haproxy: bench/setup.sh gets it" >&2; exit 1; }
  echo "${said%%$'\n'*}"
  exit 0
fi
render haproxy.cfg
cat "$CERTIFICATES/tls.crt" "$CERTIFICATES/tls.key" > "$DIRECTORY/tls.pem"
# Its log to standard output goes line by line; it has no buffered one.
exec "${root[@]}" haproxy -db -f "$DIRECTORY/haproxy.cfg" >> "$DIRECTORY/access.log"
