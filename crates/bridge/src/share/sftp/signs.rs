//! Requests that are answered as done and change nothing: signs for those who watch files in the guest.
//!
//! The guest's kernel tells watchers (inotify) of what is done through it, and of nothing else. So the guest is asked
//! (`share/events`) to do something to what has changed here, and that comes back as a request:
//!
//! - a modification time of [`SIGN`], which is `IN_MODIFY` there (`fsnotify_change` of the kernel: one time of the two). FUSE asks
//!   for the attributes behind it, so that size and time are the true ones from then on;
//! - a move into [`AWAY`], which is `IN_MOVED_FROM` of what is gone. For that it has to seem to be there for a moment.
//!
//! Neither is ever carried out, whoever asks: a sign that is late, or meets another supervisor, does no harm.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wire::Attributes;

/// The modification time that means a sign: a second of 1972 that nothing has by chance.
pub const SIGN: u32 = 86_486_513;

/// What is moved into a folder in this folder, which are there for nobody else, is gone here.
pub const AWAY: &str = ".machine-signs";

/// How long what the guest itself changed is no news to it.
const OWN: Duration = Duration::from_secs(1);

/// From so many on, those that are old are forgotten.
const MANY: usize = 4096;

/// Signs of one folder.
#[derive(Debug, Default)]
pub(in crate::share) struct Signs {
    /// Somebody in the guest wants to know.
    wanted: bool,
    /// What is gone, and seems to be there.
    gone: Mutex<BTreeSet<PathBuf>>,
    /// What the guest changed, and when.
    own: Mutex<HashMap<PathBuf, Instant>>,
}

impl Signs {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Lets what is gone seem to be there, until it is moved away.
    pub(super) fn pretend(&self, place: &Path) {
        lock(&self.gone).insert(place.to_owned());
    }

    /// The move came, or will not come.
    pub(super) fn done(&self, place: &Path) {
        lock(&self.gone).remove(place);
    }

    /// What is shown of a place where nothing is.
    pub(super) fn shown(&self, place: &Path) -> Option<Attributes> {
        if !self.wanted {
            return None;
        }
        let away = Path::new(AWAY);
        let mode = if place == away || place.parent() == Some(away) {
            0o040_700
        } else if lock(&self.gone).contains(place) {
            0o100_600
        } else {
            return None;
        };
        Some(Attributes { size: Some(0), owner: Some((0, 0)), mode: Some(mode), times: Some((0, 0)) })
    }

    /// The guest is about to change a place.
    pub(in crate::share) fn note(&self, place: &Path) {
        if !self.wanted {
            return;
        }
        let mut own = lock(&self.own);
        if own.len() >= MANY {
            own.retain(|_, when| when.elapsed() < OWN);
        }
        // The folder itself has two names.
        let place = place.strip_prefix(".").unwrap_or(place);
        own.insert(place.to_owned(), Instant::now());
    }

    /// The guest is about to make a place, or to remove it: its folder changes too.
    pub(super) fn note_entry(&self, place: &Path) {
        self.note(place);
        if let Some(parent) = place.parent() {
            self.note(parent);
        }
    }

    /// Whether the guest has just changed a place.
    pub(super) fn is_own(&self, place: &Path) -> bool {
        lock(&self.own).get(place).is_some_and(|when| when.elapsed() < OWN)
    }
}

/// Whether setting these times is a sign.
pub(super) fn is_sign(times: Option<(u32, u32)>) -> bool {
    times.is_some_and(|(_, modification)| modification == SIGN)
}

/// Whether something is moved to where nothing is ever moved.
pub(super) fn is_away(to: &Path) -> bool {
    to.starts_with(AWAY)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
