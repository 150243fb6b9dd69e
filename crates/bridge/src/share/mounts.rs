//! What the guest is told about its mounts: scripts of few processes, each of which costs 20 ms and more without hardware
//! acceleration.
//!
//! `sshfs` there connects to a port of the guest's own loopback, behind which this side listens, and connects again when that was
//! lost (`-o reconnect`). So a mount outlives the connection, and with it the folders that running containers have of it:
//! what is mounted anew they would not see.

use jiff::Timestamp;
use machine_core::SharedFolder;
use machine_ssh::quote;

/// The port of the guest's loopback that its `sshfs` connect to: always the same, so that they find the next supervisor.
pub(super) const PORT: u16 = 2374;

/// What our mounts are known by in the guest's list.
const SOURCE: &str = "127.0.0.1:/+";

/// The line that logs in as root; the shell there is told which process of sshd holds the connection.
pub(super) const ROOT: &str = "exec sudo -n sh -s \"$PPID\"";

/// The name under which a share is asked for: its place in the guest, as one component.
pub(super) fn export_name(share: &SharedFolder) -> String {
    let mut name = String::new();
    for character in share.guest.chars() {
        match character {
            '/' => name.push('+'),
            '+' | '%' => name.push_str(&format!("%{:02X}", u32::from(character))),
            other => name.push(other),
        }
    }
    name
}

/// As the kernel prints paths in `/proc/mounts` (`mangle`, fs/proc_namespace.c).
pub(super) fn mangled(path: &str) -> String {
    let mut mangled = String::new();
    for character in path.chars() {
        match character {
            ' ' | '\t' | '\n' | '\\' | '#' => mangled.push_str(&format!("\\{:03o}", u32::from(character))),
            other => mangled.push(other),
        }
    }
    mangled
}

/// The path that the kernel printed like that.
fn unmangled(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| str::from_utf8(after.get(..3)?).ok()).flatten();
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends the connection of a supervisor that is no more, which may still have the port: nobody has told its sshd, when the
/// machine was suspended meanwhile. Then says what of ours is mounted: lines that [`mounted`] reads.
pub(super) fn begin() -> String {
    format!(
        r#"note=/run/machine-shares.pid
old=
[ -r "$note" ] && read -r old <"$note"
if [ -n "$old" ] && [ "$old" != "$1" ] && read -r name <"/proc/$old/comm"; then
    case $name in sshd*) kill "$old" ;; esac
fi 2>/dev/null
echo "$1" >"$note"
while read -r source place kind options rest; do
    case "$kind $source" in "fuse.sshfs {SOURCE}"*) echo "$place" ;; esac
done </proc/mounts
"#
    )
}

/// The places in the guest that [`begin`] lists.
pub(super) fn mounted(output: &str) -> Vec<String> {
    output.lines().map(|line| unmangled(line.trim())).filter(|place| place.starts_with('/')).collect()
}

/// Mounts a share, unless it is mounted and answers. A mount that is dead, or was made for something else, is taken away first.
/// Says when it was mounted, by the guest's clock, if it was: see [`time_of`].
pub(super) fn mount(share: &SharedFolder) -> String {
    let source = format!("127.0.0.1:/{}", export_name(share));
    let access = if share.read_only { "ro" } else { "rw" };
    let found = format!("fuse.sshfs {} {access}", mangled(&source));
    format!(
        r#"place={place}
found=
while read -r from at kind options rest; do
    [ "$at" = {shown} ] && found="$kind $from ${{options%%,*}}"
done </proc/mounts
if [ "$found" = {found} ] && timeout 20 test -d "$place/."; then exit 0; fi
case $found in fuse.sshfs*) umount -l "$place" ;; esac
command -v sshfs >/dev/null || {{ echo "sshfs is not installed in the machine" >&2; exit 3; }}
mkdir -p "$place" || exit 4
mounted() {{ timeout 60 sshfs -o {options}"$1" {source} "$place"; }}
{{ mounted ,no_contain_symlinks 2>/dev/null || mounted ''; }} && date +%s.%N
"#,
        place = quote(&share.guest),
        shown = quote(&mangled(&share.guest)),
        found = quote(&found),
        source = quote(&source),
        options = options(share),
    )
}

/// When [`mount`] says that it mounted something.
pub(super) fn time_of(output: &str) -> Option<Timestamp> {
    let (seconds, fraction) = output.trim().split_once('.')?;
    Timestamp::new(seconds.parse().ok()?, fraction.parse().ok()?).ok()
}

/// How it is mounted.
///
/// - `allow_other` without `default_permissions`: whoever a container runs as may do what this computer's user may.
/// - `dcache_timeout=1`: what changes on this computer is seen within a second (`sshfs` would believe its memory for 20).
/// - `max_read`, `max_write`: the largest that `sshfs` takes.
/// - `no_contain_symlinks` where `sshfs` knows it (Debian's since CVE-2026-47187): it would refuse to read any link with `..` in it, such
///   as all of `node_modules/.bin`. The one who has the files is trusted here; who is not follows links inside the machine alone.
fn options(share: &SharedFolder) -> String {
    let access = if share.read_only { "ro" } else { "rw" };
    format!(
        "{access},nosuid,nodev,allow_other,directport={PORT},reconnect,dcache_timeout=1,max_read=65536,max_write=65536"
    )
}

/// Takes a mount away; what has files open in it keeps a dead one.
pub(super) fn unmount(place: &str) -> String {
    format!(
        "place={}\numount \"$place\" 2>/dev/null || umount -l \"$place\"\nrmdir \"$place\" 2>/dev/null\nexit 0\n",
        quote(place)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(guest: &str) -> SharedFolder {
        SharedFolder { folder: "/x".into(), guest: guest.into(), read_only: false, events: false }
    }

    #[test]
    fn each_place_has_a_name_of_its_own_without_a_slash() {
        assert_eq!(export_name(&share("/home/me/src")), "+home+me+src");
        assert_eq!(export_name(&share("/a+b/c%d")), "+a%2Bb+c%25d");
        assert_ne!(export_name(&share("/a/b")), export_name(&share("/a+b")));
    }

    #[test]
    fn paths_come_back_from_the_list_of_mounts_as_they_are() {
        for path in ["/plain", "/with space", "/tab\tand\\back#hash\nline", "/grüße/日本"] {
            let line = mangled(path);
            assert!(!line.contains([' ', '\t', '\n']), "{line}");
            assert_eq!(unmangled(&line), path);
        }
        assert_eq!(mounted("/a\\040b\n\nnoise\n/c\n"), ["/a b", "/c"]);
        assert_eq!(unmangled("\\9zz\\04"), "\\9zz\\04");
    }

    #[test]
    fn a_mount_that_was_made_says_when() {
        assert_eq!(time_of("1795338000.250000000\n").unwrap().to_string(), "2026-11-22T09:00:00.25Z");
        assert_eq!((time_of(""), time_of("no")), (None, None));
    }

    #[test]
    fn words_of_the_user_stay_words_in_the_scripts() {
        let script = mount(&share("/it's; $(reboot)"));
        assert!(script.contains(r"place='/it'\''s; $(reboot)'"), "{script}");
        assert!(script.contains("ro") && !script.contains("-o ro"), "{script}");
        let read_only = mount(&SharedFolder { read_only: true, ..share("/src") });
        assert!(read_only.contains("-o ro,"), "{read_only}");
    }
}
