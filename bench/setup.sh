#!/usr/bin/env bash
# Gets what `make bench` needs: load generators from Debian, and the newest peers into a directory of Debian sid
# below the user's cache directory (about 700 MB). Needs root; what can't be had is missing from the table, by name.
set -euo pipefail
cache=${BREAKWATER_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/breakwater/peers}
export DEBIAN_FRONTEND=noninteractive

need() { # command, package
  command -v "$1" >/dev/null 2>&1 || apt-get install -y -qq --no-install-recommends "$2" >/dev/null || echo "no $2" >&2
}
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "bench/setup.sh: not root on Debian; what isn't installed is left out" >&2
  exit 0
fi
need wrk wrk; need h2load nghttp2-client; need taskset util-linux; need debootstrap debootstrap; need h2o h2o

sid=$cache/sid
if [ ! -e "$sid/.ready" ] && command -v debootstrap >/dev/null; then
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
  mkdir -p "$cache"; rm -rf "$sid"
  debootstrap --variant=minbase --include=nginx,haproxy,caddy sid "$sid" ${mirror:+"$mirror"} > "$cache/debootstrap.log" 2>&1 &&
    touch "$sid/.ready" || echo "no Debian sid: $cache/debootstrap.log says why" >&2
fi
