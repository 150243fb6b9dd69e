//! Folders of this computer that a machine sees: which, where, and which not.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// A folder of this computer that a machine sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFolder {
    /// Where it is on this computer; absolute, as the user calls it.
    pub folder: PathBuf,
    /// Where the machine sees it; absolute.
    pub guest: String,
    /// The machine may not change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What changes in it on this computer is told to programs in containers that watch files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events: bool,
}

/// Folders that a machine needs as they are, with all that is in them.
const KEPT: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/var/lib/docker",
    "/var/lib/containerd",
];

/// Folders that a machine needs itself, but not all that is in them.
const OWN: [&str; 9] = ["/", "/home", "/root", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp", "/var/run"];

impl SharedFolder {
    /// Reads `DIR[:GUEST][:OPTIONS]`, where the options are `ro`, `rw` and `events`, with commas. A relative `DIR` is one of `current`; without `GUEST` the machine sees it under the same path
    /// (`C:\Users\x` is `/c/Users/x` there).
    ///
    /// # Errors
    /// Words that say no folder, or a place in the machine that cannot be.
    pub fn parse(words: &str, current: &Path) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(Code::Usage, format!("{words:?} is no folder to share: {why}"))
                .hint("it is DIR[:PLACE][:OPTIONS], such as \"$PWD\", \"$PWD:events\" or ~/src:/src:ro")
        };
        let (rest, options) = without_options(words);
        let said = |option: &str| options.split(',').any(|said| said == option);
        let (read_only, events) = (said("ro"), said("events"));
        if read_only && (events || said("rw")) {
            return Err(wrong("what the machine may only read has no other option").hint(
                "events need `rw`: share it without `ro`, and let the container mount it read-only (`-v DIR:PLACE:ro`)",
            ));
        }
        // The place in the machine begins with a slash; on Windows a letter alone before the colon is a drive.
        let is_drive = |at: usize| cfg!(windows) && at == 1 && rest.as_bytes()[0].is_ascii_alphabetic();
        let (folder, guest) = match rest.rfind(":/").filter(|at| !is_drive(*at)) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        if folder.is_empty() {
            return Err(wrong("no folder is named"));
        }
        let folder = tidy(&current.join(folder));
        let Some(text) = folder.to_str() else { return Err(wrong("its name is not UTF-8")) };
        let guest = match guest {
            Some(guest) => guest.to_owned(),
            None => guest_path(text),
        };
        let Some(guest) = tidy_guest(&guest) else { return Err(wrong("its place in the machine has `..` in it")) };
        Ok(Self { folder, guest, read_only, events })
    }

    /// The words of a share without its options.
    pub fn without_options(words: &str) -> &str {
        without_options(words).0
    }

    /// The tag of its 9p device, 24 characters (QEMU and the guest's kernel take 31): the same for the same words, another for
    /// others. A guest that has a device of this tag has this folder, as it is asked for now.
    pub fn tag(&self) -> String {
        // FNV-1a, 64 bits: nobody gains by a collision but with himself.
        let folder = self.folder.to_string_lossy();
        let access: &[u8] = if self.read_only { b"ro" } else { b"rw" };
        let parts = [folder.as_bytes(), b"\0", self.guest.as_bytes(), b"\0", access];
        let digest = parts.iter().flat_map(|part| part.iter()).fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("machine-{digest:016x}")
    }

    /// Refuses a place that the machine needs for itself.
    ///
    /// # Errors
    /// Why the folder cannot be seen there by a machine with that login.
    pub fn check_guest(&self, user: &str) -> Result<()> {
        let place = Path::new(&self.guest);
        let home = format!("/home/{user}");
        let in_the_way = KEPT.iter().any(|kept| place.starts_with(kept) || Path::new(kept).starts_with(place))
            || OWN.iter().any(|own| place == Path::new(own))
            || Path::new(&home).starts_with(place)
            || place.starts_with(format!("{home}/.ssh"));
        if in_the_way {
            let folder = self.folder.display();
            return Err(Error::new(
                Code::Usage,
                format!("{} belongs to the machine itself: nothing is shared there", self.guest),
            )
            .hint(format!("say another place: --share {folder}:/mnt/NAME")));
        }
        Ok(())
    }
}

/// What comes before the options, and the options: no last part that is anything else.
fn without_options(words: &str) -> (&str, &str) {
    let is_option = |word| matches!(word, "ro" | "rw" | "events");
    words.rsplit_once(':').filter(|(_, last)| last.split(',').all(is_option)).unwrap_or((words, ""))
}

/// A path of this computer as a machine sees it, where nothing else is said.
fn guest_path(path: &str) -> String {
    let path = path.strip_prefix(r"\\?\").unwrap_or(path);
    match path.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => {
            format!("/{}{}", drive.to_ascii_lowercase() as char, path[2..].replace('\\', "/"))
        }
        _ => path.to_owned(),
    }
}

/// Without `.`, `..` and doubled separators, by the words alone: a link is what the user calls it.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

fn tidy_guest(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !path.starts_with('/') || parts.contains(&"..") || path.contains(['\n', '\0']) {
        return None;
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> (String, String, bool) {
        let shared = SharedFolder::parse(words, Path::new("/home/me/src")).unwrap();
        (shared.folder.to_str().unwrap().to_owned(), shared.guest, shared.read_only)
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_seen_under_its_own_path_or_the_one_that_is_said() {
        let said = |folder: &str, guest: &str, read_only| (folder.to_owned(), guest.to_owned(), read_only);
        assert_eq!(parse("."), said("/home/me/src", "/home/me/src", false));
        assert_eq!(parse("/data:ro"), said("/data", "/data", true));
        assert_eq!(parse("../a//b:/src/:rw"), said("/home/me/a/b", "/src", false));
        assert_eq!(parse("web:/srv/web:ro"), said("/home/me/src/web", "/srv/web", true));
        assert_eq!(parse("with:colon"), said("/home/me/src/with:colon", "/home/me/src/with:colon", false));
        assert_eq!(parse("/a b/grüße"), said("/a b/grüße", "/a b/grüße", false));
        for wrong in ["", ":ro", ":/src", "a:/b/../c", "a:ro,events", "a:/b:rw,ro"] {
            assert_eq!(SharedFolder::parse(wrong, Path::new("/x")).unwrap_err().code(), Code::Usage, "{wrong:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn options_come_last_and_in_any_order() {
        let events = |words: &str| SharedFolder::parse(words, Path::new("/x")).unwrap();
        for words in ["/a:events", "/a:rw,events", "/a:/a:events,rw"] {
            let share = events(words);
            assert_eq!((share.guest.as_str(), share.events, share.read_only), ("/a", true, false), "{words}");
            assert_eq!(SharedFolder::without_options(words).trim_end_matches(":/a"), "/a");
        }
        assert!(!events("/a").events && !events("/a:ro").events);
        // What is no option is a name.
        assert_eq!(events("/a:events,or").folder, Path::new("/a:events,or"));
    }

    #[test]
    fn records_without_the_option_are_read_and_written_as_before() {
        let old = r#"{"folder":"/a","guest":"/a"}"#;
        let share: SharedFolder = serde_json::from_str(old).unwrap();
        assert!(!share.events);
        assert_eq!(serde_json::to_string(&share).unwrap(), old);
    }

    #[test]
    fn drives_of_windows_become_folders() {
        assert_eq!(guest_path(r"C:\Users\x y"), "/c/Users/x y");
        assert_eq!(guest_path(r"\\?\D:\src"), "/d/src");
    }

    #[test]
    fn a_tag_stands_for_the_folder_its_place_and_what_may_be_done_in_it() {
        let share = |folder: &str, guest: &str, read_only| {
            SharedFolder { folder: folder.into(), guest: guest.into(), read_only, events: false }.tag()
        };
        let all = [
            share("/a", "/b", false),
            share("/a", "/b", true),
            share("/a", "/c", false),
            share("/b", "/b", false),
            share("/a/b", "", false),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
        assert_eq!(share("/a", "/b", false), all[0], "the same at each start");
        assert!(all.iter().all(|tag| tag.len() == 24), "{all:?}");
    }

    #[test]
    fn places_that_a_machine_needs_are_refused() {
        let at =
            |guest: &str| SharedFolder { folder: "/x".into(), guest: guest.into(), read_only: false, events: false };
        for taken in [
            "/",
            "/etc",
            "/etc/docker",
            "/usr",
            "/usr/bin/x",
            "/var/lib/docker/volumes",
            "/var",
            "/home",
            "/home/docker",
            "/home/docker/.ssh",
            "/proc/1",
            "/tmp",
        ] {
            assert!(at(taken).check_guest("docker").is_err(), "{taken}");
        }
        for free in [
            "/home/me",
            "/home/docker/src",
            "/Users/me",
            "/c/Users/me",
            "/usr/local/src",
            "/tmp/x",
            "/var/www",
            "/src",
            "/homes",
        ] {
            at(free).check_guest("docker").unwrap();
        }
    }
}
