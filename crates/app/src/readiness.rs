//! Waiting for a machine that boots: until its engine answers over TLS, or until it is known why it will not.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::{Code, Driver, Endpoints, Error, MachineRecord, MachineRef, MachineState, Reporter, Result};

use machine_docker::{EngineError, EngineFailure};

use crate::app::App;
use crate::store;

/// How often the engine's port is tried.
const TRY_EVERY: Duration = Duration::from_millis(150);
/// How often the machine itself is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the guest service writes on the serial console (`images/recipe/README.md`, "Console markers").
const MARKER: &str = "machine-guest: ";
/// And when it knows whose machine it is.
const SEED_APPLIED: &str = "machine-guest: seed applied";
/// What a kernel begins with (`linux_banner` in Linux' init/version.c).
const KERNEL: &str = "Linux version ";

impl App {
    /// Waits until the engine of a machine answers; returns its version.
    ///
    /// # Errors
    /// [`Code::TimedOut`] with the last reason and the end of the serial console, or at once when the machine ended or its
    /// guest service reported a failure.
    pub(crate) async fn wait_for_engine(
        &self,
        driver: &dyn Driver,
        record: &MachineRecord,
        endpoints: Endpoints,
        console: &mut Console,
        limit: Duration,
        reporter: &Reporter,
    ) -> Result<String> {
        let dir = self.store.folder(&record.name);
        let machine = MachineRef { record, dir: &dir };
        let target = self.engine_target(record, endpoints.engine, Duration::from_secs(10))?;
        let begun = Instant::now();
        let mut looked = Instant::now();
        let mut told_serial = false;
        // A machine that went on from a saved state has booted long ago.
        let mut lines = console.new_lines();
        let says = |text| lines.iter().any(|line: &String| line.contains(text));
        let went_on = says(SEED_APPLIED) && !says(KERNEL);
        if driver.capabilities().local && !self.is_provisioned_over_ssh(record)? {
            if !went_on {
                reporter.stage("boot", "Booting Linux");
            }
        } else {
            reporter.stage("answer", "Waiting for the engine to answer");
        }
        loop {
            lines.extend(console.new_lines());
            for line in lines.drain(..) {
                match line.split_once(MARKER).map(|(_, marker)| marker.trim()) {
                    Some("seed applied") => reporter.stage("engine", "Starting Docker Engine"),
                    Some(failure) if failure.starts_with("failed: ") => {
                        return Err(Error::other(format!("the guest reported: {}", &failure["failed: ".len()..]))
                            .hint(format!("`machine logs --serial {}` shows the whole console", record.name)));
                    }
                    _ => {
                        told_serial = true;
                        reporter.detail(line);
                    }
                }
            }
            let (last, stalled) = match Self::ask_version(&target).await {
                Ok(version) => return Ok(version),
                // An HTTP error comes from an engine that is still putting itself together.
                Err(EngineError { failure, error })
                    if failure.is_not_yet() || matches!(failure, EngineFailure::Http(_)) =>
                {
                    (error, failure == EngineFailure::TimedOut)
                }
                Err(error) => return Err(error.into()),
            };
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                let now = driver.observe(machine).await;
                match now.state {
                    MachineState::Broken(reason) => {
                        return Err(Error::other(format!("it ended while it was booting: {reason}")).hint(format!(
                            "`machine logs --serial {0}` and `machine logs --qemu {0}` show more",
                            record.name
                        )));
                    }
                    MachineState::Stopped | MachineState::Missing => {
                        return Err(Error::other("it was stopped while it was booting"));
                    }
                    _ => {}
                }
            }
            if begun.elapsed() >= limit && !driver.capabilities().local {
                return Err(elsewhere(&endpoints, limit, stalled).because(last));
            }
            if begun.elapsed() >= limit {
                let tail = last_lines(&dir.join("serial.log"), 600);
                let mut error =
                    Error::new(Code::TimedOut, format!("the engine did not answer within {} s", limit.as_secs()))
                        .because(last);
                if told_serial || !tail.is_empty() {
                    error = error.hint(format!("the console's last lines:\n{}", tail.trim_end()));
                }
                return Err(error.hint(format!(
                    "it may only be slow: `machine start {0}` waits again; `machine logs --serial {0}` shows the console",
                    record.name
                )));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }
}

/// Why an engine that was seen to run on its host does not answer here: something on the way.
fn elsewhere(endpoints: &Endpoints, limit: Duration, stalled: bool) -> Error {
    let port = endpoints.engine.port();
    let what = format!("the engine runs and does not answer here at {} within {} s", endpoints.engine, limit.as_secs());
    let error = Error::new(Code::TimedOut, what)
        .hint(format!("a firewall on the way (a security group, a router) has to let TCP port {port} through"));
    if !stalled {
        return error;
    }
    // The first packets are small; a certificate fills some.
    error.hint(
        "if small answers come through and large ones do not, the way's MTU is smaller than the host thinks \
         (VPNs, tunnels): `ip link set dev INTERFACE mtu 1400` there tells",
    )
}

/// Reads what a serial console's log gains from a point on.
pub(crate) struct Console {
    path: PathBuf,
    position: u64,
    partial: String,
}

impl Console {
    /// A reader of what comes after now.
    pub(crate) fn from_here(path: &Path) -> Self {
        let position = std::fs::metadata(path).map_or(0, |facts| facts.len());
        Self { path: path.to_owned(), position, partial: String::new() }
    }

    /// The complete lines that came since the last call.
    pub(crate) fn new_lines(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let length = file.metadata().map_or(0, |facts| facts.len());
        if length < self.position {
            // The log was rotated.
            self.position = 0;
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.position)).is_err() || file.take(1 << 20).read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        self.position += bytes.len() as u64;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.partial.rfind('\n') else { return Vec::new() };
        let rest = self.partial.split_off(end + 1);
        let lines = std::mem::replace(&mut self.partial, rest);
        lines.lines().map(|line| printable(line.trim_end())).filter(|line| !line.is_empty()).collect()
    }
}

/// The last lines of a console's log, at most `limit` bytes, fit to be shown.
pub(crate) fn last_lines(log: &Path, limit: u64) -> String {
    let lines: Vec<String> = store::tail(log, limit).lines().map(|line| printable(line.trim_end())).collect();
    lines.join("\n").trim().to_owned()
}

/// A console line without its control characters: what a guest writes must not steer this terminal.
pub(crate) fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_gives_whole_lines_once_and_survives_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut console = Console::from_here(&path);
        std::fs::write(&path, "old\none\r\n\x1b[31mtw").unwrap();
        assert_eq!(console.new_lines(), ["one"]);
        std::fs::write(&path, "old\none\r\n\x1b[31mtwo\n").unwrap();
        assert_eq!(console.new_lines(), ["[31mtwo"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(console.new_lines(), ["new"]);
        assert!(console.new_lines().is_empty());
    }
}
