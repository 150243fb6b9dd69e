//! What a tunnel's thread is told, and how it is called.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use machine_core::Result;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};

use super::handle::ProcessEnd;

/// Bytes that a stream holds for a reader or writer that is slow, each way.
pub(super) const BUFFER: usize = 256 * 1024;

/// Connections that the other side may hold for us before we take them.
pub(super) const BACKLOG: u32 = 16;

/// Something new that the thread shall do.
pub(super) enum Order {
    Exec {
        command: String,
        reply: oneshot::Sender<Result<(DuplexStream, oneshot::Receiver<ProcessEnd>)>>,
    },
    Connect {
        host: String,
        port: u16,
        reply: oneshot::Sender<Result<DuplexStream>>,
    },
    Listen {
        port: u16,
        reply: oneshot::Sender<Result<(u16, mpsc::Receiver<DuplexStream>)>>,
    },
    /// Our own: the channel by which a silent machine is asked for a sign of life.
    Pulse,
}

/// Calls the thread, which waits for sockets, by a datagram to itself: as [`crate::attach`] does.
pub(super) struct Caller {
    socket: UdpSocket,
    called: AtomicBool,
}

impl Caller {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Connected to itself, it hears nobody else.
        socket.connect(socket.local_addr()?)?;
        socket.set_nonblocking(true)?;
        Ok(Arc::new(Self { socket, called: AtomicBool::new(false) }))
    }

    /// Readable when the thread has been called.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// From here on, a call is a new one. What it is about is looked at after this.
    pub(super) fn heard(&self) {
        while self.socket.recv(&mut [0]).is_ok() {}
        self.called.store(false, Ordering::SeqCst);
    }

    pub(super) fn call(&self) {
        if !self.called.swap(true, Ordering::SeqCst) {
            // A full socket buffer holds enough calls already.
            let _ = self.socket.send(&[0]);
        }
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.call();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call();
    }
}
