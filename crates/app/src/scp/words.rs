//! What the two words of `scp` mean: docker-machine's `[[user@]machine:]path`.

use std::path::PathBuf;

use machine_core::{Code, Error, MachineName, Result};

use crate::sync::place_of;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// On this computer.
    Here(PathBuf),
    /// In a machine.
    There {
        machine: MachineName,
        /// Who logs in; the machine's own login user when it is not said.
        user: Option<String>,
        /// Absolute, or below the login user's home; empty for that home.
        place: String,
    },
}

impl Site {
    /// Reads one word. What has a `/` before its first `:` is of this computer, as is `C:\...` on Windows and `localhost:...`.
    pub(crate) fn read(word: &str) -> Result<Self> {
        if word.is_empty() {
            return Err(Error::new(Code::Usage, "a path is empty").hint("`.` is the present folder"));
        }
        if let Some(path) = word.strip_prefix("localhost:") {
            return Ok(Self::Here(PathBuf::from(if path.is_empty() { "." } else { path })));
        }
        let (user, rest) = match word.split_once(':') {
            Some((host, _)) => match host.split_once('@') {
                Some((user, _)) if !host.contains(['/', '\\']) => (Some(user), &word[user.len() + 1..]),
                _ => (None, word),
            },
            None => (None, word),
        };
        if user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
            return Err(Error::new(Code::Usage, format!("{word:?} names no user before its '@'")));
        }
        Ok(match place_of(rest)? {
            Some((machine, place)) => Self::There { machine, user: user.map(str::to_owned), place },
            None => Self::Here(PathBuf::from(word)),
        })
    }

    /// The last name of a path in a machine; none for `.`, `..`, the home folder and `/`.
    pub(crate) fn last_name(place: &str) -> Option<&str> {
        let name = place.trim_end_matches('/').rsplit('/').next()?;
        (!matches!(name, "" | "." | "..")).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(machine: &str, user: Option<&str>, place: &str) -> Site {
        Site::There { machine: machine.parse().unwrap(), user: user.map(Into::into), place: place.into() }
    }

    #[test]
    fn words_are_read_as_docker_machine_reads_them() {
        for (word, site) in [
            ("a", Site::Here("a".into())),
            ("./a:b", Site::Here("./a:b".into())),
            ("/x@y:z", Site::Here("/x@y:z".into())),
            ("localhost:a:b", Site::Here("a:b".into())),
            ("dev:/a:b", there("dev", None, "/a:b")),
            ("dev:", there("dev", None, "")),
            ("dev:~/x y", there("dev", None, "x y")),
            ("ann@dev:x@y", there("dev", Some("ann"), "x@y")),
        ] {
            assert_eq!(Site::read(word).unwrap(), site, "{word}");
        }
        for word in ["", ":x", "@dev:x", "-l@dev:x", "no_name:x", "dev:~other/x"] {
            assert_eq!(Site::read(word).unwrap_err().code(), Code::Usage, "{word}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_drive_is_of_this_computer() {
        assert_eq!(Site::read(r"C:\x").unwrap(), Site::Here(r"C:\x".into()));
    }

    #[test]
    fn the_last_name_of_a_place_leads_nowhere_else() {
        for (place, name) in
            [("a/b/", Some("b")), ("b", Some("b")), ("/", None), ("", None), ("a/..", None), (".", None)]
        {
            assert_eq!(Site::last_name(place), name, "{place}");
        }
    }
}
