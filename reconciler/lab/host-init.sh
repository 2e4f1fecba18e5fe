#!/bin/sh
# Becomes PID 1 of a lab host: makes the host's own view of the file system, says so, and turns into tini.
# Arguments: the lab's directory, the host's directory, the host's name, "kvm" or "no-kvm".
# It runs in new namespaces already, but still sees the machine's /proc and thus its own pid out there.
set -eu
lab=$1 host=$2 name=$3 kvm=$4

read -r pid rest </proc/self/stat
read -r machine_boot </proc/sys/kernel/random/boot_id
# shellcheck disable=SC2086 # the fields of /proc/self/stat are to be split
set -- $rest
shift 20
echo "$pid $1 $machine_boot" >"$host/init.new"
mv "$host/init.new" "$host/init"

hostname "$name"
mount -t proc -o nosuid,nodev,noexec proc /proc
mount --bind "$host/boot_id" /proc/sys/kernel/random/boot_id

# The lab may lie in a directory that is covered below, so it is kept in reach under /sys, which is renewed last.
umount -R -l /sys
mount -t tmpfs -o mode=0755 tmpfs /sys
mkdir /sys/lab /sys/host /sys/layers
mount --bind "$lab" /sys/lab
mount --bind "$host" /sys/host

# Mount points that the machine lacks, and whatever is written beside the host's own directories, lie in memory.
for directory in /etc /srv /usr/share /var/lib /var/cache /var/log; do
    layer=/sys/layers$directory
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" overlay "$directory"
done
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock /run/lab

while read -r directory; do
    mkdir -p "$directory" "/sys/host/root$directory"
    mount --bind "/sys/host/root$directory" "$directory"
done </sys/host/own-directories
mkdir -p /srv/ostler/shared /usr/share/ostler/guest
mount --bind /sys/lab/shared /srv/ostler/shared
mount --bind -o ro /sys/lab/guest /usr/share/ostler/guest
touch /etc/hosts
mount --bind /sys/lab/etc-hosts /etc/hosts
echo "$name" >/etc/hostname

# libvirtd asks for the user that Debian's libvirt-daemon-system makes, even where guests run as root. That package
# would start services on the machine, so the user is made here, in the host's own /etc.
grep -q '^libvirt-qemu:' /etc/group || echo 'libvirt-qemu:x:64055:' >>/etc/group
grep -q '^libvirt-qemu:' /etc/passwd ||
    echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>/etc/passwd

# A /dev/kvm that is there and does not work makes libvirt probe QEMU anew at every start, so it must not be there.
if [ "$kvm" != kvm ] && [ -e /dev/kvm ]; then
    devices=/sys/layers/dev
    mkdir -p "$devices"
    mount -t tmpfs -o mode=0755,nosuid tmpfs "$devices"
    mkdir "$devices/net" "$devices/pts" "$devices/shm"
    for node in null zero full random urandom tty net/tun; do
        [ -e "/dev/$node" ] || continue
        : >"$devices/$node"
        mount --bind "/dev/$node" "$devices/$node"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$devices/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$devices/shm"
    ln -s pts/ptmx "$devices/ptmx"
    ln -s /proc/self/fd "$devices/fd"
    ln -s /proc/self/fd/0 "$devices/stdin"
    ln -s /proc/self/fd/1 "$devices/stdout"
    ln -s /proc/self/fd/2 "$devices/stderr"
    mount --rbind "$devices" /dev
fi

: >/sys/host/ready
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
cd /
exec tini -- sleep infinity
