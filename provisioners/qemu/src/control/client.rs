//! Asking a supervisor.

use std::path::Path;
use std::time::Duration;

use interprocess::local_socket::GenericFilePath;
use interprocess::local_socket::tokio::{Stream, prelude::*};
use machine_core::{Code, Error, Result, ResultExt};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::Instant;

use super::wire::{CONTROL_VERSION, Call, LONGEST_LINE, Reply, Request};

/// Whether a supervisor listens at `socket`, without a word to it: tens of microseconds.
#[cfg(unix)]
pub(crate) fn is_listening(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Whether a supervisor listens at `socket`, without a word to it.
#[cfg(windows)]
pub(crate) fn is_listening(socket: &Path) -> bool {
    const ERROR_PIPE_BUSY: i32 = 231;
    match std::fs::File::options().read(true).write(true).open(socket) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(ERROR_PIPE_BUSY),
    }
}

/// Makes `call` and returns the last reply; progress goes to `progress`.
///
/// # Errors
/// [`Code::NotRunning`] when nobody listens or the supervisor ended before its last reply, [`Code::TimedOut`] when that did
/// not come within `limit`.
pub(crate) async fn ask(socket: &Path, call: Call, limit: Duration, progress: impl Fn(String) + Send) -> Result<Reply> {
    let deadline = Instant::now() + limit;
    let late = || Error::new(Code::TimedOut, format!("the machine's supervisor did not answer within {limit:?}"));
    let silent = || Error::new(Code::NotRunning, "the machine's supervisor has gone without an answer");
    let stream = tokio::time::timeout_at(deadline, connect(socket)).await.map_err(|_| late())??;
    let request = Request { version: CONTROL_VERSION, call };
    let mut line = serde_json::to_string(&request).context(|| "cannot write a request".into())?;
    line.push('\n');
    let exchange = async {
        (&stream).write_all(line.as_bytes()).await.map_err(|error| silent().because(error))?;
        let mut replies = BufReader::new(&stream);
        loop {
            let mut line = Vec::new();
            let read = (&mut replies).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
            read.map_err(|error| silent().because(error))?;
            if !line.ends_with(b"\n") {
                return Err(silent());
            }
            match serde_json::from_slice(&line).context(|| "the machine's supervisor speaks another language".into())? {
                Reply::Progress { text } => progress(text),
                last => return Ok(last),
            }
        }
    };
    tokio::time::timeout_at(deadline, exchange).await.map_err(|_| late())?
}

async fn connect(socket: &Path) -> Result<Stream> {
    let name = socket.to_fs_name::<GenericFilePath>().context(|| format!("{} is no socket", socket.display()))?;
    Stream::connect(name).await.map_err(|error| {
        Error::new(Code::NotRunning, format!("no supervisor listens at {}", socket.display())).because(error)
    })
}
