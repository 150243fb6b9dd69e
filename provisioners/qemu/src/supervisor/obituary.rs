//! Why a QEMU that nobody ended has ended.

use crate::last_exit::LastExit;
use crate::log_tail;
use crate::qemu_process::Exited;

/// How many lines of each log are kept.
const LINES: usize = 10;

/// What is known of an end.
#[derive(Clone, Debug)]
pub(crate) struct Evidence<'a> {
    /// How the process ended.
    pub(crate) exited: Exited,
    /// The reason in QEMU's `SHUTDOWN` event, if one came.
    pub(crate) shutdown: Option<&'a str>,
    /// The last lines of the serial console.
    pub(crate) serial: Vec<String>,
    /// The last lines that QEMU printed.
    pub(crate) qemu: Vec<String>,
}

impl<'a> Evidence<'a> {
    /// Collects it from the logs, which belong to this run from the given bytes on.
    pub(crate) fn collect(
        exited: Exited,
        shutdown: Option<&'a str>,
        serial: (&std::path::Path, u64),
        qemu: (&std::path::Path, u64),
    ) -> Self {
        let last = |(log, from)| log_tail::last_lines(log, from, LINES);
        Self { exited, shutdown, serial: last(serial), qemu: last(qemu) }
    }

    /// The judgement. Reasons of `SHUTDOWN`: `ShutdownCause` in QEMU's qapi/run-state.json.
    pub(crate) fn judge(self) -> LastExit {
        let panic = log_tail::kernel_panic(&self.serial).map(str::to_owned);
        let reason = match (self.shutdown, panic) {
            (Some("guest-shutdown"), _) => return LastExit::clean("the guest shut down"),
            (_, Some(panic)) => format!("the guest's kernel crashed: {panic}"),
            (Some("guest-reset"), _) => return LastExit::clean("the guest restarted, which ends it"),
            (Some("host-qmp-quit" | "host-ui"), _) => return LastExit::clean("QEMU was told to end"),
            // What a computer that shuts down does to all processes.
            (Some("host-signal"), _) => return LastExit::clean("a signal told QEMU to end"),
            (Some(other), _) => format!("{}: {other}", self.exited.describe()),
            (None, None) => match self.qemu.last() {
                Some(line) => format!("{}: {line}", self.exited.describe()),
                None => self.exited.describe(),
            },
        };
        let last_lines = if self.serial.is_empty() { self.qemu } else { self.serial };
        LastExit { clean: false, last_lines, ..LastExit::clean(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(shutdown: Option<&str>, serial: &[&str], qemu: &[&str]) -> LastExit {
        let owned = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        Evidence { exited: Exited::Somehow, shutdown, serial: owned(serial), qemu: owned(qemu) }.judge()
    }

    #[test]
    fn a_guest_that_shuts_down_is_clean_and_a_crash_says_why() {
        assert!(judged(Some("guest-shutdown"), &["reboot: Power down"], &[]).clean);
        assert!(judged(Some("guest-reset"), &["reboot: Restarting system"], &[]).clean);

        let panic = judged(Some("guest-reset"), &["x", "[ 2.1] Kernel panic - not syncing: no init"], &[]);
        assert_eq!(
            (panic.clean, panic.reason.as_str()),
            (false, "the guest's kernel crashed: Kernel panic - not syncing: no init")
        );

        let killed = judged(None, &["login:"], &[]);
        assert_eq!((killed.clean, killed.reason.as_str()), (false, "QEMU ended"));
        assert_eq!(killed.last_lines, ["login:"]);

        let refused = judged(None, &[], &["qemu: could not open disk"]);
        assert_eq!(refused.reason, "QEMU ended: qemu: could not open disk");
        assert!(!judged(Some("guest-panic"), &[], &[]).clean);
    }
}
