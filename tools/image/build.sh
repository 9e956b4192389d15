#!/usr/bin/env bash
# Makes an OCI archive that containerd imports (ctr -n k8s.io images import FILE) from the static binaries,
# without an engine. Equal binaries give equal bytes. usage: build.sh REFERENCE DIRECTORY-OF-BINARIES [OUT]
set -euo pipefail
cd "$(dirname "$0")/../.."
reference=$1 bin=$2 out=${3:-target/image/breakwater.oci.tar}
version=${reference##*:}
case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) echo "no image for $(uname -m)" >&2; exit 1 ;; esac
for binary in breakwater breakwater-edge; do
  [ -x "$bin/$binary" ] || { echo "$bin/$binary is missing: make build" >&2; exit 1; }
  if ldd "$bin/$binary" >/dev/null 2>&1; then echo "$bin/$binary isn't static" >&2; exit 1; fi
done

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
root=$work/root blobs=$work/oci/blobs/sha256
mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$blobs"; chmod 1777 "$root/tmp"
install -m 0755 "$bin/breakwater" "$bin/breakwater-edge" "$root/"
echo 'root:x:0:0::/:/sbin/nologin
nonroot:x:65532:65532::/:/sbin/nologin' >"$root/etc/passwd"
# The public CAs, for origins that speak TLS.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [ -f "$bundle" ] && { install -m 0644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"; break; }
done
[ -f "$root/etc/ssl/certs/ca-certificates.crt" ] || { echo "no CA bundle on this machine: apt-get install ca-certificates" >&2; exit 1; }

pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -C "$1" -cf "$2" .; }
blob() { # file: moves it among the blobs, prints "digest size"
  local digest size
  digest=$(sha256sum <"$1" | cut -d' ' -f1) size=$(stat -c%s "$1")
  mv "$1" "$blobs/$digest"
  echo "$digest $size"
}

pack "$root" "$work/layer"
read -r layer layer_size < <(blob "$work/layer")
labels='"org.opencontainers.image.title":"breakwater","org.opencontainers.image.version":"'$version'","org.opencontainers.image.licenses":"Apache-2.0"'
cat >"$work/config" <<JSON
{"architecture":"$architecture","os":"linux","config":{"User":"65532:65532","Env":["PATH=/","SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],"Entrypoint":["/breakwater"],"Labels":{$labels}},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
read -r config config_size < <(blob "$work/config")
media=application/vnd.oci.image
cat >"$work/manifest" <<JSON
{"schemaVersion":2,"mediaType":"$media.manifest.v1+json","config":{"mediaType":"$media.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"$media.layer.v1.tar","digest":"sha256:$layer","size":$layer_size}]}
JSON
read -r manifest manifest_size < <(blob "$work/manifest")
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
cat >"$work/oci/index.json" <<JSON
{"schemaVersion":2,"manifests":[{"mediaType":"$media.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"platform":{"architecture":"$architecture","os":"linux"},"annotations":{"io.containerd.image.name":"$reference","org.opencontainers.image.ref.name":"$reference"}}]}
JSON
mkdir -p "$(dirname "$out")"
pack "$work/oci" "$out.new" && mv "$out.new" "$out"
echo "$out: $reference, sha256:$manifest, $(du -h "$out" | cut -f1)"
