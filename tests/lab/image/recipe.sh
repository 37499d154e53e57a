#!/bin/sh
# Builds the image of the labs in $OUT: tree/ (a Debian root), vmlinuz, initrd.img and base.img.
# Runs as root in mount and pid namespaces of its own; writes nowhere else. Lines on standard
# output are shown to whoever waits; everything else goes to the log on standard error.
# Settings: OUT SUITE MIRROR PACKAGES SOURCES (sources.list lines) APT_CONF (files to copy) INITRD_INIT
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH LC_ALL=C
T=$OUT/tree
mount --make-rprivate /

echo "unpacking a minimal $SUITE"
debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$T" "$MIRROR" >&2

echo "installing the packages of a node"
rm -f "$T"/etc/apt/sources.list "$T"/etc/apt/sources.list.d/*
printf '%s\n' "$SOURCES" >"$T/etc/apt/sources.list"
for f in $APT_CONF; do cp "$f" "$T/etc/apt/apt.conf.d/"; done
cp -L /etc/resolv.conf /etc/hosts "$T/etc/"
# Nothing that is installed may start: neither here nor on this machine.
printf '#!/bin/sh\nexit 101\n' >"$T/usr/sbin/policy-rc.d"; chmod 755 "$T/usr/sbin/policy-rc.d"
echo force-unsafe-io >"$T/etc/dpkg/dpkg.cfg.d/lab"
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >>"$T/etc/dpkg/dpkg.cfg.d/lab"
mount -t proc proc "$T/proc"
export DEBIAN_FRONTEND=noninteractive
chroot "$T" apt-get -o Acquire::Retries=3 update >&2
chroot "$T" apt-get -o Acquire::Retries=3 install -y --no-install-recommends $PACKAGES >&2

echo "fetching the kernel"
# Unpacked rather than installed: no initramfs, no boot loader. The cloud kernel has virtio,
# DRBD and the device-mapper targets that make disks fail, at a third of the size.
K=$(chroot "$T" apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$K" ] || { echo "no package linux-image-cloud-amd64 in $SUITE" >&2; exit 1; }
mkdir "$T/kernel"; chmod 777 "$T/kernel"
chroot "$T" sh -c "cd /kernel && apt-get download $K && dpkg-deb -x $K*.deb x" >&2
V=${K#linux-image-}
mkdir -p "$T/usr/lib/modules"; mv "$T/kernel/x/lib/modules/$V" "$T/usr/lib/modules/" 2>/dev/null ||
	mv "$T/kernel/x/usr/lib/modules/$V" "$T/usr/lib/modules/"
cp "$T/kernel/x/boot/vmlinuz-$V" "$OUT/vmlinuz"
rm -rf "$T/kernel"
chroot "$T" depmod "$V"

echo "making the initrd"
I=$OUT/initrd; mkdir -p "$I/bin" "$I/dev" "$I/proc" "$I/root" "$I/m"
cp "$T/bin/busybox" "$I/bin/busybox"; ln -s busybox "$I/bin/sh"
: >"$I/modules"
for m in $(chroot "$T" sh -c "for x in virtio_pci virtio_blk; do modprobe -S $V --show-depends \$x; done" |
	awk '$1 == "insmod" && !seen[$2]++ { print $2 }'); do
	b=$(basename "$m")
	case $b in
	*.xz) b=${b%.xz}; chroot "$T" busybox unxz -c "$m" >"$I/m/$b" ;;
	*) cp "$T$m" "$I/m/$b" ;;
	esac
	echo "$b" >>"$I/modules"
done
cp "$INITRD_INIT" "$I/init"; chmod 755 "$I/init"
mkdir "$T/out"; mount --bind "$OUT" "$T/out"
chroot "$T" sh -c 'cd /out/initrd && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >/out/initrd.img'
rm -rf "$I"

echo "tidying the tree"
chroot "$T" apt-get clean; rm -rf "$T"/var/lib/apt/lists/* "$T"/usr/lib/python3*/test
# Debian enables what it installs. Here a node's own start-up decides.
for u in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
	e2scrub_reap.service man-db.timer logrotate.timer systemd-timesyncd.service libvirtd.service \
	libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service virtlogd.socket \
	virtlockd.socket virtlogd-admin.socket virtlockd-admin.socket drbd.service corosync.service \
	pacemaker.service pcsd.service qemu-guest-agent.service getty@tty1.service systemd-binfmt.service \
	virtqemud.service virtqemud.socket virtqemud-ro.socket virtqemud-admin.socket virtlxcd.service \
	virtlxcd.socket virtlxcd-ro.socket virtlxcd-admin.socket corosync-notifyd.service fence_virtd.service; do
	chroot "$T" systemctl disable "$u" >&2 2>/dev/null || :
done
rm -rf "$T"/etc/libvirt/qemu/networks/autostart "$T"/var/lib/pacemaker/*/* "$T"/etc/corosync/corosync.conf
rm -rf "$T"/var/cache/man "$T"/var/log/*.log "$T"/var/log/apt "$T"/etc/machine-id
: >"$T/etc/machine-id"; : >"$T/etc/fstab"; : >"$T/etc/resolv.conf"
rm -f "$T"/etc/hostname "$T"/usr/sbin/policy-rc.d

echo "making the machines' disk"
umount "$T/proc"
# mke2fs of the tree itself, reading it through a second mount so that its own output is not in it.
mkdir -p "$OUT/source"; mount --bind "$T" "$T/out/source"
truncate -s 4G "$OUT/base.img"
chroot "$T" mke2fs -q -F -t ext4 -O ^metadata_csum -E lazy_itable_init=1,nodiscard -d /out/source /out/base.img >&2
umount "$T/out/source"; umount "$T/out"; rmdir "$OUT/source" "$T/out"
[ "$(du -m "$OUT/base.img" | cut -f1)" -gt 500 ] || { echo "the disk is all but empty" >&2; exit 1; }
chroot "$T" dpkg-query -W -f '${Package} ${Version}\n' >"$OUT/packages.installed"
