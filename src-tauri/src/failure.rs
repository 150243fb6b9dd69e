//! An error as the window gets it.

use machine_core::{Code, Error};
use serde::Serialize;

/// What failed and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The whole chain, on one line.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
    /// The user ended it: no alarm.
    pub cancelled: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            message: error.to_string(),
            hints: error.hints().into_iter().map(str::to_owned).collect(),
            cancelled: error.code() == Code::Interrupted,
        }
    }
}
