#!/usr/bin/env bash
# Boots the Debian of folder $1 as process 1 of namespaces that scripts/test-package has made: mounts what systemd wants to
# find, then becomes it.
set -euo pipefail
system=$1

mount --bind "$system" "$system"
mount -t proc proc "$system/proc"
mount -t sysfs sysfs "$system/sys"
mount -t cgroup2 cgroup2 "$system/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs tmpfs "$system/$folder"; done
for device in null zero full random urandom tty; do
    touch "$system/dev/$device"
    mount --bind "/dev/$device" "$system/dev/$device"
done
mkdir -p "$system/dev/pts" "$system/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$system/dev/pts"
ln -sf pts/ptmx "$system/dev/ptmx"

# A real root, for who was only put into a folder (chroot) may make no user namespace, which PrivateUsers= wants.
mkdir -p "$system/run/old-root"
cd "$system"
pivot_root . run/old-root
cd /
umount --lazy /run/old-root
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console --show-status=0
