#!/bin/bash
# can: http tls h2 miss
# Envoy from PyPI, with its HTTP cache filter and the cache in memory that comes with it (which has no bound).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
envoy=$(dirname "$sid")/envoy/bin/envoy
if [ "$1" = version ]; then
  [ -x "$envoy" ] || { echo "no envoy: bench/setup.sh gets it" >&2; exit 1; }
  said=$("$envoy" --version 2>&1); echo "${said//$'\n'/ }"
  exit 0
fi
render envoy.yaml
exec "$envoy" -c "$DIRECTORY/envoy.yaml" --concurrency 1 --use-dynamic-base-id --log-level warning
