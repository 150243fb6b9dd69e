//! What a Docker client is told when the machine's engine is not reached: an error of the API, which it prints.

use std::time::Duration;

use machine_core::Error;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long a client may take to be told.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers the request that begins with `head`, and ends the connection.
pub(super) async fn refuse<C: AsyncRead + AsyncWrite + Unpin>(client: &mut C, head: &[u8], error: &Error) {
    let answer = response(head, error);
    let told = async {
        client.write_all(&answer).await?;
        client.shutdown().await?;
        // What is closed while its bytes are unread may be lost to a client that is still writing.
        let mut rest = [0; 4096];
        while client.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // It may have gone, and need not hear it.
    let _ = tokio::time::timeout(PATIENCE, told).await;
}

fn response(head: &[u8], error: &Error) -> Vec<u8> {
    let hints = error.hints();
    let message = if hints.is_empty() { error.to_string() } else { format!("{error} ({})", hints.join("; ")) };
    let body = json!({ "message": message }).to_string();
    let mut response = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // An answer to HEAD has no body (RFC 9110, 9.3.2).
    if !head.starts_with(b"HEAD ") {
        response.push_str(&body);
    }
    response.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_dockers_json_and_head_gets_no_body() {
        let error = Error::other("the engine of machine \"dev\" is not reachable").hint("`machine start dev`");
        let text = String::from_utf8(response(b"GET /info HTTP/1.1\r\n", &error)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let message = serde_json::from_str::<serde_json::Value>(body).unwrap()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "the engine of machine \"dev\" is not reachable (`machine start dev`)");
        assert!(response(b"HEAD /_ping HTTP/1.1\r\n", &error).ends_with(b"\r\n\r\n"));
    }
}
