//! A named pipe that only this user opens.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use interprocess::os::windows::named_pipe::tokio::{DuplexPipeStream, PipeListener};
use interprocess::os::windows::named_pipe::{PipeListenerOptions, PipeMode, pipe_mode};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use machine_core::{Result, ResultExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much either side may write before the other reads, bytes: what dockerd's own pipe has.
const BUFFER: u32 = 64 << 10;

/// The listening side.
#[derive(Debug)]
pub(crate) struct Listener(PipeListener<pipe_mode::Bytes, pipe_mode::Bytes>);

impl Listener {
    /// Listens at `path` (`\\.\pipe\...`).
    ///
    /// # Errors
    /// When the pipe cannot be made, or another process has one of that name.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let failed = || format!("cannot make the Docker pipe {}", path.display());
        // A protected access list with full access for the owner (`OW`) and the system (`SY`), nobody else (SDDL).
        let access = SecurityDescriptor::deserialize(widestring::u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"));
        // Messages, read as bytes: the only kind of pipe over which Docker's clients close their half, by an empty message
        // (go-winio, `PipeConfig.MessageMode`).
        let options = PipeListenerOptions::new()
            .path(path)
            .mode(PipeMode::Messages)
            .input_buffer_size_hint(BUFFER)
            .output_buffer_size_hint(BUFFER)
            .security_descriptor(Some(access.context(failed)?));
        options.create_tokio().map(Self).context(failed)
    }

    pub(super) async fn accept(&mut self) -> io::Result<Client> {
        self.0.accept().await.map(|stream| Client { stream, ended: false })
    }
}

/// One client's connection.
pub(super) struct Client {
    stream: DuplexPipeStream<pipe_mode::Bytes>,
    ended: bool,
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // An empty message would say that this is the end.
        if bytes.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.stream).poll_write(cx, bytes) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes our half alone, by an empty message.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(Pin::new(&mut self.stream).poll_write(cx, &[]))?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}
