# What the peers' scripts share. `root`: words that run a command in the directory of Debian sid that setup.sh
# makes, none where there isn't one. Its mounts are its own and end with it.
sid=${BREAKWATER_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/breakwater/peers}/sid
root=()
if [ -e "$sid/.ready" ]; then
  root=(unshare --mount --propagation private bash -c
    'mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && exec chroot "$0" "$@"' "$sid")
fi

render() { # FILE: into the server's directory, with its ports and paths
  sed -e "s|@HTTP@|$HTTP_PORT|g; s|@HTTPS@|$HTTPS_PORT|g; s|@ADMIN@|$ADMIN_PORT|g; s|@ORIGIN@|$ORIGIN_PORT|g" \
    -e "s|@DIRECTORY@|$DIRECTORY|g; s|@CERTIFICATES@|$CERTIFICATES|g" "$here/$1" > "$DIRECTORY/$1"
}
