#!/usr/bin/env bash
# Makes sure that the tools of a job are there: installs what Debian has when it may, else says in one line
# what is missing and how to get it. usage: setup.sh build|api|e2e
set -euo pipefail

missing=() packages=()
need() { # command, Debian package
  command -v "$1" >/dev/null 2>&1 || { missing+=("$1"); packages+=("$2"); }
}

need_toolchain() {
  command -v cargo >/dev/null 2>&1 || {
    echo "cargo is missing: install Rust with  curl --proto '=https' -sSf https://sh.rustup.rs | sh" >&2
    exit 1
  }
  command -v go >/dev/null 2>&1 || {
    echo "go is missing: install Go 1.26 or newer from https://go.dev/dl" >&2
    exit 1
  }
}

case "${1:-build}" in
build) need_toolchain; need cc gcc; need make make ;;
api) need_toolchain; need etcd etcd-server ;; # a kube-apiserver alone, no root needed
e2e)
  need_toolchain
  need etcd etcd-server; need containerd containerd; need runc runc; need ip iproute2; need nft nftables
  need unshare util-linux; need openssl openssl
  [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || { missing+=(cni-plugins); packages+=(containernetworking-plugins); }
  ;;
*) echo "usage: setup.sh build|api|e2e" >&2; exit 2 ;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing ${packages[*]} (for ${missing[*]})"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null && exit 0
fi
echo "missing: ${missing[*]}. Get them with  sudo apt-get install ${packages[*]}" >&2
exit 1
