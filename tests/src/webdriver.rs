//! As much of WebDriver (<https://www.w3.org/TR/webdriver2/>) as drives one window: a request at a time, each with a limit.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// No request takes longer: WebKitWebDriver waits for ever for an application that does not come up.
const LIMIT: Duration = Duration::from_secs(30);

/// The key under which an element's identifier is handed over (section 12.2 of the specification).
pub(crate) const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A driver that listens on a loopback port.
pub(crate) struct WebDriver {
    port: u16,
    session: String,
}

impl WebDriver {
    /// Opens a session with an application, or says why there is none yet.
    pub(crate) fn open(port: u16, application: &str) -> Result<Self, String> {
        let options = json!({ "binary": application, "args": [] });
        let body = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let answer = request(port, "POST", "/session", &body)?;
        let session = answer["sessionId"].as_str().ok_or_else(|| format!("no session: {answer}"))?;
        Ok(Self { port, session: session.to_owned() })
    }

    /// One command of the session; its value, or the driver's error.
    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        request(self.port, method, &format!("/session/{}{path}", self.session), body)
    }
}

fn request(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let said = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(said)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(said)?;
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).map_err(said)?;
    let answer = read_answer(&mut stream).map_err(said)?;
    let value = serde_json::from_slice::<Value>(&answer)
        .map_err(|error| format!("{method} {path}: {error}: {}", String::from_utf8_lossy(&answer)))?;
    match value["value"]["error"].as_str() {
        Some(error) => Err(format!("{method} {path}: {error}: {}", value["value"]["message"])),
        None => Ok(value["value"].clone()),
    }
}

/// The body of an answer whose length is told; the driver keeps its connections open.
fn read_answer(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if length.is_some_and(|length: usize| bytes.len() >= end + 4 + length) || count == 0 {
                return Ok(bytes.split_off(end + 4));
            }
        }
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
