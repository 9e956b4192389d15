#!/usr/bin/env bash
# Runs the scenarios: builds what they need, makes a network namespace that stands for the internet, and runs
# the test program in it. usage: run.sh PROFILE [NAME-PART ...]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-dev}
shift || true

# Without root there are no containers: what needs only an API server is run, the rest says why it isn't.
what=$([ "$(id -u)" = 0 ] && echo all || echo api)
tools/setup.sh "${what/all/e2e}"
assets=$(e2e/assets/build.sh "$what")
triple=$(rustc -vV | sed -n 's/^host: //p')
bin=target/$triple/$([ "$profile" = dev ] && echo debug || echo "$profile")
# Everything at once, as the unit tests do: another selection has other features, and everything is built again.
cargo test --profile "$profile" --locked --workspace --no-run
tools/image/build.sh localhost/breakwater:e2e "$bin" target/e2e/breakwater.oci.tar
program=$(cargo test --profile "$profile" --locked --workspace --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*clusters[^"]*\)".*/\1/p' | tail -1)

export BREAKWATER_E2E_ASSETS=$assets BREAKWATER_E2E_BIN=$PWD/$bin BREAKWATER_E2E_IMAGE=$PWD/target/e2e/breakwater.oci.tar
export BREAKWATER_E2E_DIR=$PWD/target/e2e
if [ "$what" = api ]; then
  exec "$program" "$@"
fi

# One run at a time on a machine: the names of namespaces and control groups are the same for all. What a
# killed run left is removed.
exec 8>/run/lock/breakwater-e2e
if ! flock -n 8; then
  echo "another run is under way; this one waits for it" >&2
  flock -w 1800 8 || { echo "the other run doesn't end (/run/lock/breakwater-e2e)" >&2; exit 1; }
fi
wan=bw-e2e-wan
cleanup() { # everything that runs in our control groups and namespaces was started by a run of this script
  local path
  for _ in $(seq 50); do
    mapfile -t groups < <(find /sys/fs/cgroup -type d -name 'bw-e2e-*' 2>/dev/null)
    [ ${#groups[@]} -gt 0 ] || break
    for path in "${groups[@]}"; do
      find "$path" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -9 2>/dev/null || true
      find "$path" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    read -rt 0.1 <> <(:) || true
  done
  for path in $(ip netns list | awk '/^bw-e2e-/{print $1}'); do ip netns del "$path"; done
}
cleanup
trap cleanup EXIT
ip netns add $wan
ip -n $wan link set lo up
ip -n $wan link add br0 type bridge
ip -n $wan addr add 10.77.0.1/24 dev br0
ip -n $wan link set br0 up
nsenter --net=/run/netns/$wan "$program" "$@"
