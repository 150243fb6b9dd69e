//! What a run did.

use serde::Serialize;

use crate::merge::Conflict;
use crate::place::Place;

/// What was done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Copied to the machine.
    Send,
    /// Copied to this computer.
    Receive,
    /// Removed in the machine.
    RemoveThere,
    /// Removed on this computer.
    RemoveHere,
}

/// One thing that was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub action: Action,
    /// Where.
    pub place: Place,
}

/// What could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; as text, because this computer may have no such name.
    pub place: String,
    /// Why.
    pub why: String,
}

impl Problem {
    pub(crate) fn new(place: &Place, why: impl Into<String>) -> Self {
        Self { place: place.to_string(), why: why.into() }
    }
}

/// What was copied one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Files, folders and links.
    pub entries: u64,
    /// What is in the files, bytes.
    pub bytes: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Everything that was done, or would be.
    pub changes: Vec<Change>,
    /// What went to the machine.
    pub sent: Copied,
    /// What came from it.
    pub received: Copied,
    /// What changed on both sides and is kept twice.
    pub conflicts: Vec<Conflict>,
    /// What could not be copied.
    pub problems: Vec<Problem>,
    /// Sockets, pipes and devices, which are never copied.
    pub skipped: Vec<Problem>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether both sides are now as they should be, with nobody's hands needed.
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.problems.is_empty()
    }
}
