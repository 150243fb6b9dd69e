//! What a front end asks the supervisor of a running machine.

use serde::{Deserialize, Serialize};

use crate::clock::ClockReport;
use crate::ports::PortRow;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Question {
    /// Which ports of containers listen on this computer.
    Ports,
    /// How the guest's clock goes.
    Clock,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// To [`Question::Ports`].
    Ports {
        /// In the order of their numbers.
        ports: Vec<PortRow>,
    },
    /// To [`Question::Clock`].
    Clock {
        /// What is known of it.
        clock: ClockReport,
    },
}
