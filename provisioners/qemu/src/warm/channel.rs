//! The channel to the guest service: a virtio console, a line each way (`images/recipe/guest`, "channel").

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::{Code, Error, Result, ResultExt as _};
#[cfg(windows)]
use uds_windows::UnixStream;

/// How long QEMU may take to open it.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a wait looks whether its time is over.
const GLANCE: Duration = Duration::from_millis(250);
/// What the guest service's lines begin with.
const ANSWER: &str = "machine-guest: ";

/// The channel of one running machine. Whoever holds it is the only one: QEMU takes one client at a time.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    socket: PathBuf,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Read the seed disk and be that machine; set the clock.
    Identity,
    /// Answer when everything has started, and hold little memory.
    Settle,
    /// Write everything to the disks.
    Flush,
    /// Use all of the data disk.
    Grow,
}

impl Channel {
    /// The channel behind `socket`; nothing is connected yet.
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks the guest, and waits for its answer.
    ///
    /// # Errors
    /// The guest's reason when it failed, [`Code::TimedOut`] when it does not answer within `limit`.
    pub(crate) async fn ask(&self, request: Request, limit: Duration) -> Result<()> {
        let socket = self.socket.clone();
        tokio::task::spawn_blocking(move || converse(&socket, request, limit))
            .await
            .context(|| "cannot talk to the guest".into())?
    }
}

impl Request {
    fn line(self) -> String {
        let now = Timestamp::now();
        let clock = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        match self {
            Self::Identity => format!("identity {clock}"),
            Self::Settle => "settle".to_owned(),
            Self::Flush => "flush".to_owned(),
            Self::Grow => "grow".to_owned(),
        }
    }
}

/// Answers to earlier questions, and to those of an earlier supervisor, have other numbers.
fn next_number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let start = u32::try_from(Timestamp::now().as_millisecond() & 0xff_ffff).unwrap_or_default();
    start.wrapping_mul(64).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed))
}

fn converse(socket: &Path, request: Request, limit: Duration) -> Result<()> {
    let failed = || format!("cannot ask the guest for {request:?}");
    let deadline = Instant::now() + limit;
    let stream = connect(socket, deadline).context(failed)?;
    stream.set_read_timeout(Some(GLANCE)).context(failed)?;
    let number = next_number();
    (&stream).write_all(format!("{number} {}\n", request.line()).as_bytes()).context(failed)?;
    let mut reader = BufReader::new(&stream);
    let mut line = Vec::new();
    loop {
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Err(Error::other(failed()).because("the channel was closed")),
            Ok(_) if line.ends_with(b"\n") => {
                if let Some(answer) = answer_to(number, &line) {
                    return answer.map_err(|reason| Error::other(failed()).because(reason));
                }
                line.clear();
            }
            // The rest of the line may still come.
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context(failed),
        }
        if Instant::now() >= deadline {
            return Err(Error::new(Code::TimedOut, failed()).because(format!("no answer within {limit:?}")));
        }
        if line.len() > 64 << 10 {
            return Err(Error::other(failed()).because("what comes from the guest is no answer"));
        }
    }
}

fn connect(socket: &Path, deadline: Instant) -> std::io::Result<UnixStream> {
    let deadline = deadline.min(Instant::now() + CONNECT);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What `line` says of the request `number`; `None` when it speaks of something else. It comes from the guest: anything.
fn answer_to(number: u32, line: &[u8]) -> Option<Result<(), String>> {
    let text = String::from_utf8_lossy(line);
    // An echo, or whatever was in the line before, may stand in front.
    let (_, answer) = text.split_once(ANSWER)?;
    let (of, said) = answer.trim_end().split_once(' ')?;
    if of != number.to_string() {
        return None;
    }
    Some(match said {
        "done" => Ok(()),
        other => Err(other.chars().filter(|c| !c.is_control()).take(500).collect()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_belongs_to_its_question_and_says_why_it_failed() {
        assert_eq!(answer_to(7, b"machine-guest: 7 done\r\n"), Some(Ok(())));
        assert_eq!(answer_to(7, b"7 settle\rmachine-guest: 7 done\n"), Some(Ok(())));
        assert_eq!(answer_to(7, b"machine-guest: 6 done\n"), None);
        assert_eq!(answer_to(7, b"machine-guest: seed applied\n"), None);
        assert_eq!(answer_to(7, b"machine-guest: 7 failed: no\x1b disk\n"), Some(Err("failed: no disk".into())));
    }

    proptest! {
        #[test]
        fn any_line_of_a_guest_is_survived(line: Vec<u8>, number: u32) {
            let _ = answer_to(number, &line);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_guest_that_answers_late_or_not_at_all_or_badly_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("c");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for answer in [Some("done"), Some("failed: data: not ext4"), None] {
                let (mut client, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(client.try_clone().unwrap()).read_line(&mut line).unwrap();
                let number = line.split(' ').next().unwrap().to_owned();
                if let Some(answer) = answer {
                    let text = format!("noise\nmachine-guest: 0 done\nmachine-guest: {number} {answer}\n");
                    let (first, second) = text.as_bytes().split_at(20);
                    client.write_all(first).unwrap();
                    std::thread::sleep(Duration::from_millis(300));
                    client.write_all(second).unwrap();
                } else {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        });
        let channel = Channel::at(socket);
        channel.ask(Request::Settle, Duration::from_secs(10)).await.unwrap();
        let error = channel.ask(Request::Grow, Duration::from_secs(10)).await.unwrap_err();
        assert!(error.to_string().contains("not ext4"), "{error}");
        let error = channel.ask(Request::Flush, Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(error.code(), Code::TimedOut);
    }
}
