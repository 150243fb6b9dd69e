//! A client of the QEMU Machine Protocol over a Unix socket (on Windows too: QEMU has AF_UNIX there since 7.2).
//!
//! One thread per connection connects, greets and reads; it hands replies to whoever waits for them and events to a
//! channel. QEMU serves one client per monitor: a second one connects and hears nothing until the first has gone, so every
//! wait here has a limit.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
#[cfg(windows)]
use uds_windows::UnixStream;

use machine_core::{Code, Error, Result, ResultExt};

use crate::qmp_message::{QmpEvent, QmpMessage};

/// The longest line that is listened to, bytes. QEMU's longest answers (its own schema) have some 200 KiB.
const LONGEST_LINE: u64 = 4 << 20;
/// How long a command may take. QEMU answers within milliseconds unless this computer is overloaded.
const REPLY_LIMIT: Duration = Duration::from_secs(15);
/// How often a socket that is not there yet is tried.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// A connection to the monitor of one QEMU. Dropping it leaves the monitor to the next client.
#[derive(Debug)]
pub struct Qmp {
    stream: Arc<Stream>,
    waiting: Waiting,
    next_id: AtomicU64,
}

/// Who waits for which reply; `None` once the connection has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>>;

impl Qmp {
    /// Connects to the monitor at `socket` and negotiates. A socket that does not exist yet is waited for.
    ///
    /// The receiver gets every event, and ends with the connection.
    ///
    /// # Errors
    /// [`Code::TimedOut`] when nobody has answered within `limit`.
    pub async fn connect(socket: &Path, limit: Duration) -> Result<(Self, mpsc::UnboundedReceiver<QmpEvent>)> {
        let began = Instant::now();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (ready, greeted) = oneshot::channel();
        let (events, events_out) = mpsc::unbounded_channel();
        let connection =
            Connection { socket: socket.to_owned(), deadline: began + limit, waiting: waiting.clone(), events };
        std::thread::Builder::new()
            .name("qmp".into())
            .spawn(move || connection.run(ready))
            .context(|| "cannot start a thread for QEMU's monitor".into())?;
        let no_answer = || {
            Error::new(Code::TimedOut, format!("QEMU's monitor {} did not answer within {limit:?}", socket.display()))
        };
        let stream = match tokio::time::timeout(limit, greeted).await {
            Ok(Ok(stream)) => Arc::new(stream),
            Ok(Err(_)) | Err(_) => return Err(no_answer()),
        };
        let qmp = Self { stream, waiting, next_id: AtomicU64::new(1) };
        let left = limit.saturating_sub(began.elapsed()).max(CONNECT_PAUSE);
        tokio::time::timeout(left, qmp.execute("qmp_capabilities", json!({}))).await.map_err(|_| no_answer())??;
        Ok((qmp, events_out))
    }

    /// Executes `command` and returns what it returns.
    ///
    /// # Errors
    /// QEMU's own words when it refuses; [`Code::TimedOut`] after 15 s.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let gone = || Error::other(format!("QEMU closed its monitor before it answered {command:?}"));
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(gone()),
        };
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let stream = self.stream.clone();
        tracing::debug!(command, id, "QMP");
        let exchange = async {
            tokio::task::spawn_blocking(move || (&stream.0).write_all(line.as_bytes()))
                .await
                .context(|| format!("cannot send {command:?} to QEMU"))?
                .context(|| format!("cannot send {command:?} to QEMU"))?;
            reply
                .await
                .map_err(|_| gone())?
                .map_err(|refusal| Error::other(format!("QEMU refused {command:?}: {refusal}")))
        };
        tokio::time::timeout(REPLY_LIMIT, exchange).await.map_err(|_| {
            Error::new(Code::TimedOut, format!("QEMU did not answer {command:?} within {REPLY_LIMIT:?}"))
        })?
    }

    /// Gives a line to the human monitor and returns its text. Its complaints come as text too.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn human(&self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line })).await?;
        answer.as_str().map(str::to_owned).ok_or_else(|| Error::other(format!("QEMU answered {line:?} with {answer}")))
    }
}

/// The writing side. The connection ends with it, also when nobody has come to take it: a monitor that one of ours holds
/// and nobody uses would be lost to the next client.
#[derive(Debug)]
struct Stream(UnixStream);

impl Drop for Stream {
    fn drop(&mut self) {
        // Ends the reading thread. A connection that QEMU has closed cannot be closed again: nothing to tell.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The part of a connection that its thread owns.
struct Connection {
    socket: PathBuf,
    deadline: Instant,
    waiting: Waiting,
    events: mpsc::UnboundedSender<QmpEvent>,
}

impl Connection {
    fn run(self, ready: oneshot::Sender<Stream>) {
        if let Some(stream) = self.connected(&ready)
            && let Some(mut lines) = self.greeted(&stream.0)
            && ready.send(stream).is_ok()
        {
            while let Some(line) = lines.next_line() {
                self.dispatch(line);
            }
        }
        // Dropping the senders tells everybody who still waits.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn connected(&self, ready: &oneshot::Sender<Stream>) -> Option<Stream> {
        loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => return Some(Stream(stream)),
                Err(error) => tracing::trace!(socket = %self.socket.display(), %error, "no monitor yet"),
            }
            if ready.is_closed() || Instant::now() >= self.deadline {
                return None;
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
    }

    /// Waits for the greeting; a monitor that is busy with another client stays silent.
    fn greeted(&self, stream: &UnixStream) -> Option<Lines> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let reading = stream.try_clone().ok()?;
        reading.set_read_timeout(Some(left.max(CONNECT_PAUSE))).ok()?;
        let mut lines = Lines { reader: BufReader::with_capacity(4096, reading), line: Vec::new() };
        if QmpMessage::parse(lines.next_line()?) != Some(QmpMessage::Greeting) {
            return None;
        }
        lines.reader.get_ref().set_read_timeout(None).ok()?;
        Some(lines)
    }

    fn dispatch(&self, line: &[u8]) {
        match QmpMessage::parse(line) {
            Some(QmpMessage::Reply { id, result }) => {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = waiting.as_mut().and_then(|waiting| waiting.remove(&id)) {
                    // Whoever asked may have stopped waiting.
                    let _ = sender.send(result);
                }
            }
            // Whoever does not listen to events has dropped the receiver.
            Some(QmpMessage::Event(event)) => drop(self.events.send(event)),
            Some(QmpMessage::Greeting) => {}
            None => tracing::debug!(line = %String::from_utf8_lossy(line), "not a line of QMP"),
        }
    }
}

struct Lines {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Lines {
    /// The next line, or `None` when the connection has ended, is too slow, or sends what no monitor sends.
    fn next_line(&mut self) -> Option<&[u8]> {
        self.line.clear();
        loop {
            match self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => return Some(&self.line),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;
    const LIMIT: Duration = Duration::from_secs(10);

    /// A monitor that answers each command with what `answer` makes of it, for one client after the other.
    fn monitor(socket: &Path, answer: impl Fn(&Value) -> Vec<String> + Send + 'static) {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A client that breaks off makes room for the next.
                let _ = serve(client.unwrap(), &answer);
            }
        });
    }

    fn serve(mut client: UnixStream, answer: &impl Fn(&Value) -> Vec<String>) -> std::io::Result<()> {
        writeln!(client, "{GREETING}")?;
        for line in BufReader::new(client.try_clone()?).lines() {
            let command: Value = serde_json::from_str(&line?)?;
            let lines = match command["execute"].as_str().unwrap() {
                "qmp_capabilities" => vec![format!("{{\"return\": {{}}, \"id\": {}}}", command["id"])],
                _ => answer(&command),
            };
            for line in lines {
                writeln!(client, "{line}")?;
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn replies_find_their_askers_events_come_apart_and_noise_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("q");
        monitor(&socket, |command| {
            let id = &command["id"];
            match command["execute"].as_str().unwrap() {
                "human-monitor-command" => vec![format!(
                    "{{\"return\": {}, \"id\": {id}}}",
                    command["arguments"]["command-line"]
                        .as_str()
                        .map(|line| json!(format!("you said {line}")))
                        .unwrap()
                )],
                "bad" => vec![format!("{{\"error\": {{\"desc\": \"not so\"}}, \"id\": {id}}}")],
                _ => vec![
                    "noise".into(),
                    "{\"event\": \"RESUME\"}".into(),
                    "{\"return\": 1, \"id\": 99999}".into(),
                    format!("{{\"return\": {{\"a\": 1}}, \"id\": {id}}}"),
                ],
            }
        });
        let (qmp, mut events) = Qmp::connect(&socket, LIMIT).await.unwrap();
        assert_eq!(qmp.execute("query-status", json!({})).await.unwrap(), json!({"a": 1}));
        assert_eq!(events.recv().await.unwrap().name, "RESUME");
        assert_eq!(qmp.human("info usernet").await.unwrap(), "you said info usernet");
        assert!(qmp.execute("bad", json!({})).await.unwrap_err().to_string().ends_with("\"bad\": not so"));

        drop(qmp);
        assert_eq!(events.recv().await, None);
        let (again, _events) = Qmp::connect(&socket, LIMIT).await.unwrap();
        assert!(again.execute("query-status", json!({})).await.is_ok(), "the next client is served");
    }

    #[tokio::test]
    async fn a_client_that_gives_up_at_any_moment_leaves_the_monitor_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("q");
        monitor(&socket, |command| vec![format!("{{\"return\": {{}}, \"id\": {}}}", command["id"])]);
        let mut gave_up = 0;
        for moments in 0..120 {
            let patience = async {
                for _ in 0..moments {
                    std::thread::sleep(Duration::from_micros(5));
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                connected = Qmp::connect(&socket, LIMIT) => drop(connected.unwrap()),
                () = patience => gave_up += 1,
            }
            let (qmp, _events) = Qmp::connect(&socket, LIMIT).await.unwrap();
            qmp.execute("query-status", json!({})).await.unwrap();
        }
        assert!(gave_up > 0);
    }

    #[tokio::test]
    async fn a_monitor_that_goes_away_fails_whoever_waits_and_whoever_asks_later() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("q");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            writeln!(client, "{GREETING}").unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            let _capabilities = lines.next();
            writeln!(client, "{{\"return\": {{}}, \"id\": 1}}").unwrap();
            let _quit = lines.next();
        });
        let (qmp, mut events) = Qmp::connect(&socket, LIMIT).await.unwrap();
        assert!(qmp.execute("quit", json!({})).await.unwrap_err().to_string().contains("closed its monitor"));
        assert_eq!(events.recv().await, None);
        assert!(qmp.execute("quit", json!({})).await.is_err());
        server.join().unwrap();
    }

    #[tokio::test]
    async fn a_silent_monitor_and_a_missing_one_end_in_a_time_limit() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("q");
        let limit = Duration::from_millis(60);
        let error = Qmp::connect(&socket, limit).await.unwrap_err();
        assert_eq!(error.code(), Code::TimedOut);
        let _listener = UnixListener::bind(&socket).unwrap();
        let error = Qmp::connect(&socket, limit).await.unwrap_err();
        assert_eq!(error.code(), Code::TimedOut);
    }
}
