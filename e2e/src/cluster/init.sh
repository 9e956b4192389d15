#!/bin/bash
# PID 1 of a cluster's namespaces: prepares the mounts, then waits. usage: init.sh DIRECTORY HOSTNAME
set -eu
directory=$1
hostname "$2"
mount --make-rshared /
# The control groups as seen from inside our own.
if [ -d /sys/fs/cgroup/memory ]; then
  mount -t tmpfs none /sys/fs/cgroup
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir /sys/fs/cgroup/$controller
    mount -t cgroup -o $controller none /sys/fs/cgroup/$controller
  done
  mkdir /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd
fi
for path in /run/containerd /var/lib/kubelet /var/log/pods /var/log/containers /run/netns /var/lib/breakwater /var/lib/cni; do
  mkdir -p "$path" "$directory/fs$path"
  mount --bind "$directory/fs$path" "$path"
done
touch "$directory/init.ready"
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
