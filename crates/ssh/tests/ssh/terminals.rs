use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use machine_core::Result;
use machine_ssh::{Attach, ExitStatus, Session, Tty};

use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(30);

/// A keyboard: what is sent to it is typed; when the sender is dropped, input ends.
struct Keyboard(Receiver<Vec<u8>>);

impl Read for Keyboard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Ok(keys) = self.0.recv() else { return Ok(0) };
        buffer[..keys.len()].copy_from_slice(&keys);
        Ok(keys.len())
    }
}

/// A screen that keeps what is shown and does something when it shows `ready`.
struct Screen<F: FnMut()> {
    shown: Vec<u8>,
    at_ready: Option<F>,
}

impl<F: FnMut()> Write for Screen<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shown.extend_from_slice(bytes);
        if String::from_utf8_lossy(&self.shown).contains("ready")
            && let Some(mut act) = self.at_ready.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tty(columns: u32, rows: u32) -> Option<Tty> {
    Some(Tty { term: "xterm-256color".into(), columns, rows })
}

fn keyboard() -> (Sender<Vec<u8>>, Box<Keyboard>) {
    let (sender, receiver) = channel();
    (sender, Box::new(Keyboard(receiver)))
}

fn attach(command: &str, tty: Option<Tty>, stdin: Box<dyn Read + Send>, stdout: &mut dyn Write) -> Result<ExitStatus> {
    let server = Server::start();
    let mut session = Session::connect(&server.target(), LIMIT)?;
    let command = Some(command.to_owned());
    session.attach(Attach { command, tty, stdin, stdout, stderr: &mut io::sink(), size: None })
}

#[test]
fn a_terminal_has_the_size_and_kind_that_were_asked_for() {
    let (_keys, keyboard) = keyboard();
    let mut shown = Vec::new();
    let status = attach("tty; stty size; echo $TERM; exit 9", tty(101, 37), keyboard, &mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("/dev/pts/") && shown.contains("37 101") && shown.contains("xterm-256color"), "{shown}");
    assert_eq!(status, ExitStatus::Code(9));
}

#[test]
fn without_a_terminal_the_streams_are_apart_and_the_end_of_input_is_told() {
    let server = Server::start();
    let mut session = Session::connect(&server.target(), LIMIT).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let status = session
        .attach(Attach {
            command: Some("tty >&2; cat; echo end >&2; exit 4".into()),
            tty: None,
            stdin: Box::new(io::Cursor::new(bytes.clone())),
            stdout: &mut stdout,
            stderr: &mut stderr,
            size: None,
        })
        .unwrap();
    assert_eq!(status, ExitStatus::Code(4));
    assert!(stdout == bytes, "{} bytes of {}", stdout.len(), bytes.len());
    assert_eq!(stderr, b"not a tty\nend\n");
}

#[test]
fn ctrl_c_goes_through_as_a_byte_and_interrupts_there() {
    let (keys, keyboard) = keyboard();
    let mut screen = Screen { shown: Vec::new(), at_ready: Some(|| keys.send(vec![3]).unwrap()) };
    let command = "trap 'echo caught; exit 42' INT; echo ready; while :; do sleep 0.1; done";
    let status = attach(command, tty(80, 24), keyboard, &mut screen).unwrap();
    assert_eq!(status, ExitStatus::Code(42), "{}", String::from_utf8_lossy(&screen.shown));
}

#[test]
fn a_login_shell_runs_what_is_typed_and_ends_with_its_code() {
    let server = Server::start();
    let mut session = Session::connect(&server.target(), LIMIT).unwrap();
    let (keys, stdin) = keyboard();
    keys.send(b"echo sum=$((40 + 2)); exit 6\n".to_vec()).unwrap();
    let mut stdout = Vec::new();
    let status = session
        .attach(Attach {
            command: None,
            tty: tty(80, 24),
            stdin,
            stdout: &mut stdout,
            stderr: &mut io::sink(),
            size: None,
        })
        .unwrap();
    assert_eq!(status, ExitStatus::Code(6));
    assert!(String::from_utf8_lossy(&stdout).contains("sum=42"), "{}", String::from_utf8_lossy(&stdout));
}

#[test]
fn a_change_of_the_local_size_reaches_the_other_side() {
    let server = Server::start();
    let mut session = Session::connect(&server.target(), LIMIT).unwrap();
    let larger = Arc::new(AtomicBool::new(false));
    let (at_ready, asked) = (larger.clone(), larger.clone());
    let (_keys, stdin) = keyboard();
    let mut screen = Screen { shown: Vec::new(), at_ready: Some(|| at_ready.store(true, Ordering::SeqCst)) };
    let size = || Some(if asked.load(Ordering::SeqCst) { (132, 43) } else { (80, 24) });
    let command = "stty size; echo ready; for i in $(seq 200); do \
                   [ \"$(stty size)\" = '43 132' ] && exit 0; sleep 0.1; done; exit 1";
    let status = session
        .attach(Attach {
            command: Some(command.into()),
            tty: tty(80, 24),
            stdin,
            stdout: &mut screen,
            stderr: &mut io::sink(),
            size: Some(&size),
        })
        .unwrap();
    assert_eq!(status, ExitStatus::Code(0), "{}", String::from_utf8_lossy(&screen.shown));
    assert!(String::from_utf8_lossy(&screen.shown).contains("24 80"));
}

#[test]
fn a_reader_that_has_gone_ends_the_command_as_a_broken_pipe_does() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_keys, keyboard) = keyboard();
    let status = attach("yes", None, keyboard, &mut Gone).unwrap();
    assert_eq!(status.code(), 141);
}
