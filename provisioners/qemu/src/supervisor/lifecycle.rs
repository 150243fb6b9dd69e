//! From the first moment of a supervisor to its last.
//!
//! ```text
//!                     launched
//!                        │  the lock is taken (or: Busy, another one is there)
//!                        v
//!        a live QEMU of this machine? ── yes ──> Adopting ─────────────┐
//!                        │ no                                          │ monitor, ports
//!                        v                                             v
//!   ┌──────────────> Starting ── monitor, ports, guest speaks ──> Running <──> Paused
//!   │ accelerator        │                                          │  │
//!   └─ bad: once more ───┤ stop, kill, SIGTERM                      │  │ QEMU ends by itself
//!                        v                                          │  │
//!                     Stopping <──── stop, kill, SIGTERM ───────────┘  │
//!                        │ QEMU has ended                              │
//!                        v                                             v
//!                      gone: last_exit.json written; run.json, sockets removed; everybody told
//! ```
//!
//! Pausing and resuming are QEMU's own: its events tell. Starting and Adopting are one state to the outside. The supervisor alone owns QEMU's monitor. Its own death changes
//! nothing for QEMU; the next supervisor adopts it.

use std::fs::{File, TryLockError};
use std::time::Duration;

use machine_core::{Code, Error, Result, ResultExt};
use tokio::sync::{broadcast, mpsc, watch};

use super::config::SuperviseConfig;
use super::run::Supervisor;
use crate::control::{Board, Command, Control, Reply, RunState, Status, is_listening};
use crate::event_log::EventLog;
use crate::last_exit::LastExit;
use crate::log_tail;
use crate::run_file::RunFile;

/// How long a predecessor may take to let go of the lock after it has told everybody that the machine is off.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long the guest may take to shut down when the computer does.
const COMPUTER_STOPS: Duration = Duration::from_secs(30);

/// Runs one machine until it is off. To be called in a process of its own; a single-threaded runtime is enough.
///
/// How it ended is in [`LastExit`], also when this returns an error.
///
/// # Errors
/// [`Code::Busy`] when another supervisor has the machine; else why it could not be started or adopted.
pub async fn supervise(config: SuperviseConfig) -> Result<()> {
    leave_terminal();
    let _lock = take_lock(&config).await?;
    if !config.adopt_only {
        LastExit::forget(&config.dir)?;
    }
    let outcome = run(&config).await;
    if let Err(error) = &outcome
        && let Err(unwritten) = LastExit::failed(error).write(&config.dir)
    {
        tracing::error!(%unwritten, "cannot note why the machine is off");
    }
    outcome
}

async fn run(config: &SuperviseConfig) -> Result<()> {
    config.files.make_runtime()?;
    log_tail::rotate(&config.files.event_log());
    let log = EventLog::open(&config.files.event_log())?;
    let status = Status {
        state: RunState::Starting,
        pid: std::process::id(),
        qemu: None,
        accelerator: None,
        warnings: Vec::new(),
        ports: None,
        since: jiff::Timestamp::now(),
    };
    let (board, board_seen) = watch::channel(Board { status, end: None, setbacks: Vec::new() });
    let (notices, _) = broadcast::channel(64);
    let (command_sender, commands) = mpsc::unbounded_channel();
    let control = Control::listen(
        &config.files.control_socket(),
        board_seen,
        notices.clone(),
        command_sender.clone(),
        config.companion.clone(),
    )?;
    let signals = tokio::spawn(obey_signals(command_sender));
    let mut supervisor = Supervisor::new(config, log, board, notices, commands);
    let outcome = supervisor.run().await;
    signals.abort();
    let outcome = match outcome {
        Ok(ended) => clean_up(config, &ended.exit).map(|()| ended),
        Err(error) => Err(error),
    };
    // A machine that is said to be off shall not be asked any more: the next start finds the way clear.
    let control = control.close().await;
    supervisor.announce(match &outcome {
        Ok(ended) if ended.exit.clean => Reply::Ended { forced: ended.forced },
        Ok(ended) => failed(&ended.exit.clone().into_error()),
        Err(error) => {
            // Whoever waits asks the file next: it must be there before the word goes out.
            let _written_again_by_the_caller = LastExit::failed(error).write(&config.dir);
            failed(error)
        }
    });
    control.finish().await;
    outcome.map(drop)
}

fn failed(error: &Error) -> Reply {
    Reply::Failed { message: error.to_string(), hints: error.hints().into_iter().map(str::to_owned).collect() }
}

/// What is left on disk says the truth at every moment: first the reason, then nothing that speaks of a run.
fn clean_up(config: &SuperviseConfig, exit: &LastExit) -> Result<()> {
    exit.write(&config.dir)?;
    RunFile::remove(&config.dir)?;
    config.files.remove_runtime()
}

async fn take_lock(config: &SuperviseConfig) -> Result<File> {
    let path = config.files.lock();
    let failed = || format!("cannot lock {}", path.display());
    let file = machine_files::open_lock(&path).context(failed)?;
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).context(failed),
            // One that listens looks after the machine. To wait for its end would be to start again what somebody stopped.
            Err(TryLockError::WouldBlock)
                if is_listening(&config.files.control_socket()) || tokio::time::Instant::now() >= deadline =>
            {
                return Err(Error::new(
                    Code::Busy,
                    format!("machine {:?} has a supervisor already (it holds {})", config.machine, path.display()),
                ));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A session of its own: closing the terminal does not concern it. One that leads a process group already cannot have
/// one, and does not hear of the terminal either.
#[cfg(unix)]
fn leave_terminal() {
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "no session of its own");
    }
}

/// Windows: whoever launches it detaches it (`DETACHED_PROCESS`).
#[cfg(windows)]
fn leave_terminal() {}

/// SIGTERM and SIGINT: the computer shuts down, or somebody means us: a graceful stop. SIGHUP is survived.
#[cfg(unix)]
async fn obey_signals(commands: mpsc::UnboundedSender<Command>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return tracing::warn!("cannot listen to signals");
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => continue,
        }
        // Nobody listens any more when the machine is off.
        let _ = commands.send(Command::Stop { deadline: COMPUTER_STOPS });
    }
}

/// Windows sends no such signal to a process without console.
#[cfg(windows)]
async fn obey_signals(_commands: mpsc::UnboundedSender<Command>) {
    let _ = COMPUTER_STOPS;
}
