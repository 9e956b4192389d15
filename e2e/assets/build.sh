#!/usr/bin/env bash
# Finds or builds the binaries of the test clusters and prints a path.
#   build.sh NAME      the path of one binary (helm, kubectl, kube-apiserver, …)
#   build.sh           a directory with all of them
#   build.sh api       the same directory with what an API server alone and its clients need
# A binary is looked for in KUBEBUILDER_ASSETS, then on PATH (clients and what Debian has), then in the cache,
# where it is built once from the Go modules pinned beside this script (Kubernetes: 5 minutes on 2 cores).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kubernetes=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)
version=$(sed -n 's/^require k8s.io\/kubernetes v//p' "$here/kubernetes/go.mod")
helm_version=$(sed -n 's/^require helm.sh\/helm\/v4 v//p' "$here/helm/go.mod")
cache=${BREAKWATER_ASSETS:-${XDG_CACHE_HOME:-$HOME/.cache}/breakwater/assets}/k8s-$version-helm-$helm_version
mkdir -p "$cache"

say() { echo "assets: $*" >&2; }

ready() { # name: links it into the cache when it is found elsewhere
  local name=$1 found
  [ -x "$cache/$name" ] && return
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$name" ]; then
    ln -sf "$KUBEBUILDER_ASSETS/$name" "$cache/$name"
    return
  fi
  # Other programs may be of any version; these must be the pinned one.
  case " ${kubernetes[*]} helm " in *" $name "*) return 1 ;; esac
  found=$(command -v "$name") && ln -sf "$found" "$cache/$name"
}

build() { # module directory, linker flags, packages as NAME=IMPORT
  local directory=$1 flags=$2 pair started=$SECONDS
  shift 2
  for pair in "$@"; do
    ready "${pair%%=*}" && continue
    say "building ${pair%%=*} (once)"
    (cd "$directory" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $flags" -o "$cache/${pair%%=*}.new" "${pair#*=}")
    mv "$cache/${pair%%=*}.new" "$cache/${pair%%=*}"
  done
  [ $((SECONDS - started)) -lt 5 ] || say "built in $((SECONDS - started)) s"
}

build_kubernetes() {
  local name pairs=()
  for name in "$@"; do pairs+=("$name=k8s.io/kubernetes/cmd/$name"); done
  build "$here/kubernetes" "-X k8s.io/component-base/version.gitVersion=v$version" "${pairs[@]}"
}

# The sandbox container of every Pod: waits and reaps.
build_pause() {
  [ -x "$cache/pause" ] && return
  cc -O2 -static -o "$cache/pause.new" "$here/pause.c" && mv "$cache/pause.new" "$cache/pause"
}

exec 9>"$cache/.lock"
flock 9
case "${1:-all}" in
all)
  build "$here/helm" "" helm=helm.sh/helm/v4/cmd/helm
  build_kubernetes "${kubernetes[@]}"
  build_pause
  for name in etcd containerd containerd-shim-runc-v2 runc ctr; do
    ready "$name" || { say "$name is missing: sudo apt-get install etcd-server containerd runc"; exit 1; }
  done
  echo "$cache"
  ;;
api)
  build "$here/helm" "" helm=helm.sh/helm/v4/cmd/helm
  build_kubernetes kube-apiserver kubectl
  ready etcd || { say "etcd is missing: sudo apt-get install etcd-server"; exit 1; }
  echo "$cache"
  ;;
helm) build "$here/helm" "" helm=helm.sh/helm/v4/cmd/helm; echo "$cache/helm" ;;
pause) build_pause; echo "$cache/pause" ;;
*)
  case " ${kubernetes[*]} " in
  *" $1 "*) build_kubernetes "$1" ;;
  *) ready "$1" || { say "$1 is missing"; exit 1; } ;;
  esac
  echo "$cache/$1"
  ;;
esac
