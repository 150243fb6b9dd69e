//! A terminal into a container: a process of its own beside the container's, on a pseudo terminal of the engine.

use std::io;

use bollard::BollardRequest;
use bollard::exec::ResizeExecOptions;
use bollard::models::ExecConfig;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::connect::Way;
use crate::containers::ContainerId;
use crate::engine::Engine;
use crate::failure::{EngineError, judge};
use crate::hang_up::{Line, MARK};
use crate::json::whole;

/// The most that is read at once, bytes.
const PIECE: usize = 8 << 10;

/// What a terminal shows, byte for byte. Whoever drops it before its end hangs up: what runs in it gets HUP.
pub struct TerminalOutput {
    stream: ReadHalf<TokioIo<Upgraded>>,
    peer: String,
    line: Line,
}

/// What is typed into a terminal.
pub struct TerminalInput {
    engine: Engine,
    exec: String,
    input: WriteHalf<TokioIo<Upgraded>>,
}

impl TerminalOutput {
    /// Waits for more; `None` when the process has ended.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        let mut piece = Vec::with_capacity(PIECE);
        let length = self.stream.read_buf(&mut piece).await.map_err(|error| judge(&self.peer, error))?;
        self.line.ended = length == 0;
        Ok((length > 0).then_some(piece))
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
        let mut line = Line::new(self, id);
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(true),
            env: Some(vec!["TERM=xterm-256color".to_owned(), format!("{MARK}={}", line.mark)]),
            cmd: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            console_size: Some(vec![rows.into(), columns.into()]),
            ..ExecConfig::default()
        };
        let id = id.to_string();
        let exec = self.bounded_by(self.timeout(), self.docker().create_exec(&id, config)).await?.id;
        // Who leaves from here on may leave a process behind.
        line.ended = false;
        let connection = self.bounded_by(self.timeout(), attach(self.way(), &exec)).await?;
        let (stream, input) = tokio::io::split(TokioIo::new(connection));
        let output = TerminalOutput { stream, peer: self.peer().to_owned(), line };
        Ok((TerminalInput { engine: self.clone(), exec, input }, output))
    }
}

/// Starts a process on a pseudo terminal and takes the connection over. By ourselves: bollard looks for the frames of an
/// engine without one in what comes, and takes the first bytes of a binary file for the length of a frame.
async fn attach(way: Way, exec: &str) -> Result<Upgraded, bollard::errors::Error> {
    let options = br#"{"Detach":false,"Tty":true}"#;
    let mut request = BollardRequest::new(bollard::body_full(options.as_slice().into()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/exec/{exec}/start").parse().map_err(io::Error::other)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    let response = way.send(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(hyper::upgrade::on(response).await?);
    }
    whole(response).await?;
    Err(io::Error::other("the engine opened no terminal").into())
}
