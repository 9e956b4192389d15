#!/bin/bash
# can: http tls h2 files-only
# H2O has no cache of HTTP: it serves the same bodies as static files.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  command -v h2o >/dev/null || { echo "no h2o: apt-get install h2o" >&2; exit 1; }
  h2o --version | head -1
  exit 0
fi
render h2o.conf
exec h2o -m worker -c "$DIRECTORY/h2o.conf"
