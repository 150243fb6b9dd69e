//! A terminal into a container: a process of its own beside the container's, on a pseudo terminal of the engine.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::{Stream, StreamExt as _};
use machine_core::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::containers::ContainerId;
use crate::engine::Engine;
use crate::failure::{EngineError, EngineFailure, explain, judge};

/// What a terminal shows.
pub struct TerminalOutput {
    stream: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    peer: String,
}

/// What is typed into a terminal.
pub struct TerminalInput {
    engine: Engine,
    exec: String,
    input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl TerminalOutput {
    /// Waits for more; `None` when the process has ended.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        match self.stream.next().await {
            Some(Ok(output)) => Ok(Some(output.into_bytes().to_vec())),
            Some(Err(error)) => Err(explain(&self.peer, error)),
            None => Ok(None),
        }
    }
}

impl TerminalInput {
    /// Types `text`.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn type_in(&mut self, text: &[u8]) -> Result<(), EngineError> {
        let write = async {
            self.input.write_all(text).await?;
            self.input.flush().await
        };
        write.await.map_err(|error| judge(self.engine.peer(), error))
    }

    /// Gives it another size, in characters.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<(), EngineError> {
        let size = ResizeExecOptions { height: rows, width: columns };
        self.engine.bounded_by(self.engine.timeout(), self.engine.docker().resize_exec(&self.exec, size)).await
    }
}

impl Engine {
    /// Opens a terminal in which `words` run, of that size in characters.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn terminal(
        &self,
        id: &ContainerId,
        words: &[&str],
        (columns, rows): (u16, u16),
    ) -> Result<(TerminalInput, TerminalOutput), EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(true),
            env: Some(vec!["TERM=xterm-256color".to_owned()]),
            cmd: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            console_size: Some(vec![rows.into(), columns.into()]),
            ..ExecConfig::default()
        };
        let id = id.to_string();
        let exec = self.bounded_by(self.timeout(), self.docker().create_exec(&id, config)).await?.id;
        let options = StartExecOptions { tty: true, ..StartExecOptions::default() };
        match self.bounded_by(self.timeout(), self.docker().start_exec(&exec, Some(options))).await? {
            StartExecResults::Attached { output, input } => Ok((
                TerminalInput { engine: self.clone(), exec, input },
                TerminalOutput { stream: output, peer: self.peer().to_owned() },
            )),
            StartExecResults::Detached => Err(EngineError {
                failure: EngineFailure::Protocol,
                error: Error::other(format!("the engine of {} opened no terminal", self.peer())),
            }),
        }
    }
}
