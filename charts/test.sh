#!/usr/bin/env bash
# The chart's tests: lint, templates with several sets of values, values that must be refused, and the
# rendered objects as a dry run against a real API server (unknown fields fail).
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh api
programs=$(e2e/assets/build.sh api)
helm=$programs/helm
out=$(mktemp -d); trap 'rm -rf "$out"' EXIT

diff -r crds/generated charts/breakwater/files/crds || { echo "run: make crds" >&2; exit 1; }
"$helm" lint --strict charts/breakwater

passed=0 rendered=()
render() { # name, arguments of helm template
  local name=$1; shift
  "$helm" template breakwater charts/breakwater --namespace breakwater-system --kube-version 1.34.0 "$@" >"$out/$name.yaml"
  rendered+=("$out/$name.yaml")
  passed=$((passed + 1))
}
render defaults
render no-crds --set crds.install=false
render unkept --set crds.keep=false
render namespaces --set 'watchNamespaces={team-a,team-b}'
render monitor --set serviceMonitor.enabled=true
render digest --set image.digest=sha256:$(printf '%064d' 0) --set 'imagePullSecrets[0].name=pull'
render two-regions -f charts/testdata/two-regions.yaml
render bare --set podDisruptionBudget.enabled=false,flowSchema.enabled=false,nodeAdmission.enabled=false

# The same selection as the unit tests', so that nothing is built twice.
cargo test --locked --workspace --no-run -q
triple=$(rustc -vV | sed -n 's/^host: //p')
check() { "target/$triple/debug/chart-check" "$programs" "$@"; }
check "${rendered[@]}"
# The check can fail: one field that doesn't exist, among all that is rendered by default.
sed 's/readOnlyRootFilesystem:/readOnlyRootFilesystm:/' "$out/defaults.yaml" >"$out/broken.yaml"
if check "$out/broken.yaml" 2>"$out/err"; then echo "a misspelt field isn't found" >&2; exit 1; fi
grep -q 'readOnlyRootFilesystm: field not declared in schema' "$out/err" || { cat "$out/err" >&2; exit 1; }
passed=$((passed + 1 + ${#rendered[@]}))

refused() { # arguments of helm template, words that it must say
  local words=$1; shift
  if "$helm" template breakwater charts/breakwater "$@" >/dev/null 2>"$out/err"; then
    echo "accepted although it must be refused: $*" >&2; exit 1
  fi
  grep -q -- "$words" "$out/err" || { echo "refused without the words '$words':" >&2; cat "$out/err" >&2; exit 1; }
  passed=$((passed + 1))
}
refused "replicaz" --set operator.replicaz=2
refused "/operator/replicas" --set operator.replicas=0
refused "/image/digest" --set image.digest=latest
refused "/regions/0/name" --set 'regions[0].name=Frankfurt_1'

# What matters for safety, looked at in the output itself.
expect() { # file, words
  grep -q -- "$2" "$out/$1.yaml" || { echo "$1: '$2' isn't there" >&2; exit 1; }
  passed=$((passed + 1))
}
absent() {
  ! grep -q -- "$2" "$out/$1.yaml" || { echo "$1: '$2' is there" >&2; exit 1; }
  passed=$((passed + 1))
}
expect defaults 'helm.sh/resource-policy: keep'
expect defaults 'runAsNonRoot: true'
expect defaults 'readOnlyRootFilesystem: true'
expect unkept 'kind: CustomResourceDefinition'
absent unkept 'helm.sh/resource-policy: keep'
absent no-crds 'kind: CustomResourceDefinition'
expect namespaces 'namespace: team-b'
expect two-regions 'name: breakwater-edge-fra'
expect two-regions 'name: edges-ams'
echo "$passed passed, 0 failed"
