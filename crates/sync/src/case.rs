//! Folders in which upper and lower case are the same.

use crate::entry::Tree;
use crate::local::LocalFolder;
use crate::place::Place;

/// Places that would be one file where upper and lower case are the same: all but the first of each.
pub(crate) fn collisions<'a>(places: impl IntoIterator<Item = &'a Place>) -> Vec<(Place, Place)> {
    let mut seen = std::collections::BTreeMap::new();
    let mut collisions = Vec::new();
    for place in places {
        let folded = String::from_utf8_lossy(place.as_bytes()).to_lowercase();
        match seen.get(&folded) {
            None => {
                seen.insert(folded, place);
            }
            Some(first) if *first == place => {}
            Some(first) => collisions.push((place.clone(), (*first).clone())),
        }
    }
    collisions
}

impl LocalFolder {
    /// Whether upper and lower case are the same here: tried with a file that is there already, without writing anything.
    pub(crate) fn folds_case(&self, tree: &Tree) -> bool {
        let flip = |name: &str| -> String {
            let flipped = |c: char| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            name.chars().map(flipped).collect()
        };
        for place in tree.keys().filter(|place| place.parent().is_none()) {
            let Ok(name) = str::from_utf8(place.as_bytes()) else { continue };
            let flipped = flip(name);
            if flipped != name && !Place::new(flipped.as_str()).is_ok_and(|place| tree.contains_key(&place)) {
                return self.dir.symlink_metadata(flipped).is_ok();
            }
        }
        // What these systems do unless told otherwise.
        cfg!(any(target_os = "macos", windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::place;

    #[test]
    fn names_that_differ_in_case_alone_are_known() {
        let places = ["A/x", "a/x", "a/y", "Ä", "b", "ä"].map(place);
        let found = collisions(places.iter().chain(&places));
        let told: std::collections::BTreeSet<String> = found.iter().map(|(place, _)| place.to_string()).collect();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["a/x", "ä"]);
    }
}
