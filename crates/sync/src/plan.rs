//! From what is wanted to what each side has to do. Pure.

use std::collections::BTreeMap;

use crate::entry::{Entry, Tree};
use crate::place::Place;

/// Which of the two folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This computer's.
    Host,
    /// The machine's.
    Machine,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Host => Self::Machine,
            Self::Machine => Self::Host,
        }
    }
}

/// What shall be at a place, on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) entry: Entry,
    /// The side that has it; none where each side keeps what it has.
    pub(crate) side: Option<Side>,
    /// Where that side has it now.
    pub(crate) from: Place,
}

/// All that shall be.
pub(crate) type Outcome = BTreeMap<Place, Wanted>;

/// What one side has to do, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Errands {
    /// From where to where.
    pub(crate) moves: Vec<(Place, Place)>,
    /// With what was seen there; what is in a folder before the folder.
    pub(crate) removals: Vec<(Place, Entry)>,
    /// What the other side has at the same place by then; a folder before what is in it.
    pub(crate) puts: Vec<(Place, Entry)>,
}

impl Errands {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.removals.is_empty() && self.puts.is_empty()
    }

    /// What `side`, which has `tree`, has to do for `outcome`.
    pub(crate) fn of(side: Side, tree: &Tree, outcome: &Outcome) -> Self {
        let mut moves: Vec<(Place, Place)> = Vec::new();
        for (place, wanted) in outcome {
            let moved_with_its_folder = || moves.iter().any(|(from, to)| wanted.from.moved(from, to) == *place);
            if wanted.side == Some(side) && wanted.from != *place && !moved_with_its_folder() {
                moves.push((wanted.from.clone(), place.clone()));
            }
        }
        let tree = moved(tree, &moves);
        let mut removals: Vec<(Place, Entry)> = tree
            .iter()
            .filter(|(place, entry)| outcome.get(place).is_none_or(|wanted| wanted.entry.is_of_another_kind(entry)))
            .map(|(place, entry)| (place.clone(), entry.clone()))
            .collect();
        removals.reverse();
        let puts = outcome
            .iter()
            .filter(|(place, wanted)| {
                wanted.side == Some(side.other()) && tree.get(place).is_none_or(|has| !has.is_same(&wanted.entry))
            })
            .map(|(place, wanted)| (place.clone(), with_mode_of(&wanted.entry, tree.get(place))))
            .collect();
        Self { moves, removals, puts }
    }
}

/// A tree in which some things have other names.
pub(crate) fn moved(tree: &Tree, moves: &[(Place, Place)]) -> Tree {
    let name = |place: &Place| moves.iter().fold(place.clone(), |place, (from, to)| place.moved(from, to));
    tree.iter().map(|(place, entry)| (name(place), entry.clone())).collect()
}

/// Where the origin knows no permissions, what is there keeps its own.
fn with_mode_of(entry: &Entry, there: Option<&Entry>) -> Entry {
    let mut entry = entry.clone();
    if let (Entry::Folder { mode } | Entry::File { mode, .. }, Some(there)) = (&mut entry, there)
        && mode.is_none()
    {
        *mode = there.mode();
    }
    entry
}

/// What one folder becomes when another is copied over it. `delete`: what the source lacks is removed. Also returns what cannot be
/// copied, as it would take the place of a folder that has something in it.
pub(crate) fn copied_over(source: &Tree, target: &Tree, from: Side, delete: bool) -> (Outcome, Vec<Place>) {
    let mut outcome: Outcome =
        source.iter().map(|(place, entry)| (place.clone(), wanted(place, entry, from))).collect();
    if delete {
        return (outcome, Vec::new());
    }
    let mut in_the_way: Vec<Place> = Vec::new();
    for (place, entry) in target {
        if outcome.contains_key(place) {
            continue;
        }
        let above = place.ancestors().find(|above| outcome.get(above).is_some_and(|wanted| !wanted.entry.is_folder()));
        if let Some(above) = above {
            let folder = target.get(&above).cloned().unwrap_or(Entry::Folder { mode: None });
            outcome.insert(above.clone(), Wanted { entry: folder, side: None, from: above.clone() });
            in_the_way.push(above);
        }
        outcome.insert(place.clone(), Wanted { entry: entry.clone(), side: None, from: place.clone() });
    }
    (outcome, in_the_way)
}

pub(crate) fn wanted(place: &Place, entry: &Entry, side: Side) -> Wanted {
    Wanted { entry: entry.clone(), side: Some(side), from: place.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::{apply, file, folder, link, place, tree};

    /// What a copy makes of `target`.
    fn copy(source: &Tree, target: &Tree, delete: bool) -> (Tree, Vec<Place>) {
        let (outcome, in_the_way) = copied_over(source, target, Side::Host, delete);
        let untouched = Errands::of(Side::Host, source, &outcome).puts.is_empty();
        assert!(untouched, "a copy writes to its source");
        (apply(target, &Errands::of(Side::Machine, target, &outcome)), in_the_way)
    }

    #[test]
    fn a_copy_adds_and_replaces_and_removes_only_when_told() {
        let source = tree([("a", folder()), ("a/x", file(1)), ("l", link("a/x")), ("same", file(3))]);
        let target = tree([("a", folder()), ("a/x", file(2)), ("a/y", file(7)), ("old", file(8)), ("same", file(3))]);
        let (copied, in_the_way) = copy(&source, &target, false);
        let mut all = source.clone();
        all.extend(tree([("a/y", file(7)), ("old", file(8))]));
        assert_eq!((copied, in_the_way), (all, vec![]));
        assert_eq!(copy(&source, &target, true), (source.clone(), vec![]));
        let (outcome, _) = copied_over(&source, &target, Side::Host, false);
        let puts: Vec<_> = Errands::of(Side::Machine, &target, &outcome).puts;
        assert_eq!(puts, [(place("a/x"), file(1)), (place("l"), link("a/x"))]);
    }

    #[test]
    fn a_file_takes_the_place_of_an_empty_folder_and_of_a_full_one_only_when_told() {
        let source = tree([("a", file(1))]);
        let full = tree([("a", folder()), ("a/b", folder()), ("a/b/x", file(2))]);
        assert_eq!(copy(&source, &full, false), (full.clone(), vec![place("a")]));
        assert_eq!(copy(&source, &full, true), (source.clone(), vec![]));
        assert_eq!(copy(&source, &tree([("a", folder())]), false), (source.clone(), vec![]));
    }

    #[test]
    fn a_folder_takes_the_place_of_a_link_which_is_not_followed() {
        let source = tree([("a", folder()), ("a/x", file(1))]);
        let (outcome, _) = copied_over(&source, &tree([("a", link("/etc"))]), Side::Machine, false);
        let errands = Errands::of(Side::Host, &tree([("a", link("/etc"))]), &outcome);
        assert_eq!(errands.removals, [(place("a"), link("/etc"))]);
        assert_eq!(errands.puts.len(), 2);
    }

    #[test]
    fn a_side_without_permissions_leaves_those_that_are_there() {
        let bare = |size| Entry::File { mode: None, size, modified: crate::trials::NOW };
        let source = tree([("run.sh", bare(1)), ("new", bare(2))]);
        let executable = Entry::File { mode: Some(0o755), size: 9, modified: crate::trials::NOW };
        let target = tree([("run.sh", executable)]);
        let (outcome, _) = copied_over(&source, &target, Side::Host, false);
        let puts = Errands::of(Side::Machine, &target, &outcome).puts;
        assert_eq!(puts.iter().map(|(_, entry)| entry.mode()).collect::<Vec<_>>(), [None, Some(0o755)]);
    }
}
