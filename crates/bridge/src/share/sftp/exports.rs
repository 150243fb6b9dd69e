//! The folders that a connection may ask for, each under a name of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::failure::Failure;
use super::folder::Folder;
use super::names;

/// Folders by their names. Those of one machine, for all its connections; they may change at any time.
#[derive(Debug, Default)]
pub struct Exports(RwLock<BTreeMap<String, Arc<Folder>>>);

impl Exports {
    /// Adds a folder, or puts it in the place of another.
    pub fn add(&self, name: String, folder: Arc<Folder>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name, folder);
    }

    /// Takes a folder away: from now on nothing in it is found. Files that are open stay so until they are closed.
    pub fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The folder that a path leads into, and the way on from there.
    pub(super) fn resolve<'p>(&self, path: &'p [u8]) -> Result<(Arc<Folder>, Vec<&'p [u8]>), Failure> {
        let mut components = names::components(path)?;
        if components.is_empty() {
            return Err(Failure::no_such_file());
        }
        let name = str::from_utf8(components.remove(0)).map_err(|_| Failure::no_such_file())?;
        let folders = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let folder = folders.get(name).cloned().ok_or_else(Failure::no_such_file)?;
        Ok((folder, components))
    }
}
