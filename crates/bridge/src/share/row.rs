//! What is told of a shared folder.

use machine_core::{Carrier, SharedFolder};
use serde::{Deserialize, Serialize};

/// A shared folder, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRow {
    /// Which, and where.
    #[serde(flatten)]
    pub share: SharedFolder,
    /// Whether the machine sees it.
    pub state: ShareState,
    /// What carries it, once it is mounted.
    #[serde(default)]
    pub carried: Option<Carried>,
    /// What the machine wanted in it and this computer cannot give.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// What carries a folder that a machine sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// What does.
    pub by: Carrier,
    /// Why it is not what was asked for, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whether a machine sees a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ShareState {
    /// Not yet: it is being mounted.
    Mounting,
    /// It does.
    Mounted,
    /// It does not, and why; it is tried again.
    Waiting {
        /// Why.
        reason: String,
    },
}

impl ShareRow {
    /// What the user should know, if there is anything.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let folder = self.share.folder.display();
        let mut warnings = Vec::new();
        if let ShareState::Waiting { reason } = &self.state {
            warnings.push(format!("the folder {folder} is not seen by the machine: {reason}"));
        }
        warnings.extend(self.troubles.iter().map(|trouble| format!("shared folder {folder}: {trouble}")));
        warnings
    }
}
