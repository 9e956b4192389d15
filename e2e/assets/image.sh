#!/usr/bin/env bash
# An OCI archive with one static program as its entry point. usage: image.sh REFERENCE PROGRAM OUT
set -euo pipefail
reference=$1 program=$(realpath "$2") out=$(realpath -m "$3")
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p root blobs/sha256
install -m 0755 "$program" root/app
pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"; }
blob() { local d s; d=$(sha256sum <"$1" | cut -d' ' -f1) s=$(stat -c%s "$1"); mv "$1" "blobs/sha256/$d"; echo "sha256:$d $s"; }
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
pack -C root -cf layer app
read -r layer layer_size < <(blob layer)
echo '{"architecture":"'$arch'","os":"linux","config":{"Entrypoint":["/app"]},"rootfs":{"type":"layers","diff_ids":["'"$layer"'"]}}' >config
read -r config config_size < <(blob config)
media=application/vnd.oci.image
cat >manifest <<JSON
{"schemaVersion":2,"mediaType":"$media.manifest.v1+json","config":{"mediaType":"$media.config.v1+json","digest":"$config","size":$config_size},"layers":[{"mediaType":"$media.layer.v1.tar","digest":"$layer","size":$layer_size}]}
JSON
read -r manifest manifest_size < <(blob manifest)
echo '{"imageLayoutVersion":"1.0.0"}' >oci-layout
cat >index.json <<JSON
{"schemaVersion":2,"manifests":[{"mediaType":"$media.manifest.v1+json","digest":"$manifest","size":$manifest_size,"platform":{"architecture":"$arch","os":"linux"},"annotations":{"io.containerd.image.name":"$reference","org.opencontainers.image.ref.name":"$reference"}}]}
JSON
pack -cf "$out" oci-layout index.json blobs
