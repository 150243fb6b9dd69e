//! What there is of a machine right now: its supervisor, its QEMU, and what is left of either.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use machine_core::{Error, Result, ResultExt};
use tokio::time::sleep;

use super::state::DriverState;
use crate::control::{Call, Reply, ask, is_listening};
use crate::last_exit::LastExit;
use crate::machine_files::MachineFiles;
use crate::process_identity::{ProcessIdentity, find_by_token};
use crate::run_file::RunFile;

/// How long a supervisor that has its lock may take to listen, or to let go.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a supervisor may take to end its QEMU at once: [`crate::shutdown`]'s own limits and some.
const KILL: Duration = Duration::from_secs(20);
/// How long a killed process may take to go.
const GONE: Duration = Duration::from_secs(10);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(10);

/// One machine's live side.
pub(crate) struct Presence<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) files: MachineFiles,
    pub(crate) token: String,
}

impl<'a> Presence<'a> {
    /// That of the machine in `dir`. Its record may have been lost: what a run left behind then names it. `None` when
    /// nothing of it can have been started.
    pub(crate) fn of(dir: &'a Path, runtime: &Path, state: Option<&DriverState>) -> Option<Self> {
        let token = match state {
            Some(state) => state.token.clone(),
            None => RunFile::read(dir)?.token,
        };
        Some(Self { dir, files: MachineFiles::new(dir, runtime, &token), token })
    }

    /// Whether a supervisor listens.
    pub(crate) fn is_supervised(&self) -> bool {
        is_listening(&self.files.control_socket())
    }

    /// Whether a supervisor has the machine, listening or not yet.
    pub(crate) fn is_locked(&self) -> bool {
        // One that nobody made is held by nobody.
        File::open(self.files.lock()).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// What the present run noted, if its QEMU lives.
    pub(crate) fn live_run(&self) -> Option<RunFile> {
        RunFile::read(self.dir).filter(|run| run.token == self.token && run.qemu.is_alive())
    }

    /// The machine's QEMU, whoever looks after it.
    pub(crate) fn live_qemu(&self) -> Option<ProcessIdentity> {
        if let Some(run) = self.live_run() {
            return Some(run.qemu);
        }
        // A crash between its start and the note leaves its monitor; without one there is no need to look further.
        if !self.files.qmp_socket().exists() {
            return None;
        }
        find_by_token(&self.token).ok()?.into_iter().next()
    }

    /// Waits until a supervisor that was just started or is about to end listens, or has gone. Returns whether it listens.
    pub(crate) async fn settled(&self) -> bool {
        let began = Instant::now();
        loop {
            if self.is_supervised() {
                return true;
            }
            if !self.is_locked() || began.elapsed() > SETTLE {
                return false;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the supervisor.
    pub(crate) async fn ask(&self, call: Call, limit: Duration, progress: impl Fn(String) + Send) -> Result<Reply> {
        ask(&self.files.control_socket(), call, limit, progress).await
    }

    /// Ends everything of the machine by force: through its supervisor, else by what is known of the processes.
    pub(crate) async fn end_all(&self) -> Result<()> {
        if self.settled().await {
            match self.ask(Call::Kill, KILL, drop).await {
                Ok(Reply::Ended { .. } | Reply::Failed { .. }) => {}
                Ok(other) => tracing::warn!(?other, "an unexpected answer"),
                Err(error) => tracing::warn!(%error, "the supervisor does not end its machine"),
            }
            self.until("the supervisor ended", || !self.is_locked()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "it is ended by force");
            });
        }
        let run = RunFile::read(self.dir);
        if self.is_locked()
            && let Some(supervisor) = run.as_ref().and_then(|run| run.supervisor.as_ref())
        {
            supervisor.kill()?;
        }
        // Without a supervisor nothing new is started; what a crash left is found by its token.
        let token = self.token.clone();
        let left = tokio::task::spawn_blocking(move || find_by_token(&token))
            .await
            .context(|| "cannot look for processes".into())??;
        for qemu in &left {
            qemu.kill()?;
        }
        self.until("QEMU ended", || !left.iter().any(ProcessIdentity::is_alive)).await?;
        self.until("the supervisor ended", || !self.is_locked()).await
    }

    /// Removes what speaks of a run, after its end.
    pub(crate) fn tidy(&self, exit: Option<LastExit>) -> Result<()> {
        if let Some(exit) = exit {
            exit.write(self.dir)?;
        }
        RunFile::remove(self.dir)?;
        self.files.remove_runtime()
    }

    async fn until(&self, what: &str, done: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        while !done() {
            if began.elapsed() > GONE {
                return Err(Error::new(machine_core::Code::TimedOut, format!("{what} did not happen within {GONE:?}")));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
