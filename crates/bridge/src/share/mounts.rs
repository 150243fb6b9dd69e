//! What the guest is told about its mounts: scripts of few processes, each of which costs 20 ms and more without hardware
//! acceleration.
//!
//! 9p and virtiofs mount a device of the virtual machine. `sshfs` connects to a port of the guest's own loopback, behind which this side
//! listens, and connects again when that was lost (`-o reconnect`). So a mount outlives the connection, and with it the
//! folders that running containers have of it: what is mounted anew they would not see.

use jiff::Timestamp;
use machine_core::{Carrier, SharedFolder};
use machine_ssh::quote;

use super::row::Carried;
use super::ways;

/// The port of the guest's loopback that its `sshfs` connect to: always the same, so that they find the next supervisor.
pub(super) const PORT: u16 = 2374;

/// What our mounts are known by in the guest's list: by SFTP, and by a device ([`SharedFolder::tag`]).
const SOURCE: &str = "127.0.0.1:/+";
const TAG: &str = "machine-";

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
    case "$kind $source" in "fuse.sshfs {SOURCE}"* | "9p {TAG}"* | "virtiofs {TAG}"*) echo "$place" ;; esac
done </proc/mounts
"#
    )
}

/// The places in the guest that [`begin`] lists.
pub(super) fn mounted(output: &str) -> Vec<String> {
    output.lines().map(|line| unmangled(line.trim())).filter(|place| place.starts_with('/')).collect()
}

/// Mounts a share by `carrier`, or by SFTP where the guest has no device for it, unless it is mounted by either and answers: a
/// running container keeps the mount that it has. One that is dead, or was made for something else, is taken away first.
/// [`Mounted::read`] reads what it says.
pub(super) fn mount(share: &SharedFolder, carrier: Carrier) -> String {
    format!(
        r#"place={place}
found=
while read -r from at kind options rest; do
    [ "$at" = {shown} ] && found="$kind $from ${{options%%,*}}"
done </proc/mounts
case $found in
    {sftp}) by=sftp ;;
    {nine_p}) by=9p ;;
    {virtiofs}) by=virtiofs ;;
    *) by= ;;
esac
note=
{why_not}if [ -n "$by" ] && timeout 20 test -d "$place/."; then
    [ "$by" = sftp ] || note=
    echo "by $by $note"
    exit 0
fi
case $found in "fuse.sshfs "* | "9p {TAG}"* | "virtiofs {TAG}"*) umount -l "$place" ;; esac
mkdir -p "$place" || exit 4
{by_device}{by_sftp}"#,
        place = quote(&share.guest),
        shown = quote(&mangled(&share.guest)),
        sftp = quote(&ways::found(share, Carrier::Sftp)),
        nine_p = quote(&ways::found(share, Carrier::NineP)),
        virtiofs = quote(&ways::found(share, Carrier::Virtiofs)),
        why_not = ways::why_no_device(share, carrier),
        by_device = ways::by_device(share, carrier),
        by_sftp = ways::by_sftp(share),
    )
}

/// What [`mount`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// What carries the share.
    pub(super) carried: Carried,
    /// When it was mounted, by the guest's clock, if it was not before.
    pub(super) at: Option<Timestamp>,
}

impl Mounted {
    /// Reads the script's words.
    pub(super) fn read(output: &str) -> Option<Self> {
        let said = |word: &str| output.lines().find_map(|line| line.strip_prefix(word));
        let (by, note) = said("by ").map(|by| by.split_once(' ').unwrap_or((by, "")))?;
        let by = match by {
            "9p" => Carrier::NineP,
            "virtiofs" => Carrier::Virtiofs,
            _ => Carrier::Sftp,
        };
        let note = Some(note.trim()).filter(|note| !note.is_empty()).map(str::to_owned);
        let at = said("at ").and_then(|time| {
            let (seconds, fraction) = time.trim().split_once('.')?;
            Timestamp::new(seconds.parse().ok()?, fraction.parse().ok()?).ok()
        });
        Some(Self { carried: Carried { by, note }, at })
    }
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
    fn a_mount_says_what_carries_it_and_when_it_was_made() {
        let read =
            |output: &str| Mounted::read(output).map(|mounted| (mounted.carried, mounted.at.map(|at| at.to_string())));
        let carried = |by, note: Option<&str>| Carried { by, note: note.map(str::to_owned) };
        let at = Some("2026-11-22T09:00:00.25Z".to_owned());
        assert_eq!(read("by 9p\nat 1795338000.250000000\n"), Some((carried(Carrier::NineP, None), at.clone())));
        assert_eq!(
            read("by sftp why not\nat 1795338000.250000000\n"),
            Some((carried(Carrier::Sftp, Some("why not")), at))
        );
        assert_eq!(read("by sftp \nat no\n"), Some((carried(Carrier::Sftp, None), None)));
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_machine_by_sftp_knows_nothing_of_9p() {
        let share = share("/src");
        assert!(!mount(&share, Carrier::Sftp).contains("modprobe"));
        let script = mount(&share, Carrier::NineP);
        let (by_nine_p, by_sftp) = (script.find("mount -t 9p").unwrap(), script.find("sshfs -o").unwrap());
        assert!(by_nine_p < by_sftp, "SFTP is what is left: {script}");
    }

    #[test]
    fn words_of_the_user_stay_words_in_the_scripts() {
        for carrier in [Carrier::Sftp, Carrier::NineP, Carrier::Virtiofs] {
            let script = mount(&share("/it's; $(reboot)"), carrier);
            assert!(script.contains(r"place='/it'\''s; $(reboot)'"), "{script}");
            assert!(script.contains("-o rw,") && !script.contains("-o ro"), "{script}");
        }
    }
}
