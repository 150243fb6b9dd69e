//! What is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use machine_core::{Code, Error, Result};

use crate::entry::Tree;
use crate::place::Place;

/// The name of the files that say what is left out of the folder that they are in.
pub(crate) const RULES: &[u8] = b".gitignore";

/// Patterns as in `.gitignore` files (gitignore(5)).
#[derive(Debug)]
pub(crate) struct Exclusions {
    said: Gitignore,
    /// By the folder of the file; none is the top. Not there when nobody asked for them.
    files: Option<BTreeMap<Option<Place>, Gitignore>>,
}

impl Exclusions {
    /// Those that were said with the command.
    ///
    /// # Errors
    /// A pattern that is none.
    pub(crate) fn new(patterns: &[String], with_files: bool) -> Result<Self> {
        let wrong = |pattern: &str, error: ignore::Error| {
            Error::new(Code::Usage, format!("{pattern:?} is not a pattern"))
                .because(error)
                .hint("patterns are those of .gitignore files, such as `target/` or `*.log`")
        };
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(|error| wrong(pattern, error))?;
        }
        let said = builder.build().map_err(|error| wrong(&patterns.join(" "), error))?;
        Ok(Self { said, files: with_files.then(BTreeMap::new) })
    }

    /// Whether files with rules are wanted.
    pub(crate) fn reads_files(&self) -> bool {
        self.files.is_some()
    }

    /// Takes in the rules of a folder. A line that is no pattern says nothing, as for git.
    pub(crate) fn learn(&mut self, folder: Option<&Place>, text: &str) {
        let Some(files) = &mut self.files else { return };
        let mut builder = GitignoreBuilder::new(folder.map(as_path).unwrap_or_default());
        for line in text.lines() {
            let _ = builder.add_line(None, line);
        }
        if let Ok(rules) = builder.build() {
            files.insert(folder.cloned(), rules);
        }
    }

    /// Whether `place` itself is left out; what is in a folder that is left out is so too, and not known here.
    pub(crate) fn has(&self, place: &Place, is_folder: bool) -> bool {
        let path = as_path(place);
        if self.said.matched(&path, is_folder).is_ignore() {
            return true;
        }
        let Some(files) = &self.files else { return false };
        // The nearest file that says anything of it decides.
        let folders = place.ancestors().map(Some).chain([None]);
        for rules in folders.filter_map(|folder| files.get(&folder)) {
            match rules.matched(&path, is_folder) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }

    /// Takes out of a tree what is left out, with all that is in it.
    pub(crate) fn apply(&self, tree: &mut Tree) {
        let mut out: BTreeSet<Place> = BTreeSet::new();
        tree.retain(|place, entry| {
            let is_out = place.ancestors().any(|above| out.contains(&above)) || self.has(place, entry.is_folder());
            if is_out && entry.is_folder() {
                out.insert(place.clone());
            }
            !is_out
        });
    }
}

/// For patterns alone: nothing is opened by it.
fn as_path(place: &Place) -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(place.as_bytes()));
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(place.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::{file, folder, place, tree};

    fn left(exclusions: &Exclusions, mut tree: Tree) -> Vec<String> {
        exclusions.apply(&mut tree);
        tree.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn patterns_are_those_of_git() {
        let patterns = ["target/", "*.log", "!keep.log", "/top"].map(str::to_owned);
        let exclusions = Exclusions::new(&patterns, false).unwrap();
        let tree = tree([
            (".git", folder()),
            (".git/config", file(1)),
            ("a", folder()),
            ("a/target", folder()),
            ("a/target/x", file(2)),
            ("a/target/y", folder()),
            ("a/target/y/z", file(3)),
            ("a/top", file(4)),
            ("a/x.log", file(5)),
            ("keep.log", file(6)),
            ("target", file(7)),
            ("target-not", file(8)),
            ("top", file(9)),
        ]);
        let left = left(&exclusions, tree);
        assert_eq!(left, [".git", ".git/config", "a", "a/top", "keep.log", "target", "target-not"]);
        assert_eq!(Exclusions::new(&["a{b".to_owned()], false).unwrap_err().code(), Code::Usage);
    }

    #[test]
    fn rules_in_files_hold_below_them_and_the_nearest_decides() {
        let mut exclusions = Exclusions::new(&[], true).unwrap();
        exclusions.learn(None, "# all objects\n*.o\nbuild\n");
        exclusions.learn(Some(&place("a")), "!keep.o\n/local\n");
        let tree = tree([
            ("a", folder()),
            ("a/b", folder()),
            ("a/b/local", file(1)),
            ("a/keep.o", file(2)),
            ("a/local", file(3)),
            ("build", folder()),
            ("build/x", file(4)),
            ("keep.o", file(5)),
            ("local", file(6)),
        ]);
        assert_eq!(left(&exclusions, tree.clone()), ["a", "a/b", "a/b/local", "a/keep.o", "local"]);
        let mut unasked = Exclusions::new(&[], false).unwrap();
        unasked.learn(None, "*");
        assert_eq!(left(&unasked, tree.clone()).len(), tree.len());
    }
}
