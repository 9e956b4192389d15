#!/bin/bash
# can: http tls h2 miss
# Apache Traffic Server of Debian stable (sid has none).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"
if [ "$1" = version ]; then
  command -v traffic_server >/dev/null || { echo "no traffic_server: apt-get install trafficserver" >&2; exit 1; }
  said=$(traffic_server --version 2>&1); echo "${said%%$'\n'*}"
  exit 0
fi
for file in runroot.yaml records.config remap.config storage.config ssl_multicert.config logging.yaml ip_allow.yaml; do
  render "$file"
done
cp "$CERTIFICATES/tls.crt" "$CERTIFICATES/tls.key" "$DIRECTORY"
# It refuses to run as root.
chown -R trafficserver: "$DIRECTORY"
exec traffic_server --run-root="$DIRECTORY"
