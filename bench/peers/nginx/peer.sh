#!/bin/bash
# can: http tls h2 miss
# nginx of Debian sid in a chroot where there is one (bench/setup.sh makes it), else the machine's own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  "${root[@]}" nginx -v 2>&1 || { echo "no nginx: bench/setup.sh gets it" >&2; exit 1; }
  exit 0
fi
render nginx.conf
exec "${root[@]}" nginx -c "$DIRECTORY/nginx.conf" -e "$DIRECTORY/error.log"
