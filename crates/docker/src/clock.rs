//! The clock of an engine's host, read cheaply: one small request over a connection that is kept.

use std::time::Duration;

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{DATE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use machine_core::Error;

use crate::dialer::EngineDialer;
use crate::failure::{EngineError, EngineFailure, judge, timed_out};

/// A kept connection over which an engine is asked for the time.
pub struct EngineClock {
    sender: SendRequest<String>,
    peer: String,
}

impl EngineClock {
    /// Connects.
    ///
    /// # Errors
    /// Why the engine is not reached.
    pub async fn open(dialer: &EngineDialer) -> Result<Self, EngineError> {
        let stream = dialer.open().await?;
        let peer = dialer.peer().to_owned();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| judge(&peer, error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to an engine ended: {error}");
            }
        });
        Ok(Self { sender, peer })
    }

    /// The time there when it answered, cut to whole seconds (RFC 9110, 6.6.1).
    ///
    /// # Errors
    /// A connection that broke, or no answer within `limit`: the connection is then of no use any more.
    pub async fn read(&mut self, limit: Duration) -> Result<Timestamp, EngineError> {
        let ask = async {
            let request = Request::builder().method(Method::HEAD).uri("/_ping").header(HOST, "localhost");
            let request = request.body(String::new()).map_err(|error| self.strange(error))?;
            self.sender.ready().await.map_err(|error| judge(&self.peer, error))?;
            self.sender.send_request(request).await.map_err(|error| judge(&self.peer, error))
        };
        let answer = tokio::time::timeout(limit, ask).await.map_err(|_| timed_out(&self.peer))??;
        let date = answer.headers().get(DATE).and_then(|value| value.to_str().ok());
        let date = date.ok_or_else(|| self.strange("its answer has no date"))?;
        date_of(date).ok_or_else(|| self.strange(format!("{date:?} is no date")))
    }

    fn strange(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> EngineError {
        EngineError {
            failure: EngineFailure::Protocol,
            error: Error::other(format!("the engine of {} does not say the time", self.peer)).because(cause),
        }
    }
}

/// A date as HTTP has it, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn date_of(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read_and_any_other_text_is_none() {
        assert_eq!(date_of("Sun, 22 Nov 2026 08:58:02 GMT").unwrap().to_string(), "2026-11-22T08:58:02Z");
        for text in ["", "now", "Sun, 31 Feb 2026 08:58:02 GMT", "1795337882"] {
            assert_eq!(date_of(text), None, "{text}");
        }
    }
}
