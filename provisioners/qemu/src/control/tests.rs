//! Both sides of the socket against each other, and against strangers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use machine_core::Code;
use tokio::sync::{broadcast, mpsc, watch};

use super::server::{Board, Command, Control, Notices};
use super::wire::{Call, Reply, RunState, Status};
use super::{ask, is_listening};

const LIMIT: Duration = Duration::from_secs(10);

struct Desk {
    dir: tempfile::TempDir,
    board: watch::Sender<Board>,
    notices: Notices,
    commands: mpsc::UnboundedReceiver<Command>,
    control: Control,
}

impl Desk {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let status = Status {
            state: RunState::Starting,
            pid: 7,
            qemu: None,
            accelerator: None,
            warnings: Vec::new(),
            ports: None,
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        let (board, seen) = watch::channel(Board { status, end: None, setbacks: Vec::new() });
        let (notices, _) = broadcast::channel(8);
        let (sender, commands) = mpsc::unbounded_channel();
        // What a crash left behind is no obstacle.
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("c")).unwrap());
        let control = Control::listen(&dir.path().join("c"), seen, notices.clone(), sender, None).unwrap();
        Self { dir, board, notices, commands, control }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("c")
    }

    fn set(&self, state: RunState) {
        self.board.send_modify(|board| board.status.state = state);
    }
}

#[tokio::test]
async fn a_status_comes_at_once_and_a_wait_ends_when_the_machine_runs() {
    let desk = Desk::open();
    assert!(is_listening(&desk.socket()));
    let Reply::Status(status) = ask(&desk.socket(), Call::Status, LIMIT, drop).await.unwrap() else { panic!() };
    assert_eq!(status.state, RunState::Starting);
    let (socket, (line, heard)) = (desk.socket(), std::sync::mpsc::channel());
    let waiting =
        tokio::spawn(async move { ask(&socket, Call::WaitRunning, LIMIT, move |text| line.send(text).unwrap()).await });
    // A notice without listener is an error: it is repeated until somebody hears it.
    while desk.notices.send("looking".into()).is_err() {
        tokio::task::yield_now().await;
    }
    desk.set(RunState::Running);
    assert!(matches!(waiting.await.unwrap().unwrap(), Reply::Status(Status { state: RunState::Running, .. })));
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["looking"]);
}

#[tokio::test]
async fn commands_reach_the_supervisor_and_their_clients_hear_the_end_even_after_the_door_is_closed() {
    let mut desk = Desk::open();
    let socket = desk.socket();
    let client = tokio::spawn(async move { ask(&socket, Call::Stop { deadline_ms: 1500 }, LIMIT, drop).await });
    assert_eq!(desk.commands.recv().await, Some(Command::Stop { deadline: Duration::from_millis(1500) }));
    let socket = desk.socket();
    let closed = desk.control.close().await;
    assert_eq!(ask(&socket, Call::Kill, LIMIT, drop).await.unwrap_err().code(), Code::NotRunning);
    assert!(!is_listening(&socket));
    desk.board.send_modify(|board| board.end = Some(Reply::Ended { forced: true }));
    assert_eq!(client.await.unwrap().unwrap(), Reply::Ended { forced: true });
    closed.finish().await;
}

#[tokio::test]
async fn strangers_and_newer_clients_are_told_and_harm_nobody() {
    let desk = Desk::open();
    for (line, answer) in [
        ("hello\n", "not a request"),
        ("{\"version\":1,\"call\":\"explode\"}\n", "not a request"),
        ("{\"version\":2,\"call\":\"status\"}\n", "speaks version 1"),
        ("\u{0}\n", "not a request"),
    ] {
        let socket = desk.socket();
        let heard = tokio::task::spawn_blocking(move || {
            let mut client = UnixStream::connect(socket).unwrap();
            client.write_all(line.as_bytes()).unwrap();
            let mut heard = String::new();
            client.read_to_string(&mut heard).unwrap();
            heard
        });
        let heard = heard.await.unwrap();
        assert!(heard.contains("\"reply\":\"failed\"") && heard.contains(answer), "{line}: {heard}");
    }
    let _silent = UnixStream::connect(desk.socket()).unwrap();
    assert!(matches!(ask(&desk.socket(), Call::Status, LIMIT, drop).await, Ok(Reply::Status(_))));
}
