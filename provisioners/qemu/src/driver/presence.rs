//! What there is of a machine right now: its supervisor, its QEMU, and what is left of either.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result, ResultExt};
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
/// How long all of a machine's processes may take to go by force.
const GONE: Duration = Duration::from_secs(40);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the sockets of a machine's run are: where that run noted, for another environment (cron, `su`) has another folder for
/// its own; else where the next run makes them.
pub(crate) fn sockets_of(dir: &Path, runtime: &Path, token: &str) -> PathBuf {
    RunFile::read(dir)
        .filter(|run| run.token == token && run.qemu.is_alive())
        .and_then(|run| Some(run.qmp_socket.parent()?.parent()?.to_owned()))
        .unwrap_or_else(|| runtime.to_owned())
}

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
        let runtime = sockets_of(dir, runtime, &token);
        Some(Self { dir, files: MachineFiles::new(dir, &runtime, &token), token })
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
        // A crash between its start and the note leaves the folder of its sockets; without one there is no need to look further.
        if !self.files.runtime().exists() {
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
        let began = Instant::now();
        let mut locked_since = None;
        let mut deaf = false;
        loop {
            if !deaf && self.is_supervised() {
                match self.ask(Call::Kill, KILL, drop).await {
                    Ok(Reply::Ended { .. } | Reply::Failed { .. }) => {}
                    Err(error) if error.code() == Code::NotRunning => {}
                    other => {
                        tracing::warn!(?other, "the supervisor does not end its machine");
                        deaf = true;
                    }
                }
            } else if self.is_locked() {
                // It is about to listen, or to go; one that does neither is ended.
                let since: &mut Instant = locked_since.get_or_insert_with(Instant::now);
                if (deaf || since.elapsed() > SETTLE)
                    && let Some(supervisor) = RunFile::read(self.dir).and_then(|run| run.supervisor)
                {
                    supervisor.kill()?;
                }
            } else {
                // Without a supervisor nothing new is started; what a crash left is found by its token.
                let left = self.processes().await?;
                if left.is_empty() {
                    return Ok(());
                }
                for qemu in left {
                    qemu.kill()?;
                }
            }
            if began.elapsed() > GONE {
                return Err(Error::new(Code::TimedOut, format!("its processes did not end within {GONE:?}")).hint(
                    "look at the computer's own log: a process that cannot be killed waits for a disk or a driver",
                ));
            }
            sleep(PAUSE).await;
        }
    }

    async fn processes(&self) -> Result<Vec<ProcessIdentity>> {
        let token = self.token.clone();
        tokio::task::spawn_blocking(move || find_by_token(&token))
            .await
            .context(|| "cannot look for processes".into())?
    }

    /// Removes what speaks of a run, after its end.
    pub(crate) fn tidy(&self, exit: Option<LastExit>) -> Result<()> {
        if let Some(exit) = exit {
            exit.write(self.dir)?;
        }
        RunFile::remove(self.dir)?;
        self.files.remove_runtime()
    }
}
