//! The ways into the guest: how each mounts a folder there, and what is known of it in the guest's list of mounts.

use machine_core::{Carrier, SharedFolder};
use machine_ssh::quote;

use super::mounts::{PORT, export_name, mangled};

/// What `sshfs` is asked for.
pub(super) fn sftp_source(share: &SharedFolder) -> String {
    format!("127.0.0.1:/{}", export_name(share))
}

/// A mount of that share by `carrier`, as `KIND SOURCE ACCESS`.
pub(super) fn found(share: &SharedFolder, carrier: Carrier) -> String {
    match carrier {
        Carrier::Sftp => format!("fuse.sshfs {} {}", mangled(&sftp_source(share)), access(share)),
        Carrier::NineP | Carrier::Virtiofs => format!("{carrier} {} {}", share.tag(), access(share)),
    }
}

fn access(share: &SharedFolder) -> &'static str {
    if share.read_only { "ro" } else { "rw" }
}

/// Mounts by `sshfs` at `$place`, and says so with `$note`.
pub(super) fn by_sftp(share: &SharedFolder) -> String {
    format!(
        r#"command -v sshfs >/dev/null || {{ echo "sshfs is not installed in the machine" >&2; exit 3; }}
mounted() {{ timeout 60 sshfs -o {options}"$1" {source} "$place"; }}
{{ mounted ,no_contain_symlinks 2>/dev/null || mounted ''; }} && echo "by sftp $note" && date '+at %s.%N'
"#,
        source = quote(&sftp_source(share)),
        options = sftp_options(share),
    )
}

/// Says in `$note` why a device cannot carry the share now, where it cannot: the machine has that of a folder that was there when it
/// was started.
pub(super) fn why_no_device(share: &SharedFolder, carrier: Carrier) -> String {
    match carrier {
        Carrier::Sftp => String::new(),
        Carrier::NineP => why_not_nine_p(share),
        Carrier::Virtiofs => why_not_virtiofs(share),
    }
}

/// Kernels before 6.9 do not tell the tags that are there (`/sys/fs/virtiofs`, Documentation/ABI/testing/sysfs-fs-virtiofs): mounting does.
fn why_not_virtiofs(share: &SharedFolder) -> String {
    format!(
        r#"modprobe -aq virtiofs 2>/dev/null
grep -qw virtiofs /proc/filesystems || note="the machine's kernel ($(uname -r)) has no virtiofs"
if [ -z "$note" ] && [ -d /sys/fs/virtiofs ]; then
    grep -qxF {tag} /sys/fs/virtiofs/*/tag 2>/dev/null || note="virtiofs from the machine's next start"
fi
"#,
        tag = share.tag()
    )
}

/// Linux 6.9 to 6.11 is passed over: files there are taken for others (a regression of 6.9-rc1, reverted in 6.12-rc5, be2ca38).
fn why_not_nine_p(share: &SharedFolder) -> String {
    format!(
        r#"modprobe -aq 9p 9pnet_virtio 2>/dev/null
kernel=$(uname -r)
case $kernel in
    6.9.* | 6.10.* | 6.11.*) note="9p does not work in the machine's kernel ($kernel)" ;;
esac
[ -n "$note" ] || grep -qw 9p /proc/filesystems || note="the machine's kernel ($kernel) has no 9p"
tags=$(cat /sys/bus/virtio/devices/*/mount_tag 2>/dev/null | tr '\0' '\n')
case "$note $tags" in
    " "*{tag}*) ;;
    " "*) note="9p from the machine's next start" ;;
esac
"#,
        tag = share.tag()
    )
}

/// Mounts a device at `$place`, says so and ends, unless `$note` says why not; it does when this fails.
pub(super) fn by_device(share: &SharedFolder, carrier: Carrier) -> String {
    let options = match carrier {
        Carrier::Sftp => return String::new(),
        Carrier::NineP => nine_p_options(share),
        // Its caches believe the folder for a second, and a file until it is opened again (virtiofsd's `--cache auto`).
        Carrier::Virtiofs => format!("{},nosuid,nodev", access(share)),
    };
    format!(
        r#"if [ -z "$note" ]; then
    if error=$(timeout 60 mount -t {carrier} -o {options} {tag} "$place" 2>&1); then
        echo "by {carrier}"
        date '+at %s.%N'
        exit 0
    fi
    note="{carrier}: $(printf '%s' "$error" | tr '\n' ' ')"
fi
"#,
        tag = share.tag(),
    )
}

/// How it is mounted by 9p.
///
/// - `cache=none`: what changes on this computer is seen at once. With `loose` and `fscache` files were cut short and old
///   (lima-vm/lima#5140), and any cache may be behind. It costs writable shared `mmap`, which fails.
/// - `access=any`: one login for everybody, and files that are made belong to whoever runs QEMU here, even if that is root.
/// - `msize`: the guest's kernel takes memory in one piece of this size; 128 KiB are to be had after days, too.
fn nine_p_options(share: &SharedFolder) -> String {
    format!("{},nosuid,nodev,trans=virtio,version=9p2000.L,msize=131072,cache=none,access=any", access(share))
}

/// How it is mounted by `sshfs`.
///
/// - `allow_other` without `default_permissions`: whoever a container runs as may do what this computer's user may.
/// - `dcache_timeout=1`: what changes on this computer is seen within a second (`sshfs` would believe its memory for 20).
/// - `max_read`, `max_write`: the largest that `sshfs` takes.
/// - `no_contain_symlinks` where `sshfs` knows it (Debian's since CVE-2026-47187): it would refuse to read any link with `..` in it, such
///   as all of `node_modules/.bin`. The one who has the files is trusted here; who is not follows links inside the machine alone.
fn sftp_options(share: &SharedFolder) -> String {
    format!(
        "{},nosuid,nodev,allow_other,directport={PORT},reconnect,dcache_timeout=1,max_read=65536,max_write=65536",
        access(share)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only_is_mounted_so_by_any() {
        let share = SharedFolder { folder: "/x".into(), guest: "/src".into(), read_only: true, events: false };
        for script in [by_sftp(&share), by_device(&share, Carrier::NineP), by_device(&share, Carrier::Virtiofs)] {
            assert!(script.contains("-o ro,") && !script.contains("-o rw,"), "{script}");
        }
        for carrier in [Carrier::Sftp, Carrier::NineP, Carrier::Virtiofs] {
            assert!(found(&share, carrier).ends_with(" ro"));
        }
    }
}
