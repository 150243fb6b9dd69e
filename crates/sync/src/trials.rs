//! Trees for tests.

use crate::entry::{Entry, Time, Tree};
use crate::place::Place;
use crate::plan::{Errands, moved};

pub(crate) const NOW: Time = Time { seconds: 1_000_000_000, nanoseconds: 5000 };

pub(crate) fn place(text: &str) -> Place {
    Place::new(text).unwrap()
}

/// A file whose content is told by its size.
pub(crate) fn file(size: u64) -> Entry {
    Entry::File { mode: Some(0o644), size, modified: NOW }
}

pub(crate) fn folder() -> Entry {
    Entry::Folder { mode: Some(0o755) }
}

pub(crate) fn link(target: &str) -> Entry {
    Entry::Link { target: target.into() }
}

pub(crate) fn tree<const N: usize>(entries: [(&str, Entry); N]) -> Tree {
    entries.into_iter().map(|(text, entry)| (place(text), entry)).collect()
}

/// What a side has when it has done its errands; as strict as a file system.
pub(crate) fn apply(tree: &Tree, errands: &Errands) -> Tree {
    for (from, to) in &errands.moves {
        assert!(tree.contains_key(from) && !tree.contains_key(to), "{from:?} cannot become {to:?}");
    }
    let mut tree = moved(tree, &errands.moves);
    for (place, seen) in &errands.removals {
        assert_eq!(tree.remove(place).as_ref(), Some(seen));
        assert!(!tree.keys().any(|other| other.is_below(place)), "{place:?} is not empty");
    }
    for (place, entry) in &errands.puts {
        assert!(place.parent().is_none_or(|parent| tree.get(&parent).is_some_and(Entry::is_folder)), "{place:?}");
        let there = tree.insert(place.clone(), entry.clone());
        assert!(there.is_none_or(|there| !there.is_of_another_kind(entry)), "{place:?} is in the way");
    }
    tree
}
