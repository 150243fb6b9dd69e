#!/bin/sh
# Builds the image of a machine: a small Debian with Docker Engine inside, started by QEMU with its kernel directly.
# README.md next to this file says what is in it and why.
#
# usage: build.sh --arch amd64|arm64 --out DIR [--suite trixie] [--package-source URL] [--keep-work]
#
# Runs as root or as an ordinary user (who then needs a line in /etc/subuid and /etc/subgid).
# Progress: lines `stage: NAME`, between them whatever the tools say.
set -eu
umask 022
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
disk_size=8G
zstd_level=10
# Fixed, so that the same inputs give the same disk.
filesystem_uuid=6d616368-696e-4e65-8000-6f7300000001
hash_seed=6d616368-696e-4e65-8000-6f7300000002

die() {
    echo "build.sh: $1" >&2
    exit 1
}

stage() { echo "stage: $1"; }

usage() { die "usage: build.sh --arch amd64|arm64 --out DIR [--suite trixie] [--package-source URL] [--keep-work]"; }

# ---- arguments ----

arch='' out='' suite=trixie package_source='' keep_work=no
while [ $# -gt 0 ]; do
    case $1 in
        --arch | --out | --suite | --package-source)
            [ $# -ge 2 ] || usage
            case $1 in
                --arch) arch=$2 ;;
                --out) out=$2 ;;
                --suite) suite=$2 ;;
                --package-source) package_source=$2 ;;
            esac
            shift 2
            ;;
        --keep-work)
            keep_work=yes
            shift
            ;;
        *) usage ;;
    esac
done
case $arch in
    amd64) kernel_package=linux-image-amd64 console=ttyS0 ;;
    arm64) kernel_package=linux-image-arm64 console=ttyAMA0 ;;
    *) usage ;;
esac
[ -n "$out" ] || usage
case $suite in
    '' | *[!a-z0-9-]*) die "not a suite: $suite" ;;
esac
kernel_args="console=$console loglevel=6 net.ifnames=0 TERM=dumb rcupdate.rcu_expedited=1 audit=0 lsm=landlock,lockdown,yama,apparmor"

# ---- tools ----

PATH=$PATH:/usr/sbin:/sbin
missing=
# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null 2>&1 || case " $missing " in
        *" $2 "*) ;;
        *) missing="$missing $2" ;;
    esac
}
need mmdebstrap mmdebstrap
need mkfs.ext4 e2fsprogs
need debugfs e2fsprogs
need qemu-img qemu-utils
need cpio cpio
need zstd zstd
need xz xz-utils
need depmod kmod
need unshare util-linux
need systemctl systemd
[ "$(id -u)" = 0 ] || need newuidmap uidmap
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
host_arch=$(dpkg --print-architecture 2>/dev/null) || die "this recipe needs a Debian or Ubuntu host (no dpkg here)"
if [ "$arch" != "$host_arch" ]; then
    case $arch in
        arm64) emulator=qemu-aarch64 ;;
        *) emulator=qemu-x86_64 ;;
    esac
    # The registration is the kernel's: it is missing where binfmt_misc is not mounted, as in many containers.
    [ -e "/proc/sys/fs/binfmt_misc/$emulator" ] || missing="$missing qemu-user-static binfmt-support"
fi
[ -z "$missing" ] || die "missing Debian packages on this computer: apt-get install$missing"

# ---- package source ----

# Prints `URI SUITE KEYRING` of each binary package source that apt is configured with.
configured_sources() {
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$list" ] || continue
        awk '$1 == "deb" {
            key = ""; i = 2
            if ($2 ~ /^\[/) {
                for (; i <= NF; i++) {
                    option = $i; gsub(/[][]/, "", option)
                    if (option ~ /^signed-by=/) key = substr(option, 11)
                    if ($i ~ /\]$/) break
                }
                i++
            }
            print $i, $(i + 1), key
        }' "$list"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] || continue
        awk '
            function flush(   i, j) {
                if (types ~ /(^| )deb( |$)/ && enabled != "no")
                    for (i = 1; i in uris; i++) for (j = 1; j in suites; j++) print uris[i], suites[j], key
                types = enabled = key = field = ""; split("", uris); split("", suites)
            }
            /^#/ { next }
            /^[ \t]*$/ { flush(); next }
            /^[A-Za-z-]+:/ { field = tolower($1); sub(/^[^:]*:[ \t]*/, "") }
            field == "types:" { types = types " " $0 }
            field == "uris:" { n = split($0, uris) }
            field == "suites:" { n = split($0, suites) }
            field == "enabled:" { enabled = tolower($1) }
            field == "signed-by:" && /^\// { key = $1 }
            END { flush() }
        ' "$list"
    done
}

# Puts the first mirror in place of a list of mirrors (apt-transport-mirror(1)): Debian's cloud images have such lists, and
# the new system would have the line without the file.
without_mirror_lists() {
    while read -r uri rest; do
        case $uri in
            mirror+file:*) uri=$(awk '!/^#/ && NF { print $1; exit }' "/${uri#mirror+file:}") || uri= ;;
        esac
        [ -z "$uri" ] || echo "$uri $rest"
    done
}

# Prints apt's lines for the suite: the main archive, its updates, and the security archive if the host has one.
package_lines() {
    if [ -n "$package_source" ]; then
        echo "deb $package_source $suite main"
        echo "deb $package_source $suite-updates main"
        return
    fi
    # shellcheck disable=SC1091
    . /etc/os-release
    [ "${ID:-}" = debian ] ||
        die "this host is not Debian, so its package sources are of no use: give --package-source URL of a Debian archive"
    configured_sources | without_mirror_lists | awk -v host="${VERSION_CODENAME:-}" -v suite="$suite" '
        function line(uri, name, key) { return "deb " (key ? "[signed-by=" key "] " : "") uri " " name " main" }
        $2 == host && !main { main = line($1, suite, $3); updates = line($1, suite "-updates", $3) }
        $2 == host "-security" && !security { security = line($1, suite "-security", $3) }
        END { if (main) print main; if (main) print updates; if (main && security) print security }
    '
}

# ---- a name space of our own ----

# As an ordinary user we become root of a user name space; as root we only want our mounts to vanish with us.
if [ -z "${MACHINE_RECIPE_INSIDE:-}" ]; then
    lines=$(package_lines)
    case $lines in
        *://*@*) die "the package source has a password in it, which every machine would carry: give --package-source URL" ;;
    esac
    [ -n "$lines" ] || die "no Debian archive in this host's package sources: give --package-source URL"
    export MACHINE_RECIPE_INSIDE="$lines"
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
    export SOURCE_DATE_EPOCH
    [ ! -e "$out" ] || [ -d "$out" ] || die "not a folder: $out"
    if [ "$(id -u)" = 0 ]; then set -- --mount; else set -- --map-root-user --map-auto --mount; fi
    set -- "$@" --propagation private /bin/sh "$here/build.sh" --arch "$arch" --out "$out" --suite "$suite"
    [ "$keep_work" = no ] || set -- "$@" --keep-work
    exec unshare "$@"
fi
lines=$MACHINE_RECIPE_INSIDE

# ---- work folder ----

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/machine-image.XXXXXX")
chmod 755 "$work"
child=

clean_up() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM
    if [ -n "$child" ]; then
        # Not TERM: mmdebstrap would first finish what it is at, for minutes. Its mounts are in our name space.
        kill -s KILL -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    umount -l "$work/root" 2>/dev/null || true
    if [ "$keep_work" = yes ]; then
        echo "work folder kept: $work"
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a long command in a session of its own, so that a signal to this script ends it and all it started at once.
run() {
    setsid "$@" </dev/null &
    child=$!
    wait "$child" || {
        status=$?
        child=
        die "$1 failed with status $status"
    }
    child=
}

root=$work/root
mkdir "$root" "$work/debs" "$work/disk"
# The order in which a folder is read decides the order on the new disk: in memory it does not depend on this computer.
mount -t tmpfs -o mode=0755,size=3g machine-image "$root" ||
    echo "no tmpfs here: the disk will be right, but not bit-identical to another build"

# ---- packages ----

stage packages
printf '%s\n' "$lines" >"$work/sources.list"
include=$(grep -v '^#' "$here/packages" | xargs | tr ' ' ,)

# The kernel, busybox and stunnel are fetched and unpacked only: installed, they would bring tools that make an initrd, and Perl.
cat >"$work/fetch" <<'HOOK'
#!/bin/sh
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$2"
kernel=$(apt-cache depends --important "$3" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "no kernel behind $3" >&2; exit 1; }
apt-get -o APT::Sandbox::User=root download "$kernel" busybox-static stunnel4
HOOK
chmod 755 "$work/fetch"
cat >"$work/dpkg.cfg" <<'DPKG'
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/doc-base/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/bug/*
path-exclude=/usr/share/i18n/*
path-exclude=/usr/share/common-licenses/*
path-exclude=/usr/share/bash-completion/*
path-exclude=/usr/share/zsh/*
path-exclude=/usr/share/fish/*
path-exclude=/usr/share/zoneinfo/right/*
path-exclude=/usr/lib/udev/hwdb.d/*
path-include=/usr/share/doc/*/copyright
path-include=/usr/share/locale/locale.alias
DPKG
run mmdebstrap --mode=root --variant=minbase --architectures="$arch" --include="$include" \
    --skip=cleanup/reproducible \
    --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Retries "3"' \
    --dpkgopt="$work/dpkg.cfg" \
    --setup-hook='mkdir -p "$1/etc" && : >"$1/etc/fstab"' \
    --customize-hook="$work/fetch \"\$1\" $work/debs $kernel_package" \
    "$suite" "$root" "$work/sources.list"

# ---- kernel ----

stage kernel
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/unpacked"; done
set -- "$work"/unpacked/boot/vmlinu[xz]-*
[ -e "$1" ] || die "the kernel package has no kernel"
kernel_version=${1##*/vmlinu?-}
cp "$1" "$work/disk/vmlinuz"
set -- "$work"/unpacked/usr/lib/modules/* "$work"/unpacked/lib/modules/*
for modules; do [ ! -d "$modules/kernel" ] || break; done
[ -d "$modules/kernel" ] || die "the kernel package has no modules"

# Prints the paths of the modules that match the patterns on standard input, and of all they depend on.
select_modules() {
    find "$1/kernel" -name '*.ko*' | sed "s|^$1/||" | sort >"$work/all-modules"
    grep -v -e '^#' -e '^$' | while read -r pattern; do
        while read -r path; do
            name=${path#kernel/}
            # shellcheck disable=SC2254 # a pattern it is
            case ${name%.ko*} in
                $pattern) echo "$path" ;;
            esac
        done <"$work/all-modules"
    done | sort -u >"$work/wanted-modules"
    awk '
        NR == FNR { split($0, part, ":"); needs[part[1]] = part[2]; next }
        { take($1) }
        function take(path,   n, list, i) {
            if (path in taken) return
            taken[path] = 1
            n = split(needs[path], list, " ")
            for (i = n; i >= 1; i--) take(list[i])
            print path
        }
    ' "$1/modules.dep" "$work/wanted-modules"
}

[ -e "$modules/modules.dep" ] || depmod -b "$(dirname "$(dirname "$(dirname "$modules")")")" "$kernel_version"
[ -e "$modules/modules.dep" ] || depmod -b "$work/unpacked/usr" "$kernel_version"
target=$root/usr/lib/modules/$kernel_version
mkdir -p "$target"
select_modules "$modules" <"$here/modules" | while read -r path; do
    mkdir -p "$target/${path%/*}"
    cp "$modules/$path" "$target/$path"
done
cp "$modules"/modules.builtin* "$modules"/modules.order "$target/"
# Uncompressed they load faster, and the whole image compresses better.
find "$target" -name '*.ko.xz' -exec xz --decompress {} +
find "$target" -name '*.ko.zst' -exec zstd -q --rm --decompress {} +
sed -i 's/\.ko\.[a-z]*$/.ko/' "$target/modules.order"
depmod -b "$root" "$kernel_version"
echo "kernel $kernel_version, $(find "$target" -name '*.ko' | wc -l) of $(wc -l <"$work/all-modules") modules"

# ---- initrd ----

stage initrd
initrd=$work/initrd
mkdir -p "$initrd/bin" "$initrd/dev" "$initrd/lib" "$initrd/proc" "$initrd/os" "$initrd/sys"
cp "$(find "$work/unpacked" -path '*bin/busybox' | head -n 1)" "$initrd/bin/busybox"
for name in cat cmp cp dmesg head insmod mount od poweroff sh sleep switch_root tar tr; do ln -s busybox "$initrd/bin/$name"; done
cp "$here/init" "$initrd/init"
chmod 755 "$initrd/init" "$initrd/bin/busybox"
printf '%s\n' 'drivers/virtio/virtio_pci' 'drivers/virtio/virtio_mmio' 'drivers/block/virtio_blk' 'fs/ext4/ext4' \
    'lib/libcrc32c' 'arch/*/crypto/crc32c*' 'crypto/crc32c_generic' |
    select_modules "$target" | while read -r path; do
    name=$(basename "$path" .ko)
    cp "$target/$path" "$initrd/lib/$name.ko"
    echo "$name"
done >"$initrd/modules"
find "$initrd" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$initrd" && find . | sort | cpio --quiet --reproducible --owner 0:0 -o -H newc) >"$work/disk/initrd.img"

# ---- root ----

stage configure
mkdir -p "$root/usr/lib/machine"
cp "$here/guest" "$root/usr/lib/machine/guest"
chmod 755 "$root/usr/lib/machine/guest"
cp "$work/unpacked/usr/bin/stunnel4" "$root/usr/bin/stunnel4"
chroot "$root" useradd --create-home --shell /bin/bash --gid docker --groups sudo docker
/bin/sh "$here/configure" "$root"
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\t${Installed-Size}\n' >"$work/packages"
for deb in "$work"/debs/*.deb; do
    dpkg-deb -W --showformat '${Package}\t${Version}\t${Installed-Size}\n' "$deb"
done >>"$work/packages"
sort -o "$work/packages" "$work/packages"
engine_version=$(awk -F '\t' '$1 == "docker.io" { sub(/[+~-].*/, "", $2); print $2 }' "$work/packages")

rm -rf "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/* "$root"/run/* "${root:?}"/dev/* \
    "$root"/var/lib/systemd/* "$root"/var/lib/dpkg/*-old "$root"/etc/*- "${root:?}"/boot/* \
    "$root"/usr/share/doc-base "$root"/usr/lib/udev/hwdb.bin "$root"/etc/udev/hwdb.bin "$root"/etc/ld.so.cache
chroot "$root" ldconfig
rm -rf "$root"/var/cache/ldconfig
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" "$root/var/lib/systemd" "$root/var/log"
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap.tmp"
find "$root" -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# ---- disk ----

stage disk
raw=$work/os.raw
truncate -s "$disk_size" "$raw"
export E2FSPROGS_FAKE_TIME="$SOURCE_DATE_EPOCH"
run mkfs.ext4 -q -F -L machine-os -U "$filesystem_uuid" -m 1 -b 4096 \
    -E "hash_seed=$hash_seed,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0" \
    -O ^metadata_csum_seed -d "$root" "$raw"
# mkfs.ext4 takes over the times at which the files were made here, and those differ from build to build.
inodes=$(dumpe2fs -h "$raw" 2>/dev/null | awk -F : '
    /^Inode count/ { count = $2 }
    /^Free inodes/ { free = $2 }
    END { print count - free }')
seq 1 "$inodes" | awk -v at="@$SOURCE_DATE_EPOCH" '{
    split("ctime atime crtime", field, " ")
    for (i = 1; i <= 3; i++) {
        printf "set_inode_field <%d> %s %s\n", $1, field[i], at
        printf "set_inode_field <%d> %s_extra 0\n", $1, field[i]
    }
}' >"$work/times"
debugfs -w -f "$work/times" "$raw" >/dev/null 2>&1 || die "debugfs cannot set the times of files"
run qemu-img convert -q -f raw -O qcow2 "$raw" "$work/disk/disk.qcow2"

# ---- manifest ----

stage manifest
# part NAME PATH...: one line of the table of sizes: bytes as they are, bytes compressed.
part() {
    name=$1
    shift
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=ustar \
        -cf "$work/part.tar" "$@" 2>/dev/null || true
    bytes=$(wc -c <"$work/part.tar")
    packed=$(zstd -q -T0 -"$zstd_level" -c "$work/part.tar" | wc -c)
    printf '{"part":"%s","bytes":%s,"compressed_zstd_bytes":%s}\n' "$name" "$bytes" "$packed"
}
{
    cd "$root"
    part kernel -C "$work/disk" vmlinuz
    part initrd -C "$work/disk" initrd.img
    part "kernel modules" usr/lib/modules
    part engine usr/sbin/dockerd usr/bin/docker-proxy usr/bin/containerd* usr/bin/ctr usr/*bin/runc usr/bin/tini* usr/bin/docker-init
    part "docker command line" usr/bin/docker
    part "compose and buildx" usr/libexec/docker usr/lib/docker
    part "everything else" --exclude=usr/lib/modules --exclude=usr/sbin/dockerd --exclude='usr/bin/docker*' \
        --exclude='usr/bin/containerd*' --exclude=usr/bin/ctr --exclude='usr/*bin/runc' --exclude=usr/libexec/docker \
        --exclude=usr/lib/docker .
    cd "$here"
} >"$work/parts" || die "the parts could not be measured"
compressed=$(cat "$work/disk/disk.qcow2" "$work/disk/vmlinuz" "$work/disk/initrd.img" | zstd -q -T0 -"$zstd_level" | wc -c)

entry() {
    printf '    "%s": {"sha256": "%s", "size": %s}' \
        "$1" "$(sha256sum <"$work/disk/$1" | cut -d ' ' -f 1)" "$(wc -c <"$work/disk/$1")"
}
{
    printf '{\n  "schema": 1,\n  "name": "machine",\n  "arch": "%s",\n  "suite": "%s",\n' "$arch" "$suite"
    printf '  "built": "%s",\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
    printf '  "kernel_version": "%s",\n  "engine_version": "%s",\n' "$kernel_version" "$engine_version"
    printf '  "kernel_args": "%s",\n  "channel": 1,\n  "files": {\n' "$kernel_args"
    entry disk.qcow2
    printf ',\n'
    entry vmlinuz
    printf ',\n'
    entry initrd.img
    printf '\n  },\n  "sizes": {\n    "compressed_zstd_bytes": %s,\n    "parts": [\n' "$compressed"
    sed -e 's/^/      /' -e '$!s/$/,/' "$work/parts"
    printf '    ]\n  },\n  "packages": [\n'
    awk -F '\t' '{ printf "%s    {\"name\": \"%s\", \"version\": \"%s\", \"installed_kib\": %d}", sep, $1, $2, $3; sep = ",\n" }' \
        "$work/packages"
    printf '\n  ]\n}\n'
} >"$work/disk/manifest.json"

# Only now, and the manifest last: a folder with a manifest is a whole image.
rm -f "$out/manifest.json"
for name in disk.qcow2 vmlinuz initrd.img manifest.json; do
    cp --sparse=always "$work/disk/$name" "$out/.$name.new"
    mv -f "$out/.$name.new" "$out/$name"
done
echo "image: $(du -sh --apparent-size "$work/disk" | cut -f 1), compressed $((compressed / 1000000)) MB"
