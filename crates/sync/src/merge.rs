//! What both folders become when each has changed since they were last alike. Pure.
//!
//! What changed on one side goes to the other. What changed on both is kept twice: this computer's under its name, the machine's
//! beside it. A change survives a deletion.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Tree, same};
use crate::place::Place;
use crate::plan::{Outcome, Side, Wanted, wanted};

/// What both sides had when they were last made alike.
pub(crate) type Base = BTreeMap<Place, Pair>;

/// What each side had at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) host: Entry,
    pub(crate) machine: Entry,
}

/// What changed on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Where this computer's is.
    pub place: Place,
    /// Where the machine's is from now on.
    pub machine: Place,
}

/// Two folders, and what is known of their past.
pub(crate) struct Merge<'a> {
    pub(crate) host: &'a Tree,
    pub(crate) machine: &'a Tree,
    pub(crate) base: &'a Base,
    /// Files that are known to have the same content, whatever else differs.
    pub(crate) alike: &'a BTreeSet<Place>,
    /// What is put into the name of the machine's side of a conflict.
    pub(crate) mark: &'a str,
}

impl Merge<'_> {
    /// Files that changed on both sides and may yet have the same content.
    pub(crate) fn doubtful(&self) -> Vec<Place> {
        let may_be_alike = |place: &&Place| match (self.host.get(place), self.machine.get(place)) {
            (Some(host @ Entry::File { size: one, .. }), Some(machine @ Entry::File { size: other, .. })) => {
                one == other && !host.is_same(machine) && self.changed(place) == (true, true)
            }
            _ => false,
        };
        self.host.keys().filter(may_be_alike).cloned().collect()
    }

    fn changed(&self, place: &Place) -> (bool, bool) {
        let before = self.base.get(place);
        (
            !same(self.host.get(place), before.map(|pair| &pair.host)),
            !same(self.machine.get(place), before.map(|pair| &pair.machine)),
        )
    }

    /// What both sides shall have, and what of it is kept twice.
    pub(crate) fn outcome(&self) -> (Outcome, Vec<Conflict>) {
        let mut outcome = Outcome::new();
        let mut conflicts = Vec::new();
        let places: BTreeSet<&Place> = self.host.keys().chain(self.machine.keys()).collect();
        for place in places {
            let (host, machine) = (self.host.get(place), self.machine.get(place));
            let chosen = match (host, machine, self.changed(place)) {
                (Some(host), Some(machine), (host_changed, machine_changed)) => {
                    if host.is_same(machine) || !(host_changed || machine_changed) || self.alike.contains(place) {
                        Some(Wanted { entry: host.clone(), side: None, from: place.clone() })
                    } else if !host_changed {
                        Some(wanted(place, machine, Side::Machine))
                    } else {
                        let modes_alone = host.is_folder() && machine.is_folder();
                        if machine_changed && !modes_alone {
                            let aside = self.aside(place, &outcome);
                            outcome.insert(aside.clone(), wanted(place, machine, Side::Machine));
                            conflicts.push(Conflict { place: place.clone(), machine: aside });
                        }
                        Some(wanted(place, host, Side::Host))
                    }
                }
                // Removed on the other side, unless it is new or was changed here.
                (Some(host), None, (true, _)) => Some(wanted(place, host, Side::Host)),
                (None, Some(machine), (_, true)) => Some(wanted(place, machine, Side::Machine)),
                _ => None,
            };
            if let Some(chosen) = chosen {
                outcome.insert(place.clone(), chosen);
            }
        }
        while let Some(place) = outcome.iter().find_map(|(place, wanted)| is_in_the_way(place, wanted, &outcome)) {
            self.make_way(&place, &mut outcome, &mut conflicts);
        }
        self.add_folders(&mut outcome);
        (outcome, conflicts)
    }

    /// One side has made a file of a folder in which the other has changed something. Both are kept, the machine's aside.
    fn make_way(&self, place: &Place, outcome: &mut Outcome, conflicts: &mut Vec<Conflict>) {
        let known = conflicts.iter().find(|conflict| conflict.place == *place).map(|conflict| conflict.machine.clone());
        let aside = known.clone().unwrap_or_else(|| self.aside(place, outcome));
        if known.is_none() {
            conflicts.push(Conflict { place: place.clone(), machine: aside.clone() });
        }
        let folder = |tree: &Tree| tree.get(place).cloned().unwrap_or(Entry::Folder { mode: None });
        if outcome.get(place).is_some_and(|wanted| wanted.side == Some(Side::Machine)) {
            if let Some(file) = outcome.insert(place.clone(), wanted(place, &folder(self.host), Side::Host)) {
                outcome.insert(aside, file);
            }
            return;
        }
        outcome.insert(aside.clone(), wanted(place, &folder(self.machine), Side::Machine));
        let below: Vec<Place> = outcome.keys().filter(|other| other.is_below(place)).cloned().collect();
        for other in below {
            if let Some(wanted) = outcome.remove(&other) {
                outcome.insert(other.moved(place, &aside), wanted);
            }
        }
    }

    /// A folder that was removed on one side comes back for what was changed in it on the other.
    fn add_folders(&self, outcome: &mut Outcome) {
        let mut missing = Vec::new();
        for (place, wanted) in &*outcome {
            let mut from = wanted.from.parent();
            for above in place.ancestors() {
                if outcome.contains_key(&above) {
                    break;
                }
                let side = wanted.side.unwrap_or(Side::Host);
                let tree = if side == Side::Host { self.host } else { self.machine };
                let origin = from.unwrap_or_else(|| above.clone());
                let entry = tree.get(&origin).cloned().unwrap_or(Entry::Folder { mode: None });
                from = origin.parent();
                missing.push((above, Wanted { entry, side: Some(side), from: origin }));
            }
        }
        outcome.extend(missing);
    }

    /// A free name beside `place`.
    fn aside(&self, place: &Place, outcome: &Outcome) -> Place {
        let is_free = |name: &Place| {
            !self.host.contains_key(name) && !self.machine.contains_key(name) && !outcome.contains_key(name)
        };
        let mut count = 1;
        loop {
            let mark = if count == 1 { self.mark.to_owned() } else { format!("{}-{count}", self.mark) };
            let name = place.marked(&mark);
            if is_free(&name) {
                return name;
            }
            count += 1;
        }
    }
}

/// The place itself, if it is to be no folder and there is to be something in it.
fn is_in_the_way(place: &Place, wanted: &Wanted, outcome: &Outcome) -> Option<Place> {
    if wanted.entry.is_folder() {
        return None;
    }
    let first_below = Place::within(Some(place), b"\x01").ok()?;
    let (next, _) = outcome.range(first_below..).next()?;
    next.is_below(place).then(|| place.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Errands, moved};
    use crate::trials::{apply, file, folder, link, place, tree};

    fn base_of(tree: &Tree) -> Base {
        let pair = |entry: &Entry| Pair { host: entry.clone(), machine: entry.clone() };
        tree.iter().map(|(place, entry)| (place.clone(), pair(entry))).collect()
    }

    /// Does what the plan says on both sides, and returns what both then have.
    fn merge(before: &Tree, host: &Tree, machine: &Tree) -> (Tree, Vec<Conflict>) {
        let (base, alike) = (base_of(before), BTreeSet::new());
        let merge = Merge { host, machine, base: &base, alike: &alike, mark: "M" };
        let (outcome, conflicts) = merge.outcome();
        let ours = Errands::of(Side::Host, host, &outcome);
        let theirs = Errands::of(Side::Machine, machine, &outcome);
        assert!(ours.moves.is_empty(), "this computer's files keep their names: {ours:?}");
        // What is put must be at the same place of the other side by then.
        let host_then = moved(host, &ours.moves);
        let machine_then = moved(machine, &theirs.moves);
        for (errands, source) in [(&ours, &machine_then), (&theirs, &host_then)] {
            for (place, entry) in &errands.puts {
                assert_eq!(source.get(place), Some(entry), "{place:?} cannot be copied from there");
            }
        }
        let (host_after, machine_after) = (apply(host, &ours), apply(machine, &theirs));
        assert_eq!(host_after, machine_after);
        (host_after, conflicts)
    }

    #[test]
    fn what_one_side_did_is_done_on_the_other() {
        let before = tree([("changed", file(1)), ("removed", file(2)), ("d", folder()), ("d/x", file(3))]);
        let host = tree([("changed", file(11)), ("d", folder()), ("d/x", file(3)), ("new", link("d/x"))]);
        for (one, other) in [(&host, &before), (&before, &host)] {
            assert_eq!(merge(&before, one, other), (host.clone(), vec![]));
        }
        assert_eq!(merge(&before, &tree([]), &before), (tree([]), vec![]));
    }

    #[test]
    fn what_changed_on_both_sides_is_kept_twice() {
        let before = tree([("a.txt", file(1))]);
        let (after, conflicts) = merge(&before, &tree([("a.txt", file(2))]), &tree([("a.txt", file(3))]));
        assert_eq!(after, tree([("a.txt", file(2)), ("a.M.txt", file(3))]));
        assert_eq!(conflicts, [Conflict { place: place("a.txt"), machine: place("a.M.txt") }]);
        // Without a past, what differs is a conflict, and what does not is none.
        let (after, conflicts) =
            merge(&tree([]), &tree([("a", file(1)), ("b", file(2))]), &tree([("a", file(1)), ("b", file(3))]));
        assert_eq!(after, tree([("a", file(1)), ("b", file(2)), ("b.M", file(3))]));
        assert_eq!(conflicts.len(), 1);
    }

    #[test]
    fn a_change_survives_a_deletion_and_brings_its_folder_back() {
        let before = tree([("d", folder()), ("d/x", file(1)), ("d/y", file(2))]);
        let changed = tree([("d", folder()), ("d/x", file(9)), ("d/y", file(2))]);
        let kept = tree([("d", folder()), ("d/x", file(9))]);
        assert_eq!(merge(&before, &changed, &tree([])), (kept.clone(), vec![]));
        assert_eq!(merge(&before, &tree([]), &changed), (kept, vec![]));
    }

    #[test]
    fn a_folder_on_one_side_and_a_file_on_the_other_are_both_kept() {
        let before = tree([("d", folder()), ("d/x", file(1)), ("d/y", file(2))]);
        let changed = tree([("d", folder()), ("d/x", file(9)), ("d/y", file(2))]);
        let made_a_file = tree([("d", file(5))]);
        let (after, conflicts) = merge(&before, &made_a_file, &changed);
        assert_eq!(after, tree([("d", file(5)), ("d.M", folder()), ("d.M/x", file(9))]));
        assert_eq!(conflicts.len(), 1);
        let (after, conflicts) = merge(&before, &changed, &made_a_file);
        assert_eq!(after, tree([("d", folder()), ("d/x", file(9)), ("d.M", file(5))]));
        assert_eq!(conflicts.len(), 1);
    }

    #[test]
    fn files_of_the_same_content_are_no_conflict_and_are_not_copied() {
        let at =
            |seconds| Entry::File { mode: None, size: 1, modified: crate::entry::Time { seconds, nanoseconds: 1 } };
        let (host, machine) = (tree([("a", at(1))]), tree([("a", at(2))]));
        let (base, alike) = (Base::new(), BTreeSet::new());
        let merge = Merge { host: &host, machine: &machine, base: &base, alike: &alike, mark: "M" };
        assert_eq!(merge.doubtful(), [place("a")]);
        let alike = BTreeSet::from([place("a")]);
        let (outcome, conflicts) = Merge { alike: &alike, ..merge }.outcome();
        assert!(conflicts.is_empty());
        for (side, tree) in [(Side::Host, &host), (Side::Machine, &machine)] {
            assert!(Errands::of(side, tree, &outcome).is_empty());
        }
        // And that it was seen once is enough.
        let base = Base::from([(place("a"), Pair { host: at(1), machine: at(2) })]);
        let merge = Merge { host: &host, machine: &machine, base: &base, alike: &BTreeSet::new(), mark: "M" };
        assert_eq!((merge.doubtful(), merge.outcome().1), (vec![], vec![]));
    }

    /// Small trees with few names, so that sides meet often. Every file has a content of its own, told by its size.
    fn some_tree(first: u64) -> impl Strategy<Value = Tree> {
        let names = prop::sample::select(vec!["a", "b", "a.M", "c"]);
        let paths = prop::collection::vec(prop::collection::vec(names, 1..4), 0..8);
        (paths, any::<u64>()).prop_map(move |(paths, kinds)| {
            let mut tree = Tree::new();
            for (number, path) in (0_u64..).zip(paths) {
                let here = place(&path.join("/"));
                let blocked = here.ancestors().any(|above| tree.get(&above).is_some_and(|entry| !entry.is_folder()));
                if blocked || tree.contains_key(&here) {
                    continue;
                }
                tree.extend(here.ancestors().map(|above| (above, folder())));
                tree.insert(here, if kinds >> number & 1 == 0 { file(first + number) } else { folder() });
            }
            tree
        })
    }

    /// What a side has made of `before`: kept some of it, and added some of its own.
    fn some_change(before: &Tree, other: Tree, keep: u64) -> Tree {
        let kept = |number: usize| keep >> (number % 64) & 1 == 1;
        let mut tree: Tree =
            before.clone().into_iter().enumerate().filter(|(n, _)| kept(*n)).map(|(_, it)| it).collect();
        tree.extend(other);
        let whole = tree.clone();
        let sound = |place: &Place| place.ancestors().all(|above| whole.get(&above).is_some_and(Entry::is_folder));
        tree.retain(|place, _| sound(place));
        tree
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_merge_makes_both_sides_equal_and_loses_nothing_that_was_changed(
            before in some_tree(100),
            (ours, theirs) in (some_tree(200), some_tree(300)),
            (keep_here, keep_there) in (any::<u64>(), any::<u64>()),
        ) {
            let host = some_change(&before, ours, keep_here);
            let machine = some_change(&before, theirs, keep_there);
            let (after, _) = merge(&before, &host, &machine);
            // Every folder that something is in is there.
            for place in after.keys() {
                prop_assert!(place.ancestors().all(|above| after[&above].is_folder()), "{:?}", after);
            }
            let contents: BTreeSet<u64> = after.values().map(Entry::size).collect();
            for (side, other) in [(&host, &machine), (&machine, &host)] {
                for (place, entry) in side {
                    let unchanged = before.get(place) == Some(entry);
                    let taken_away = unchanged && other.get(place) != Some(entry);
                    prop_assert!(taken_away || contents.contains(&entry.size()), "{:?} is lost: {:?}", place, after);
                }
            }
            // What this computer has made or changed has the name that it had.
            for (place, entry) in &host {
                if before.get(place) != Some(entry) && !entry.is_folder() {
                    prop_assert_eq!(after.get(place), Some(entry));
                }
            }
            // A second time there is nothing to do.
            prop_assert_eq!(merge(&after, &after, &after), (after.clone(), vec![]));
        }
    }
}
