//! What has changed and was not told yet: each path once, and no more than so many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// So many paths are kept. When more change at once, containers are told of their folders alone.
const MOST: usize = 4096;

/// What has changed at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// What is in it.
    Content,
    /// That it is there: it came, went, or another was put in its place.
    Entry,
}

/// Changes that wait.
#[derive(Debug, Default)]
pub(super) struct Changes {
    paths: BTreeMap<PathBuf, Change>,
    lost: bool,
}

impl Changes {
    /// Takes note of a change.
    pub(super) fn note(&mut self, path: &Path, change: Change) {
        if let Some(known) = self.paths.get_mut(path) {
            *known = change.max(*known);
        } else if self.paths.len() < MOST {
            self.paths.insert(path.to_owned(), change);
        } else {
            self.lost = true;
        }
    }

    /// Something changed, and nobody knows what.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.lost
    }

    /// Takes the first `most` paths, in their order.
    pub(super) fn take(&mut self, most: usize) -> Vec<(PathBuf, Change)> {
        let rest = self.paths.keys().nth(most).cloned().map(|first| self.paths.split_off(&first));
        std::mem::replace(&mut self.paths, rest.unwrap_or_default()).into_iter().collect()
    }

    /// Whether there was more than was kept, since this was asked last.
    pub(super) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_told_once_with_the_most_that_happened_to_it() {
        let mut changes = Changes::default();
        for (path, change) in
            [("/b", Change::Content), ("/a", Change::Entry), ("/b", Change::Entry), ("/a", Change::Content)]
        {
            changes.note(Path::new(path), change);
        }
        assert_eq!(changes.take(1), [(PathBuf::from("/a"), Change::Entry)]);
        assert_eq!(changes.take(100), [(PathBuf::from("/b"), Change::Entry)]);
        assert!(changes.is_empty() && changes.take(1).is_empty());
    }

    #[test]
    fn more_than_can_be_kept_is_known_to_be_lost() {
        let mut changes = Changes::default();
        for number in 0..MOST + 1 {
            changes.note(Path::new(&format!("/{number:06}")), Change::Content);
        }
        // One that is known takes no room.
        changes.note(Path::new("/000000"), Change::Entry);
        assert!(changes.take_lost() && !changes.take_lost());
        assert_eq!(changes.take(usize::MAX).len(), MOST);
    }
}
