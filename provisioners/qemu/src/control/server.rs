//! Answering for a machine: one task per client, none of which holds up the others or the supervisor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use machine_core::{Result, ResultExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::wire::{CONTROL_VERSION, Call, LONGEST_LINE, Reply, Request, RunState, Status};
use crate::machine_files::gone;
use crate::supervisor::Companion;

/// How long a client may take to say what it wants, and to take what it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last clients may take to hear the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a client wants of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A graceful stop.
    Stop { deadline: Duration },
    /// The end at once.
    Kill,
    /// Memory saved, and the end.
    Suspend,
    /// Its CPUs halted.
    Pause,
    /// Its CPUs going on.
    Resume,
}

impl Command {
    /// Whether it ends the machine, whatever state that is in. The others are for one that runs or is paused.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Kill)
    }
}

/// What the supervisor shows to its clients.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    /// The status now.
    pub(crate) status: Status,
    /// How it ended, once it has: the last reply to everybody.
    pub(crate) end: Option<Reply>,
    /// Why the machine could not be suspended, paused or resumed and goes on as it was, each time it was so.
    pub(crate) setbacks: Vec<Reply>,
}

/// Lines of progress, to whoever waits for something.
pub(crate) type Notices = broadcast::Sender<String>;

/// The listening side. Dropping it ends every conversation.
pub(crate) struct Control {
    server: tokio::task::JoinHandle<()>,
    close: oneshot::Sender<oneshot::Sender<()>>,
}

/// The listening side after it has stopped to listen: those who were there are still heard.
pub(crate) struct Closed {
    server: tokio::task::JoinHandle<()>,
}

impl Control {
    /// Listens at `socket`; only one supervisor does (it holds the lock), so one left over by a crash is replaced.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn listen(
        socket: &Path,
        board: watch::Receiver<Board>,
        notices: Notices,
        commands: mpsc::UnboundedSender<Command>,
        companion: Option<Arc<dyn Companion>>,
    ) -> Result<Self> {
        let failed = || format!("cannot make the control socket {}", socket.display());
        if !cfg!(windows) {
            gone(std::fs::remove_file(socket)).context(failed)?;
        }
        let name = socket.to_fs_name::<GenericFilePath>().context(failed)?;
        // The file is removed with its folder, by whoever knows that nobody uses it any more.
        let options = restricted(ListenerOptions::new().name(name).reclaim_name(false)).context(failed)?;
        let listener = options.create_tokio().context(failed)?;
        let (close, closing) = oneshot::channel();
        let server = tokio::spawn(serve(listener, Shared { board, notices, commands, companion }, closing));
        Ok(Self { server, close })
    }

    /// Takes no new clients: whoever comes from now on finds no supervisor.
    pub(crate) async fn close(self) -> Closed {
        let (closed, is_closed) = oneshot::channel();
        if self.close.send(closed).is_ok() {
            // The server answers at once, or has ended by itself.
            let _ = is_closed.await;
        }
        Closed { server: self.server }
    }
}

impl Closed {
    /// Gives the present clients a moment to hear the end.
    pub(crate) async fn finish(self) {
        if tokio::time::timeout(FAREWELL * 2, self.server).await.is_err() {
            tracing::warn!("a client did not listen to the end");
        }
    }
}

/// Unix: the socket's folder is this user's alone.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "one signature on three systems")]
fn restricted(options: ListenerOptions<'_>) -> std::io::Result<ListenerOptions<'_>> {
    Ok(options)
}

/// Windows: a protected access list with full access for the owner (`OW`) and the system (`SY`), nobody else (SDDL).
#[cfg(windows)]
fn restricted(options: ListenerOptions<'_>) -> std::io::Result<ListenerOptions<'_>> {
    use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;
    let access = SecurityDescriptor::deserialize(widestring::u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"))?;
    Ok(options.security_descriptor(access))
}

#[derive(Clone)]
struct Shared {
    board: watch::Receiver<Board>,
    notices: Notices,
    commands: mpsc::UnboundedSender<Command>,
    companion: Option<Arc<dyn Companion>>,
}

async fn serve(listener: Listener, shared: Shared, mut closing: oneshot::Receiver<oneshot::Sender<()>>) {
    let mut clients = JoinSet::new();
    let closed = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => drop(clients.spawn(converse(stream, shared.clone()))),
                // Out of descriptors, say: the next client may have more luck, but not at once.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
            Some(_) = clients.join_next() => {}
            closed = &mut closing => break closed,
        }
    };
    drop(listener);
    if let Ok(closed) = closed {
        // Whoever asked may have gone.
        let _ = closed.send(());
    }
    let farewell = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        clients.shutdown().await;
    }
}

async fn converse(stream: Stream, shared: Shared) {
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(1024, &stream).take(LONGEST_LINE);
    match tokio::time::timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await {
        // A look at whether somebody listens says nothing.
        Ok(Ok(0)) | Err(_) => return,
        Ok(Err(error)) => return tracing::debug!(%error, "a client broke off"),
        Ok(Ok(_)) => {}
    }
    let failed = |message: String| Reply::Failed { message, hints: Vec::new() };
    let last = match serde_json::from_slice::<Request>(&line) {
        Err(error) => failed(format!("not a request: {error}")),
        Ok(Request { version, .. }) if version > CONTROL_VERSION => failed(format!(
            "the supervisor speaks version {CONTROL_VERSION} of its language, not {version}: stop and start the machine"
        )),
        Ok(Request { call, .. }) => match answer(call, shared, &stream).await {
            Ok(last) => last,
            Err(error) => return tracing::debug!(%error, "a client did not wait for its answer"),
        },
    };
    if let Err(error) = send(&stream, &last).await {
        tracing::debug!(%error, "a client did not wait for its answer");
    }
}

async fn answer(call: Call, mut shared: Shared, stream: &Stream) -> std::io::Result<Reply> {
    let mut notices = shared.notices.subscribe();
    let command = match call {
        Call::Status => {
            let mut status = shared.board.borrow().status.clone();
            status.warnings.extend(shared.companion.iter().flat_map(|companion| companion.warnings()));
            return Ok(Reply::Status(status));
        }
        Call::Ask { question } => return Ok(answer_of(&shared, question).await),
        Call::WaitRunning => None,
        Call::Stop { deadline_ms } => Some(Command::Stop { deadline: Duration::from_millis(deadline_ms) }),
        Call::Kill => Some(Command::Kill),
        Call::Suspend => Some(Command::Suspend),
        Call::Pause => Some(Command::Pause),
        Call::Resume => Some(Command::Resume),
    };
    let may_fail = command.is_some_and(|command| !command.ends());
    // What ends a machine is awaited to its end.
    let awaited: &[RunState] = match command {
        None => &[RunState::Running, RunState::Paused],
        Some(Command::Pause) => &[RunState::Paused],
        Some(Command::Resume) => &[RunState::Running],
        Some(Command::Stop { .. } | Command::Kill | Command::Suspend) => &[],
    };
    let setbacks = shared.board.borrow().setbacks.len();
    let runs = matches!(shared.board.borrow().status.state, RunState::Running | RunState::Paused);
    if may_fail && !runs {
        let message = "it is still starting, or ending already".to_owned();
        return Ok(Reply::Failed { message, hints: Vec::new() });
    }
    if let Some(command) = command {
        // Nobody takes commands once the machine has ended; the board then says how.
        let _ = shared.commands.send(command);
    }
    loop {
        let board = shared.board.borrow_and_update().clone();
        let over = match board.end {
            Some(end) => Some(end),
            None if may_fail && board.setbacks.len() > setbacks => board.setbacks.last().cloned(),
            None if awaited.contains(&board.status.state) => Some(Reply::Status(board.status)),
            None => None,
        };
        if let Some(last) = over {
            while let Ok(text) = notices.try_recv() {
                send(stream, &Reply::Progress { text }).await?;
            }
            return Ok(last);
        }
        tokio::select! {
            changed = shared.board.changed() => if changed.is_err() {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            },
            notice = notices.recv() => match notice {
                Ok(text) => send(stream, &Reply::Progress { text }).await?,
                // Too slow for some lines: the next ones will do.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Err(std::io::ErrorKind::BrokenPipe.into()),
            },
        }
    }
}

async fn answer_of(shared: &Shared, question: Value) -> Reply {
    let Some(companion) = &shared.companion else {
        return Reply::Failed { message: "nothing runs beside this machine".to_owned(), hints: Vec::new() };
    };
    match companion.ask(question).await {
        Ok(answer) => Reply::Answer { answer },
        Err(error) => {
            let hints = error.hints().into_iter().map(str::to_owned).collect();
            Reply::Failed { message: error.to_string(), hints }
        }
    }
}

async fn send(mut stream: &Stream, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, stream.write_all(&line)).await?
}
