//! A program that is run with a time limit, and what came of it.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a command may take that nothing else was said of.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that is about to be run.
pub struct Invocation {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

/// A command that runs.
pub struct Running {
    child: Child,
    shown: String,
    begun: Instant,
    limit: Duration,
    output: Arc<Output>,
    /// Kept open until it is closed or the command ended.
    stdin: Option<std::process::ChildStdin>,
}

/// What a command did.
pub struct Run {
    /// The command line, as people would type it.
    pub shown: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote as data.
    pub stdout: Vec<u8>,
    /// What it told people.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// What came out so far.
#[derive(Default)]
struct Output {
    streams: Mutex<Streams>,
    changed: Condvar,
}

#[derive(Default)]
struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: u8,
}

impl Invocation {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, stdin: Vec::new(), limit: LIMIT }
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// One variable less.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// What it reads; nothing unless said.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The folder that it runs in.
    #[must_use]
    pub fn folder(mut self, folder: &std::path::Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Run {
        let bytes = std::mem::take(&mut self.stdin);
        let mut running = self.start();
        let stdin = running.stdin.take();
        // By a thread of its own: a command that does not read must not hold us.
        std::thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                let _the_command_may_not_want_it = stdin.write_all(&bytes);
            }
        });
        running.finish()
    }

    /// Starts it; its standard input stays open.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let shown = shown(&self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
        let output = Arc::new(Output::default());
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        collect(stdout, &output, |streams| &mut streams.stdout);
        collect(stderr, &output, |streams| &mut streams.stderr);
        let stdin = child.stdin.take();
        Running { child, shown, begun: Instant::now(), limit: self.limit, output, stdin }
    }
}

fn collect(mut stream: impl Read + Send + 'static, output: &Arc<Output>, which: fn(&mut Streams) -> &mut Vec<u8>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            // A test that failed while it looked says so itself.
            let mut streams = output.streams.lock().unwrap_or_else(PoisonError::into_inner);
            if count == 0 {
                streams.ended += 1;
                output.changed.notify_all();
                return;
            }
            which(&mut streams).extend_from_slice(&buffer[..count]);
            output.changed.notify_all();
        }
    });
}

fn shown(command: &Command) -> String {
    let word = |word: &OsStr| {
        let text = word.to_string_lossy();
        if text.is_empty() || text.contains([' ', '"', '\'', '$', '\n']) {
            format!("{text:?}")
        } else {
            text.into_owned()
        }
    };
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    std::iter::once(name).chain(command.get_args().map(word)).collect::<Vec<_>>().join(" ")
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Gives it bytes to read.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Waits until its standard error has `text`.
    #[track_caller]
    pub fn says(&self, text: &str) {
        self.wait_for(text, 0, |streams| &streams.stderr);
    }

    /// Waits until its standard output has `text`; returns all that it had then.
    #[track_caller]
    pub fn prints(&self, text: &str) -> String {
        self.wait_for(text, 0, |streams| &streams.stdout).0
    }

    /// Waits until its standard output has `text` somewhere after the first `from` bytes; returns where that ends.
    #[track_caller]
    pub(crate) fn prints_after(&self, from: usize, text: &str) -> usize {
        self.wait_for(text, from, |streams| &streams.stdout).1
    }

    #[track_caller]
    fn wait_for(&self, text: &str, from: usize, which: fn(&Streams) -> &Vec<u8>) -> (String, usize) {
        let mut streams = self.output.streams.lock().unwrap();
        loop {
            let all = which(&streams);
            if let Some(at) = all[from..].windows(text.len()).position(|window| window == text.as_bytes()) {
                return (String::from_utf8_lossy(all).into_owned(), from + at + text.len());
            }
            let left = self.limit.saturating_sub(self.begun.elapsed());
            assert!(
                !left.is_zero() && streams.ended < 2,
                "{} never said {text:?}. It said\n{}\n{}",
                self.shown,
                String::from_utf8_lossy(&streams.stdout),
                String::from_utf8_lossy(&streams.stderr)
            );
            streams = self.output.changed.wait_timeout(streams, left).unwrap().0;
        }
    }

    /// Closes its standard input and waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Run {
        drop(self.stdin.take());
        let mut streams = self.output.streams.lock().unwrap();
        while streams.ended < 2 {
            let left = self.limit.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                drop(streams);
                self.too_late();
            }
            streams = self.output.changed.wait_timeout(streams, left).unwrap().0;
        }
        let (stdout, stderr) = (std::mem::take(&mut streams.stdout), std::mem::take(&mut streams.stderr));
        drop(streams);
        // Its output is closed: it has ended, or is about to.
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if self.begun.elapsed() > self.limit => self.too_late(),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        Run {
            shown: self.shown,
            status,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            elapsed: self.begun.elapsed(),
        }
    }

    #[track_caller]
    fn too_late(&mut self) -> ! {
        let ended = self.child.try_wait().unwrap();
        let _it_may_have_ended = self.child.kill();
        let _status = self.child.wait();
        let streams = self.output.streams.lock().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&streams.stdout), String::from_utf8_lossy(&streams.stderr));
        drop(streams);
        let how = match ended {
            Some(_) => "ended, but a process that it left behind holds its output open",
            None => "did not end",
        };
        panic!("{} {how} within {} s. It said\n{said}", self.shown, self.limit.as_secs());
    }
}

impl Run {
    /// The exit code; 128 and the signal's number when one ended it, as shells count.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap()
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "exit code of {self}");
        self
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.exits(0)
    }

    /// Asserts that standard output is empty: what failed has no data.
    #[track_caller]
    pub fn prints_nothing(&self) -> &Self {
        assert!(self.stdout.is_empty(), "standard output of {self}");
        self
    }

    /// Asserts that standard error has `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is missing on standard error of {self}");
        self
    }

    /// Asserts that standard error does not have `text`.
    #[track_caller]
    pub fn does_not_say(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "{text:?} is on standard error of {self}");
        self
    }

    /// Asserts one `error:` line, and a hint what to do next; nobody wants a panic or a chain of reports.
    #[track_caller]
    pub fn fails_clearly(&self) -> &Self {
        let errors = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "one error line of {self}");
        assert!(self.stderr.lines().any(|line| line.starts_with("hint:")), "a hint of {self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// Standard output as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|error| panic!("{error} on standard output of {self}"))
    }

    /// The only line of standard output.
    #[track_caller]
    pub fn line(&self) -> &str {
        let text = self.text().strip_suffix('\n').unwrap_or_else(|| panic!("no line on standard output of {self}"));
        assert!(!text.contains('\n'), "more than a line on standard output of {self}");
        text
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: standard output of {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ({}, {:.1} s)", self.shown, self.status, self.elapsed.as_secs_f32())?;
        for (name, stream) in [("stdout", &*self.stdout), ("stderr", self.stderr.as_bytes())] {
            let mut text = String::from_utf8_lossy(&stream[..stream.len().min(4000)]).into_owned();
            if stream.len() > 4000 {
                write!(text, "... ({} bytes)", stream.len())?;
            }
            text.lines().try_for_each(|line| writeln!(f, "  {name}| {line}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
