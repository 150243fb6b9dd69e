//! What goes over the control socket.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::Accelerator;
use crate::process_identity::ProcessIdentity;
use crate::run_file::Ports;

/// The version of this language. A supervisor answers requests of its own version and older ones.
pub(crate) const CONTROL_VERSION: u32 = 1;
/// The longest line either side listens to, bytes.
pub(crate) const LONGEST_LINE: u64 = 1 << 20;

/// A line from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u32,
    #[serde(flatten)]
    pub(crate) call: Call,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "call")]
pub enum Call {
    /// The status now.
    Status,
    /// The status as soon as the machine runs; progress until then.
    WaitRunning,
    /// A graceful stop; progress, then [`Reply::Ended`].
    Stop {
        /// From when on force is used, milliseconds from now.
        deadline_ms: u64,
    },
    /// The end at once; then [`Reply::Ended`].
    Kill,
    /// Memory saved, and the end; then [`Reply::Ended`]. The machine goes on when that fails.
    Suspend,
    /// Its CPUs halted; then [`Reply::Status`].
    Pause,
    /// Its CPUs going on; then [`Reply::Status`].
    Resume,
    /// A question for what runs beside the machine; then [`Reply::Answer`].
    Ask {
        /// In that one's own words.
        question: Value,
    },
}

/// A line from the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// The answer to [`Call::Status`] and [`Call::WaitRunning`].
    Status(Status),
    /// Something worth a line; more replies follow.
    Progress {
        /// The line.
        text: String,
    },
    /// The machine is off.
    Ended {
        /// Whether force was needed.
        forced: bool,
    },
    /// What [`Call::Ask`] was answered.
    Answer {
        /// In the words of whoever answered.
        answer: Value,
    },
    /// It could not be done, or the machine ended while it was waited for.
    Failed {
        /// Why.
        message: String,
        /// What to do.
        hints: Vec<String>,
    },
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// QEMU is being started, or looked for, or watched in its first seconds.
    Starting,
    /// It runs.
    Running,
    /// Its CPUs are halted.
    Paused,
    /// It was asked to end.
    Stopping,
}

/// What a supervisor says of its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where the run is.
    pub state: RunState,
    /// The supervisor's process identifier.
    pub pid: u32,
    /// QEMU, once there is one.
    pub qemu: Option<ProcessIdentity>,
    /// What the guest's instructions run on.
    pub accelerator: Option<Accelerator>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Where the machine is reached.
    pub ports: Option<Ports>,
    /// Since when it is in this state.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lines_are_these() {
        let request = Request { version: CONTROL_VERSION, call: Call::Stop { deadline_ms: 1500 } };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"version":1,"call":"stop","deadline_ms":1500}"#);
        let status = Status {
            state: RunState::Running,
            pid: 7,
            qemu: Some(ProcessIdentity { pid: 8, start_time: 9, token: "t".into() }),
            accelerator: Some(Accelerator::Tcg),
            warnings: vec!["slow mode".into()],
            ports: Some(Ports { ssh: 1022, engine: 1376 }),
            since: Timestamp::UNIX_EPOCH,
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&Reply::Status(status)).unwrap());
        assert_eq!(
            serde_json::to_string(&Reply::Ended { forced: true }).unwrap(),
            r#"{"reply":"ended","forced":true}"#
        );
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            let _ = serde_json::from_slice::<Request>(&line);
            let _ = serde_json::from_slice::<Reply>(&line);
        }
    }
}
