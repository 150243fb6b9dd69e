//! What is at a path of a machine.

use std::time::Duration;

use machine_core::{Error, Result};

use crate::connect::Session;
use crate::copy::quote;

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File {
        /// Its length, bytes.
        size: u64,
        /// Its permissions.
        mode: u32,
    },
    /// A folder.
    Folder,
    /// A device, a pipe or a socket.
    Other,
    /// Nothing, in a folder that is there.
    Absent,
    /// Nothing, and its folder is not there either.
    Nowhere,
}

/// Something at a path, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FoundKind,
    /// Its path without links, as far as it is there; else the path that was asked for.
    pub path: String,
}

impl Session {
    /// Looks at what is at `path`, absolute or below the login user's home.
    ///
    /// # Errors
    /// As [`Self::exec`], and an answer that is not understood.
    pub fn look(&mut self, path: &str, limit: Duration) -> Result<Found> {
        let script = format!(
            "p={}; if [ -d \"$p\" ]; then echo folder; elif [ -f \"$p\" ]; then stat -L -c 'file %s %a' -- \"$p\" || exit 1\n\
             elif [ -e \"$p\" ]; then echo other; elif [ -d \"$(dirname -- \"$p\")\" ]; then echo absent; else echo nowhere; fi\n\
             [ ! -e \"$p\" ] || readlink -f -- \"$p\"",
            quote(path)
        );
        let doing = format!("cannot look at {path} on {}", self.peer);
        let text = self.exec(&format!("exec sh -c {}", quote(&script)), limit)?.text(&doing)?;
        read(&text, path).ok_or_else(|| Error::other(format!("{doing}: it answers {text:?}")))
    }
}

fn read(text: &str, asked: &str) -> Option<Found> {
    let (first, real) = text.split_once('\n')?;
    let mut words = first.split(' ');
    let kind = match words.next()? {
        "folder" => FoundKind::Folder,
        "other" => FoundKind::Other,
        "absent" => FoundKind::Absent,
        "nowhere" => FoundKind::Nowhere,
        "file" => FoundKind::File {
            size: words.next()?.parse().ok()?,
            mode: u32::from_str_radix(words.next()?, 8).ok()? & 0o777,
        },
        _ => return None,
    };
    let real = real.strip_suffix('\n').unwrap_or(real);
    Some(Found { kind, path: if real.is_empty() { asked.to_owned() } else { real.to_owned() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_others_are_refused() {
        let file = FoundKind::File { size: 12, mode: 0o755 };
        assert_eq!(read("file 12 4755\n/srv/a\nb\n", "a"), Some(Found { kind: file, path: "/srv/a\nb".into() }));
        assert_eq!(read("absent\n", "a b"), Some(Found { kind: FoundKind::Absent, path: "a b".into() }));
        for bad in ["", "file\n", "file x 644\n", "file 1 9\n", "something\n"] {
            assert_eq!(read(bad, "a"), None, "{bad:?}");
        }
    }
}
