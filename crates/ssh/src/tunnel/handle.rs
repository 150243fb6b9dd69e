//! A tunnel as others see it.

use std::sync::Arc;

use machine_core::{Code, Error, Result};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::orders::{Caller, Order};
use super::thread::TunnelThread;
use crate::connect::Session;
use crate::exec::ExitStatus;

/// A session that carries many streams at once, moved by one thread of its own.
///
/// Each stream is a pipe of this process with the other end in the machine: it may be read and written by any runtime, and
/// each direction ends by itself. When the last clone is dropped the session ends, and with it every stream; so does a
/// machine that has been silent for two minutes. Nothing connects again by itself.
#[derive(Clone)]
pub struct Tunnel {
    orders: mpsc::UnboundedSender<Order>,
    end: watch::Receiver<Option<End>>,
    // Dropped after `orders`: the thread is called to see that nobody will order anything.
    _farewell: Arc<Farewell>,
    caller: Arc<Caller>,
}

/// Why a session is over.
#[derive(Clone)]
pub(super) struct End {
    pub code: Code,
    pub text: String,
}

impl End {
    fn error(&self) -> Error {
        Error::new(self.code, self.text.clone())
    }
}

struct Farewell(Arc<Caller>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// A command that runs at the other end of a tunnel.
#[derive(Debug)]
pub struct Process {
    /// Its standard input and output. To shut it down closes the input; to drop it closes the channel.
    pub stream: DuplexStream,
    end: oneshot::Receiver<ProcessEnd>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessEnd {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// The end of its error output, 4 KiB at most.
    pub stderr: String,
}

impl Process {
    /// The two halves: its streams, and what tells its end.
    pub fn into_parts(self) -> (DuplexStream, impl Future<Output = Option<ProcessEnd>>) {
        let end = self.end;
        (self.stream, async move { end.await.ok() })
    }

    /// Waits for its end; `None` when the session ended before, or the stream was dropped.
    pub async fn ended(self) -> Option<ProcessEnd> {
        self.end.await.ok()
    }
}

/// Connections made inside the machine to a port that this side listens on. To drop it ends the listening.
#[derive(Debug)]
pub struct Incoming {
    /// The port, on the machine's loopback.
    pub port: u16,
    streams: mpsc::Receiver<DuplexStream>,
}

impl Incoming {
    /// The next connection; `None` when the session has ended.
    pub async fn next(&mut self) -> Option<DuplexStream> {
        self.streams.recv().await
    }
}

impl Tunnel {
    /// Gives a session a thread of its own.
    ///
    /// # Errors
    /// A session on which a command was broken off, or a system that gives no thread or socket.
    pub fn over(session: Session) -> Result<Self> {
        let cannot = |error| Error::other("cannot set up an SSH tunnel").because(error);
        if session.spoilt {
            return Err(Error::other(format!("a command on {} was broken off", session.peer)));
        }
        let caller = Caller::new().map_err(cannot)?;
        let (orders, received) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let thread = TunnelThread::new(session, Arc::clone(&caller), received);
        std::thread::Builder::new()
            .name("ssh-tunnel".into())
            .spawn(move || {
                let why = thread.run();
                // Nobody may be listening.
                let _ = end.send(Some(why));
            })
            .map_err(cannot)?;
        Ok(Self { orders, end: ended, _farewell: Arc::new(Farewell(Arc::clone(&caller))), caller })
    }

    /// Starts `command` by the user's shell.
    ///
    /// # Errors
    /// A machine that refuses, or a session that has ended.
    pub async fn exec(&self, command: &str) -> Result<Process> {
        let command = command.to_owned();
        let (stream, end) = self.order(|reply| Order::Exec { command, reply }).await?;
        Ok(Process { stream, end })
    }

    /// Connects to a port as seen from inside the machine. Connections are made one after the other: one that hangs
    /// there holds up the next.
    ///
    /// # Errors
    /// Nothing that listens there, a machine that forbids it (`AllowTcpForwarding`), or a session that has ended.
    pub async fn connect(&self, host: &str, port: u16) -> Result<DuplexStream> {
        let host = host.to_owned();
        self.order(|reply| Order::Connect { host, port, reply }).await
    }

    /// Listens on a port of the machine's loopback; 0 lets the machine choose.
    ///
    /// # Errors
    /// A port that is taken, a machine that forbids it (`AllowTcpForwarding`), or a session that has ended.
    pub async fn listen(&self, port: u16) -> Result<Incoming> {
        let (port, streams) = self.order(|reply| Order::Listen { port, reply }).await?;
        Ok(Incoming { port, streams })
    }

    /// Whether the session has ended.
    pub fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits until the session has ended, and tells why.
    pub async fn ended(&self) -> Error {
        let mut end = self.end.clone();
        let why = end.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.map_or_else(|| Error::other("the SSH tunnel has ended"), |why| why.error())
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T>>) -> Order) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(order(reply));
        self.caller.call();
        match sent {
            Ok(()) => match answer.await {
                Ok(result) => result,
                Err(_) => Err(self.ended().await),
            },
            Err(_) => Err(self.ended().await),
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}
