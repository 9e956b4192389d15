#!/usr/bin/env bash
# Starts a file server with a real site of some thousand files, and an edge before it, from the manifests
# beside this script. usage: run.sh DIRECTORY-OF-BINARIES
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
state=${BREAKWATER_QUICKSTART_DIR:-$(mktemp -d)}
mkdir -p "$state"

# The site: the Rust documentation that came with the compiler, else the sources that came with Go.
site=$(rustc --print sysroot)/share/doc/rust/html
[ -f "$site/index.html" ] || site=$(go env GOROOT)

(cd "$here/origin" && GOFLAGS=-mod=mod go build -o "$state/origin" .)
rm -f "$state/origin.address"
"$state/origin" -root "$site" -address-file "$state/origin.address" &
origin=$!
edge=
stop() {
  trap - EXIT INT TERM
  [ -z "$edge" ] || { kill "$edge" 2>/dev/null && wait "$edge" 2>/dev/null; } || true
  kill "$origin" 2>/dev/null || true
  [ -n "${BREAKWATER_QUICKSTART_DIR:-}" ] || rm -rf "$state"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for _ in $(seq 100); do [ -s "$state/origin.address" ] && break; read -rt 0.1 <> <(:) || true; done
[ -s "$state/origin.address" ] || { echo "the origin didn't start" >&2; exit 1; }

rm -rf "$state/manifests"; cp -r "$here/manifests" "$state/manifests"
port=$(sed 's/.*://' "$state/origin.address")
sed -i "s/port: 8089}\]/port: $port}]/" "$state/manifests/site.yaml"

http=${HTTP_ADDR:-127.0.0.1:8080} https=${HTTPS_ADDR:-127.0.0.1:8443} admin=${ADMIN_ADDR:-127.0.0.1:9180}
cat <<TEXT

An edge before $site ($(find "$site" -type f | wc -l) files). Edit $state/manifests and it reloads. To try:

  a miss, then a hit     curl -si http://docs.localhost:${http##*:}/ | grep -i -e ^http -e cache-status -e ^age -e x-origin
                         (again: the same line)
  a redirect             curl -si http://docs.localhost:${http##*:}/old | head -3
  a 429                  for i in 1 2 3 4 5 6; do curl -so /dev/null -w '%{http_code}\n' http://docs.localhost:${http##*:}/search; done
  HTTPS and HTTP/2       curl -si --http2 --cacert $state/state/ca/ca.crt --resolve docs.localhost:${https##*:}:127.0.0.1 https://docs.localhost:${https##*:}/status
  an unknown host        curl -si http://127.0.0.1:${http##*:}/
  metrics                curl -s http://$admin/metrics | grep breakwater_requests

TEXT
"$bin/breakwater" run --manifests "$state/manifests" --http "$http" --https "$https" --admin "$admin" --state "$state/state" &
edge=$!
wait "$edge"
