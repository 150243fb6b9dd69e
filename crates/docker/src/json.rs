//! Answers as the engine writes them, of any age: what no type of ours or of others should take anything away from.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error::{DockerResponseServerError, IOError, JsonDataError};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;

use crate::connect::Way;
use crate::engine::Engine;
use crate::failure::EngineError;

/// The most that is read of one answer.
const LONGEST: usize = 16 << 20;

impl Engine {
    /// Asks for `path`, which is made of checked words alone.
    ///
    /// # Errors
    /// What the engine says, or an answer that is not what it should be.
    pub(crate) async fn json<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, EngineError> {
        self.bounded_by(limit, read(self.way(), path)).await
    }
}

async fn read<T: DeserializeOwned>(way: Way, path: &str) -> Result<T, bollard::errors::Error> {
    let mut request = BollardRequest::new(bollard::body_full(Default::default()));
    *request.uri_mut() = path.parse().map_err(std::io::Error::other)?;
    let text = whole(way.send(request).await?).await?;
    serde_json::from_slice(&text).map_err(|error| JsonDataError { message: error.to_string(), column: error.column() })
}

/// The whole of an answer that says that all went well; any other is an error with the engine's reason.
pub(crate) async fn whole(response: Response<Incoming>) -> Result<Vec<u8>, bollard::errors::Error> {
    let status = response.status();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
        if text.len() > LONGEST {
            return Err(IOError { err: std::io::Error::other("the answer is far too long") });
        }
    }
    if !status.is_success() {
        // Docker's errors are `{"message": "..."}`.
        let told: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str()).unwrap_or("no reason").to_owned();
        return Err(DockerResponseServerError { status_code: status.as_u16(), message });
    }
    Ok(text)
}
