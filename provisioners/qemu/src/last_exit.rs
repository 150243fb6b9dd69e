//! How the last run ended (`last_exit.json`), so that the next look at a machine can say why it is off.

use std::path::Path;

use jiff::Timestamp;
use machine_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{json_file, machine_files};

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// It ended because somebody, here or inside, wanted it to.
    pub clean: bool,
    /// Why it ended, for people.
    pub reason: String,
    /// The last lines of its serial console and of QEMU, when it was not clean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl LastExit {
    /// An end that was wanted.
    pub(crate) fn clean(reason: impl Into<String>) -> Self {
        Self { clean: true, reason: reason.into(), last_lines: Vec::new(), hints: Vec::new(), at: Timestamp::now() }
    }

    /// A start that came to nothing, or a supervisor that could not carry on.
    pub(crate) fn failed(error: &Error) -> Self {
        Self {
            clean: false,
            reason: error.to_string(),
            hints: error.hints().into_iter().map(str::to_owned).collect(),
            ..Self::clean("")
        }
    }

    /// The same as an error, with the last lines among its hints.
    pub(crate) fn into_error(self) -> Error {
        let mut error = Error::other(self.reason);
        for line in self.last_lines {
            error = error.hint(format!("it last said: {line}"));
        }
        self.hints.into_iter().fold(error, Error::hint)
    }

    /// One line for `ls` and `status`.
    pub fn describe(&self) -> String {
        let mut text = format!("it ended by itself at {}: {}", self.at.strftime("%Y-%m-%d %H:%M:%SZ"), self.reason);
        if let Some(line) = self.last_lines.last() {
            text.push_str("; last line: ");
            text.push_str(line);
        }
        text
    }

    /// What the folder `dir` remembers.
    pub fn read(dir: &Path) -> Option<Self> {
        json_file::read(&machine_files::last_exit(dir))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        json_file::write(&machine_files::last_exit(dir), self)
    }

    pub(crate) fn forget(dir: &Path) -> Result<()> {
        json_file::remove(&machine_files::last_exit(dir))
    }
}
