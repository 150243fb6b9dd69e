//! Who files seem to belong to.
//!
//! On this computer every file belongs to whom it belongs; a machine cannot change that. Databases and package tools in
//! containers want to, and check afterwards: what they say is kept, and shown to them. It is forgotten with the process that serves the
//! share; the entry points of images that care say it again at every start.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// So many are kept; a `chown` of more is taken and forgotten.
const MOST: usize = 100_000;

/// A file, whatever its name: volume and number on it.
pub(super) type FileId = (u64, u64);

/// Owners that were asked for, by file.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<HashMap<FileId, (u32, u32)>>);

impl Owners {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, (u32, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, file: FileId) -> Option<(u32, u32)> {
        let map = self.map();
        if map.is_empty() { None } else { map.get(&file).copied() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map().is_empty()
    }

    /// Notes what was asked for; what is so anyway (`real`) needs no note.
    pub(super) fn note(&self, file: FileId, wanted: (u32, u32), real: (u32, u32)) {
        let mut map = self.map();
        if wanted == real {
            map.remove(&file);
        } else if map.len() < MOST || map.contains_key(&file) {
            map.insert(file, wanted);
        }
    }

    /// The file is gone: its number may be given to another.
    pub(super) fn forget(&self, file: FileId) {
        self.map().remove(&file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_shown_until_it_is_so_or_the_file_is_gone() {
        let owners = Owners::default();
        owners.note((1, 2), (999, 999), (1000, 1000));
        assert_eq!(owners.of((1, 2)), Some((999, 999)));
        assert_eq!(owners.of((1, 3)), None);
        owners.note((1, 2), (1000, 1000), (1000, 1000));
        assert!(owners.is_empty());
        owners.note((1, 2), (0, 0), (1000, 1000));
        owners.forget((1, 2));
        assert_eq!(owners.of((1, 2)), None);
    }
}
