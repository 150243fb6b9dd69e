//! What a front end asks the supervisor of a running machine.

use machine_core::{Publish, SharedFolder};
use serde::{Deserialize, Serialize};

use crate::clock::ClockReport;
use crate::ports::PortRow;
use crate::share::ShareRow;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Question {
    /// Which ports of containers listen on this computer.
    Ports,
    /// From now on, ports appear there.
    Publish {
        /// For whom.
        publish: Publish,
    },
    /// How the guest's clock goes.
    Clock,
    /// How the shared folders are.
    Shares,
    /// From now on, these folders are shared and no others.
    Share {
        /// All of them.
        shares: Vec<SharedFolder>,
    },
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// To [`Question::Ports`] and [`Question::Publish`].
    Ports {
        /// In the order of their numbers.
        ports: Vec<PortRow>,
    },
    /// To [`Question::Clock`].
    Clock {
        /// What is known of it.
        clock: ClockReport,
    },
    /// To [`Question::Shares`] and [`Question::Share`].
    Shares {
        /// In the order in which they were added.
        shares: Vec<ShareRow>,
        /// What the user should know besides.
        warnings: Vec<String>,
    },
}
