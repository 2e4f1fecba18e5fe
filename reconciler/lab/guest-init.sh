#!/bin/busybox sh
# The only program of a lab guest: brings its devices up and reports once a second on the serial console, in one
# line of JSON after "OSTLER-GUEST ", what the guest itself sees. Switches: see the kernel command line below.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
    insmod "/lib/modules/$module"
done </lib/modules/order 2>/dev/null
read -r boot </proc/sys/kernel/random/uuid

heartbeat='' ignore_power=0 dirty=0 poweroff_after=0
# shellcheck disable=SC2013 # words of the command line are what is wanted
for word in $(cat /proc/cmdline); do
    case $word in
    ostler.heartbeat=*) heartbeat=${word#*=} ;;     # disk on which a counter is written
    ostler.ignore_power=1) ignore_power=1 ;;        # deaf to the power button
    ostler.dirty=*) dirty=${word#*=} ;;             # MiB of memory written over and over
    ostler.poweroff_after=*) poweroff_after=${word#*=} ;; # seconds of uptime
    esac
done

[ "$ignore_power" = 1 ] || acpid -d >/dev/null 2>&1 &

if [ "$dirty" -gt 0 ]; then
    mount -t tmpfs -o "size=$((dirty + 1))m" tmpfs /tmp
    (
        dd if=/dev/urandom of=/tmp/dirty bs=1M count="$dirty"
        while dd if=/tmp/dirty of=/tmp/dirty bs=1M conv=notrunc; do :; done
    ) 2>/dev/null &
fi

# The heartbeat: one block of 4 KiB at 1 MiB of the disk, "OSTLER-HEARTBEAT count boot", read before each write.
# `found` is the count read first (null: none); `intruder` becomes true when someone else has written meanwhile.
beat_found=null beat_count=0 beat_errors=0 beat_intruder=false beat_first=1

read_beat() {
    beat_magic='' beat_read='' beat_boot=''
    dd if="/dev/$heartbeat" of=/beat.in bs=4096 skip=256 count=1 iflag=direct 2>/dev/null || return 1
    read -r beat_magic beat_read beat_boot </beat.in 2>/dev/null
    [ "$beat_magic" = OSTLER-HEARTBEAT ] || beat_read=''
}

write_beat() {
    { echo "OSTLER-HEARTBEAT $1 $boot"; cat /blank; } | dd of=/beat.out bs=4096 count=1 iflag=fullblock 2>/dev/null
    dd if=/beat.out of="/dev/$heartbeat" bs=4096 seek=256 count=1 oflag=direct conv=notrunc,fsync 2>/dev/null
}

beat() {
    [ -b "/dev/$heartbeat" ] && read_beat || { beat_errors=$((beat_errors + 1)); return; }
    if [ "$beat_first" = 1 ]; then
        beat_first=0
        [ -n "$beat_read" ] && { beat_found=$beat_read; beat_count=$beat_read; }
    elif [ "$beat_boot" != "$boot" ] || [ "$beat_read" != "$beat_count" ]; then
        beat_intruder=true
    fi
    if write_beat $((beat_count + 1)); then
        beat_count=$((beat_count + 1))
    else
        beat_errors=$((beat_errors + 1))
    fi
}

report_disks() {
    disks='' separator=''
    for disk in /sys/block/*; do
        name=${disk##*/}
        case $name in loop* | ram* | zram* | sr* | fd*) continue ;; esac
        read -r sectors <"$disk/size" && read -r read_only <"$disk/ro" || continue
        [ "$read_only" = 1 ] && read_only=true || read_only=false
        disks="$disks$separator\"$name\":{\"bytes\":$((sectors * 512)),\"ro\":$read_only}"
        separator=,
    done 2>/dev/null
}

report_nics() {
    nics='' separator=''
    for nic in /sys/class/net/*; do
        name=${nic##*/}
        [ "$name" != lo ] && read -r mac <"$nic/address" || continue
        carrier=0 state=unknown
        read -r flags <"$nic/flags"
        [ $((flags & 1)) = 1 ] || ip link set dev "$name" up
        read -r carrier <"$nic/carrier"
        read -r state <"$nic/operstate"
        [ "$carrier" = 1 ] && carrier=true || carrier=false
        nics="$nics$separator\"$mac\":{\"carrier\":$carrier,\"operstate\":\"$state\"}"
        separator=,
    done 2>/dev/null
}

# The medium in the CD drive: its ISO 9660 label, its size in bytes where it has none, null where there is no medium.
report_cd() {
    cd=null
    [ -b /dev/sr0 ] || return
    dd if=/dev/sr0 of=/cd.in bs=2048 skip=16 count=1 2>/dev/null || return
    read -r sectors </sys/block/sr0/size
    [ "$sectors" -gt 0 ] && [ -s /cd.in ] || return
    cd=$((sectors * 512))
    if [ "$(dd if=/cd.in bs=1 skip=1 count=5 2>/dev/null)" = CD001 ]; then
        label=$(dd if=/cd.in bs=1 skip=40 count=32 2>/dev/null | tr -cd 'A-Za-z0-9_. -' | sed 's/ *$//')
        [ -n "$label" ] && cd="\"$label\""
    fi
}

report() {
    for cpu in /sys/devices/system/cpu/cpu[0-9]*/online; do
        read -r state <"$cpu" && [ "$state" = 0 ] && echo 1 >"$cpu"
    done 2>/dev/null
    cpus=$(nproc)
    while read -r key value _; do
        [ "$key" = MemTotal: ] && memory=$value && break
    done </proc/meminfo
    report_disks
    report_nics
    report_cd
    rng=''
    [ -r /sys/class/misc/hw_random/rng_current ] && read -r rng </sys/class/misc/hw_random/rng_current
    case $rng in virtio*) rng=true ;; *) rng=false ;; esac
    line="\"boot\":\"$boot\",\"memoryKib\":$memory,\"cpus\":$cpus,\"disks\":{$disks},\"nics\":{$nics},\"cd\":$cd,\"rng\":$rng"
    if [ -n "$heartbeat" ]; then
        line="$line,\"heartbeat\":{\"found\":$beat_found,\"count\":$beat_count,\"errors\":$beat_errors,\"intruder\":$beat_intruder}"
    fi
    read -r uptime _ </proc/uptime
    echo "OSTLER-GUEST {\"uptime\":$uptime,$line}" >/dev/ttyS0
}

dd if=/dev/zero of=/blank bs=4096 count=1 2>/dev/null
while :; do
    [ -z "$heartbeat" ] || beat
    report 2>/dev/null
    read -r uptime _ </proc/uptime
    if [ "$poweroff_after" -gt 0 ] && [ "${uptime%.*}" -ge "$poweroff_after" ]; then
        sync
        poweroff -f
    fi
    sleep 1
done
