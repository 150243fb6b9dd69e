#!/bin/sh
# build.sh OUT [stock]: a Debian 13 as vendors' cloud images are: cloud-init and sshd, no Docker. For the tests of provisioning.
# With `stock`, one as an administrator installs it: Debian's own initrd, network and docker.io, which says on the console
# when its engine answers. For the benchmark, as what our image is compared with.
# Leaves disk.qcow2, vmlinuz, initrd.img and, last, manifest.json in the new folder OUT. Needs root, mmdebstrap, qemu-utils.
set -eu
out=$1
kind=${2:-bare}
suite=trixie

# The archive that this computer is configured with has the other suites, too.
# shellcheck disable=SC1091
host=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
archive=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk -v host="$host" '$2 == host && $3 == "main" { print $1; exit }')
[ -n "$archive" ] || { echo "build.sh: apt is configured with no archive of $host" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
printf 'deb [signed-by=%s] %s %s main\ndeb [signed-by=%s] %s %s-updates main\n' \
    "$keyring" "$archive" "$suite" "$keyring" "$archive" "$suite" >"$work/sources"

cat >"$work/customize" <<'CUSTOMIZE'
set -eu
root=$1
# What a first boot makes; the last one's must not be there.
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
if [ "$2" = stock ]; then
    printf 'auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n' >"$root/etc/network/interfaces"
    echo stock >"$root/etc/hostname"
    cat >"$root/etc/systemd/system/stock-ready.service" <<'UNIT'
[Unit]
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'docker version >/dev/null && echo "stock: engine listening" >/dev/ttyS0'

[Install]
WantedBy=multi-user.target
UNIT
    chroot "$root" systemctl --quiet enable stock-ready.service
    exit
fi
# The seed alone: others are looked for for half a minute.
echo 'datasource_list: [NoCloud, None]' >"$root/etc/cloud/cloud.cfg.d/90-tests.cfg"
ln -sfn ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
for module in virtio_blk; do echo "$module" >>"$root/etc/initramfs-tools/modules"; done
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' "$root/etc/initramfs-tools/initramfs.conf"
chroot "$root" update-initramfs -u -k all
chroot "$root" systemctl --quiet enable systemd-networkd systemd-resolved
# Under emulation these take minutes: profiles of programs that are not there, and a disk that is thrown away kept safe.
chroot "$root" systemctl --quiet mask apparmor.service
# Downloaded here, installed there.
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get clean
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq --yes --download-only --no-install-recommends install \
    docker.io docker-cli docker-compose docker-buildx
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/90-tests"
CUSTOMIZE

case $kind in
    stock) more=docker.io,docker-cli,docker-compose,docker-buildx,ifupdown,isc-dhcp-client,chrony,sshfs ;;
    *) more=cloud-init,netplan.io,systemd-resolved,systemd-timesyncd,debian-archive-keyring ;;
esac
mkdir "$out"
mmdebstrap --quiet --mode=root --variant=minbase \
    --include="$more",systemd,systemd-sysv,dbus,udev,openssh-server,sudo,linux-image-cloud-amd64,initramfs-tools,zstd \
    --skip=cleanup/apt --include=iproute2,iptables,apparmor,ca-certificates,e2fsprogs,curl \
    --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="sh $work/customize \"\$1\" $kind" \
    "$suite" "$work/root.tar" "$work/sources"

mkdir "$work/root"
tar -xf "$work/root.tar" -C "$work/root"
rm "$work/root.tar"
cp "$work"/root/boot/vmlinuz-* "$out/vmlinuz"
cp "$work"/root/boot/initrd.img-* "$out/initrd.img"
truncate -s 3G "$work/disk.raw"
mkfs.ext4 -q -F -L root -d "$work/root" "$work/disk.raw"
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$out/disk.qcow2"
echo '{ "kernel_args": "root=/dev/vda rw console=ttyS0 net.ifnames=0" }' >"$out/manifest.json"
