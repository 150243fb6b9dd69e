//! How people name an image of the store.

use std::path::Path;

/// What was typed, sorted by its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageReference<'a> {
    /// `machine`: its newest version.
    Name(&'a str),
    /// `machine@0123456789ab`: one version. The digest may be cut short.
    Version(&'a str, &'a str),
    /// `./disk.qcow2`: a file or folder of the user.
    Path(&'a Path),
}

impl<'a> ImageReference<'a> {
    /// Sorts `text`. Whatever looks like a path, or cannot be a name and has the extension of a disk, is one.
    pub fn parse(text: &'a str) -> Self {
        let disk = [".qcow2", ".img", ".raw"].iter().any(|extension| text.to_ascii_lowercase().ends_with(extension));
        if text.contains(['/', '\\']) || text == "." || text == ".." || disk {
            return Self::Path(Path::new(text));
        }
        match text.split_once('@') {
            Some((name, digest)) => Self::Version(name, digest),
            None => Self::Name(text),
        }
    }

    /// Whether an image of this name and digest is meant. A word of 6 or more hexadecimal digits may also be the
    /// beginning of a digest.
    pub(crate) fn means(&self, name: &str, digest: &str) -> bool {
        match *self {
            Self::Name(word) => name == word || is_digest_prefix(word) && digest.starts_with(word),
            Self::Version(word, prefix) => name == word && !prefix.is_empty() && digest.starts_with(prefix),
            Self::Path(_) => false,
        }
    }

    /// The name without a version, for suggestions.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Name(word) | Self::Version(word, _) => word,
            Self::Path(path) => path.to_str().unwrap_or_default(),
        }
    }
}

fn is_digest_prefix(word: &str) -> bool {
    (6..=64).contains(&word.len()) && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names that somebody may have meant who typed `word`, closest first.
pub(crate) fn similar<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_ascii_lowercase();
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|name| *name != word)
        .filter_map(|name| {
            let distance = distance(&word, name);
            let contained = word.len() >= 3 && (name.contains(&word) || word.contains(name));
            (contained || distance <= 1 + name.len() / 5).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's distance, bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_paths_are_told_apart() {
        assert_eq!(ImageReference::parse("debian-13"), ImageReference::Name("debian-13"));
        assert_eq!(ImageReference::parse("machine@ab12"), ImageReference::Version("machine", "ab12"));
        for path in ["./x", "/x/y", "C:\\x", "x.qcow2", "noble.IMG", ".."] {
            assert!(matches!(ImageReference::parse(path), ImageReference::Path(_)), "{path}");
        }
    }

    #[test]
    fn a_digest_is_meant_by_its_beginning_from_six_digits_on() {
        assert!(ImageReference::parse("abcdef").means("machine", "abcdef00"));
        assert!(!ImageReference::parse("abcde").means("machine", "abcdef00"));
        assert!(ImageReference::parse("machine@ab").means("machine", "abcdef00"));
        assert!(!ImageReference::parse("machine@").means("machine", "abcdef00"));
        assert!(!ImageReference::parse("other@ab").means("machine", "abcdef00"));
    }

    #[test]
    fn typing_errors_and_parts_of_names_find_what_was_meant() {
        let names = ["machine", "debian-13", "ubuntu-24.04", "ubuntu-26.04"];
        assert_eq!(similar("machin", names), ["machine"]);
        assert_eq!(similar("debian", names), ["debian-13"]);
        assert_eq!(similar("ubuntu-24.4", names), ["ubuntu-24.04", "ubuntu-26.04"]);
        assert!(similar("zz", names).is_empty() && similar("", names).is_empty());
    }
}
