//! The QEMU process of a machine: started so that it outlives its supervisor, or found again.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt};
use tokio::process::{Child, Command};

use crate::event_log::open_appending;
use crate::plan::Plan;
use crate::process_identity::ProcessIdentity;
use crate::qemu_command;

/// How often an adopted QEMU, which is no child of ours, is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A QEMU that runs, or did.
#[derive(Debug)]
pub(crate) struct QemuProcess {
    identity: ProcessIdentity,
    child: Option<Child>,
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exited {
    /// As its parent learns it.
    With(ExitStatus),
    /// Somehow: it was adopted, and only its parent learns more.
    Somehow,
}

impl Exited {
    /// Its exit code; none when a signal ended it or nobody knows.
    pub(crate) fn code(self) -> Option<i32> {
        match self {
            Self::With(status) => status.code(),
            Self::Somehow => None,
        }
    }

    /// Whether somebody ended it by SIGKILL.
    pub(crate) fn was_killed(self) -> bool {
        #[cfg(unix)]
        if let Self::With(status) = self {
            return std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        }
        false
    }

    /// What people read: `QEMU ended (signal: 9 (SIGKILL))`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::With(status) => format!("QEMU ended ({status})"),
            Self::Somehow => "QEMU ended".to_owned(),
        }
    }
}

impl QemuProcess {
    /// Starts `plan` in a process group of its own, with nothing on its standard input and its output appended to `log`:
    /// neither the terminal nor the death of the supervisor reaches it.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(crate) async fn start(plan: &Plan, token: &str, dir: &Path, log: &Path) -> Result<Self> {
        let failed = || format!("cannot start QEMU ({})", plan.program.display());
        let output = open_appending(log).context(|| format!("cannot open {}", log.display()))?;
        let mut command = Command::from(qemu_command::command(&plan.program, &plan.arguments));
        // A core file, should it leave one, lands with the machine and goes with it.
        command.current_dir(dir).stdout(output.try_clone().context(failed)?).stderr(output);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().context(failed)?;
        let pid = child.id().ok_or_else(|| Error::other(failed()))?;
        let identity = loop {
            if let Some(identity) = ProcessIdentity::of(pid, token) {
                break identity;
            }
            if child.try_wait().context(failed)?.is_some() {
                // It has ended already: an identity that no process has.
                break ProcessIdentity { pid, start_time: 0, token: token.to_owned() };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Ok(Self { identity, child: Some(child) })
    }

    /// The QEMU that an earlier supervisor started.
    pub(crate) fn adopt(identity: ProcessIdentity) -> Self {
        Self { identity, child: None }
    }

    /// Who it is.
    pub(crate) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> Exited {
        if let Some(child) = &mut self.child {
            match child.wait().await {
                Ok(status) => return Exited::With(status),
                Err(error) => tracing::warn!(%error, "cannot wait for QEMU as its parent"),
            }
        }
        while self.identity.is_alive() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Exited::Somehow
    }

    /// Ends it by force and waits until it has gone.
    ///
    /// # Errors
    /// When it cannot be ended within 10 s.
    pub(crate) async fn end(&mut self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        self.identity.kill()?;
        match tokio::time::timeout(LIMIT, self.exited()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::other(format!("QEMU (process {}) did not end within {LIMIT:?}", self.identity.pid))),
        }
    }
}
