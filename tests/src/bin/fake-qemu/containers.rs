//! Containers that are played: a list that changes, events that tell of it, a log that grows.

use std::io::Write;
use std::sync::{Condvar, Mutex};

use serde_json::{Value, json};

/// All containers of an engine.
pub struct Containers {
    all: Mutex<Vec<Value>>,
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Containers {
    /// As many containers: in pairs of one Compose project, the last one stopped.
    pub fn new(count: usize) -> Self {
        let all = (0..count).map(|at| {
            let state = if at + 1 == count { "exited" } else { "running" };
            json!({
                "Id": format!("{at:064x}"), "Names": [format!("/web-{at}")], "Image": "played:1",
                "State": state, "Status": status(state),
                "Labels": { "com.docker.compose.project": format!("shop-{}", at / 2) },
                "Ports": [{ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8000 + at, "Type": "tcp" }],
            })
        });
        Self { all: Mutex::new(all.collect()), changes: Mutex::new(0), changed: Condvar::new() }
    }

    /// What `GET /containers/json` answers, with `all` also of those that do not run.
    pub fn list(&self, all: bool) -> String {
        let listed = |container: &&Value| all || container["State"] != "exited";
        self.all.lock().unwrap().iter().filter(listed).cloned().collect::<Value>().to_string()
    }

    /// What the API does to one.
    pub fn change(&self, id: &str, verb: &str) {
        let mut all = self.all.lock().unwrap();
        match verb {
            "rm" => all.retain(|container| container["Id"] != id),
            _ => {
                let state = match verb {
                    "stop" | "kill" => "exited",
                    "pause" => "paused",
                    _ => "running",
                };
                for container in all.iter_mut().filter(|container| container["Id"] == id) {
                    container["State"] = state.into();
                    container["Status"] = status(state).into();
                }
            }
        }
        drop(all);
        *self.changes.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    /// A line for each change, for as long as the client listens. As the daemon it takes no time but `seconds.nanoseconds`.
    pub fn stream_events(&self, path: &str, client: &mut impl Write) -> std::io::Result<()> {
        let since = path.split(['?', '&']).find_map(|word| word.strip_prefix("since="));
        if !since.is_none_or(|since| since.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')) {
            let message =
                json!({ "message": format!("strconv.ParseInt: parsing {since:?}: invalid syntax") }).to_string();
            let length = message.len();
            let head = "HTTP/1.1 500 Internal Server Error\r\nApi-Version: 1.45\r\nContent-Type: application/json";
            client.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{message}").as_bytes())?;
            return client.flush();
        }
        head(client, "application/json")?;
        let mut told = *self.changes.lock().unwrap();
        loop {
            let mut changes = self.changes.lock().unwrap();
            while *changes == told {
                changes = self.changed.wait(changes).unwrap();
            }
            told = *changes;
            drop(changes);
            chunk(client, b"{\"Type\":\"container\",\"Action\":\"played\"}\n")?;
        }
    }

    /// Two lines, one of them coloured, and a third one for each change of any container.
    pub fn stream_log(&self, id: &str, client: &mut impl Write) -> std::io::Result<()> {
        head(client, "application/vnd.docker.multiplexed-stream")?;
        let number = id.trim_start_matches('0');
        line(client, &format!("2026-11-22T10:00:00.000000000Z hello from {number}\n"))?;
        line(client, "2026-11-22T10:00:01.000000000Z \u{1b}[33mwarning\u{1b}[0m: played\n")?;
        let mut changes = self.changes.lock().unwrap();
        loop {
            changes = self.changed.wait(changes).unwrap();
            line(client, "2026-11-22T10:00:02.000000000Z something changed\n")?;
        }
    }
}

fn status(state: &str) -> String {
    match state {
        "exited" => "Exited (0) 2 minutes ago".to_owned(),
        "paused" => "Up 3 minutes (Paused)".to_owned(),
        _ => "Up 3 minutes".to_owned(),
    }
}

fn head(client: &mut impl Write, kind: &str) -> std::io::Result<()> {
    let text =
        format!("HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write_all(text.as_bytes())?;
    client.flush()
}

fn chunk(client: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    client.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    client.write_all(bytes)?;
    client.write_all(b"\r\n")?;
    client.flush()
}

/// A piece of standard output in Docker's frame: stream, three zeros, length.
fn line(client: &mut impl Write, text: &str) -> std::io::Result<()> {
    let mut framed = vec![1, 0, 0, 0];
    framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend(text.as_bytes());
    chunk(client, &framed)
}
