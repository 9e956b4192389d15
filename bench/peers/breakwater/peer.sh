#!/bin/bash
# can: http tls h2 miss
# As its quick start runs it: manifests, the shipped limits and metrics, the access log on. One worker.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BREAKWATER_BIN:-$here/../../../target/$(rustc -vV | sed -n 's/^host: //p')/release/breakwater}
if [ "$1" = version ]; then exec "$bin" --version; fi
mkdir -p "$DIRECTORY/manifests"
sed -e "s/@ORIGIN_PORT@/$ORIGIN_PORT/" \
  -e "s/@CERTIFICATE@/$(base64 -w0 < "$CERTIFICATES/tls.crt")/" \
  -e "s/@KEY@/$(base64 -w0 < "$CERTIFICATES/tls.key")/" \
  "$here/site.yaml" > "$DIRECTORY/manifests/site.yaml"
exec "$bin" run --manifests "$DIRECTORY/manifests" --state "$DIRECTORY/state" --workers 1 --access-log \
  --http "127.0.0.1:$HTTP_PORT" --https "127.0.0.1:$HTTPS_PORT" --admin "127.0.0.1:$ADMIN_PORT" \
  >> "$DIRECTORY/access.log"
