use std::sync::mpsc;
use std::time::Duration;

use machine_docker::{ContainerId, Engine};

use crate::authority::Authority;
use crate::engine::target;
use crate::scripted_engine::{ScriptedEngine, response};

const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// An engine whose terminals show `shown` and end, and what it is asked for.
fn engine(shown: &'static str) -> (ScriptedEngine, Engine, mpsc::Receiver<String>) {
    let store = Authority::new();
    let (tell, asked) = mpsc::channel();
    let scripted = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, move |line| {
        tell.send(line.to_owned()).unwrap();
        if line.starts_with("POST /containers/0123456789ab/exec HTTP/1.1") {
            response("201 Created", r#"{"Id":"feed"}"#)
        } else if line.contains(r#""Tty":true"#) && shown.is_empty() {
            response("409 Conflict", r#"{"message":"container is paused"}"#)
        } else if line.contains(r#""Tty":true"#) {
            format!("{UPGRADED}{shown}")
        } else {
            response("200 OK", "")
        }
    });
    let engine = Engine::connect(&target(scripted.address, &store, &store.client())).unwrap();
    (scripted, engine, asked)
}

fn container() -> ContainerId {
    "0123456789ab".parse().unwrap()
}

#[tokio::test]
async fn a_terminal_shows_bytes_as_they_are_even_those_that_begin_a_frame_elsewhere() {
    let (_scripted, engine, _asked) = engine("\u{1}\0\0\0\u{7f}\u{7f}\u{7f}\u{7f}ELF");
    let (_input, mut output) = engine.terminal(&container(), &["sh"], (80, 24)).await.unwrap();
    let mut shown = Vec::new();
    while let Some(piece) = output.next().await.unwrap() {
        shown.extend(piece);
    }
    assert_eq!(shown, b"\x01\0\0\0\x7f\x7f\x7f\x7fELF");
}

#[tokio::test]
async fn a_terminal_that_the_engine_refuses_says_its_reason() {
    let (_scripted, engine, _asked) = engine("");
    let error = engine.terminal(&container(), &["sh"], (80, 24)).await.err().unwrap();
    assert!(error.to_string().contains("409: container is paused"), "{error}");
}

/// The value of a terminal's mark in the request that makes it.
fn mark(request: &str) -> &str {
    let (_, after) = request.split_once("MACHINE_TERMINAL=").unwrap();
    after.split(['"', ' ']).next().unwrap()
}

#[tokio::test]
async fn whoever_leaves_a_terminal_hangs_up_on_what_runs_in_it_and_on_nothing_else() {
    let (_scripted, engine, asked) = engine("# ");
    let ask = || asked.recv_timeout(Duration::from_secs(20)).unwrap();
    let (_input, mut output) = engine.terminal(&container(), &["sh"], (80, 24)).await.unwrap();
    let made = ask();
    assert!(ask().starts_with("POST /exec/feed/start"));
    assert_eq!(output.next().await.unwrap().unwrap(), b"# ");
    drop(output);
    let hung_up = ask();
    assert!(hung_up.starts_with("POST /containers/0123456789ab/exec") && hung_up.contains("kill -HUP"), "{hung_up}");
    assert_eq!(mark(&hung_up), mark(&made));
    assert!(ask().contains(r#""Detach":true"#));
    let (_input, _output) = engine.terminal(&container(), &["sh"], (80, 24)).await.unwrap();
    assert_ne!(mark(&ask()), mark(&made));
}

#[tokio::test]
async fn a_terminal_whose_shell_ended_leaves_what_it_began_alone() {
    let (_scripted, engine, asked) = engine("bye");
    let (_input, mut output) = engine.terminal(&container(), &["sh"], (80, 24)).await.unwrap();
    while output.next().await.unwrap().is_some() {}
    drop(output);
    assert_eq!(asked.try_iter().count(), 2);
    let more = asked.recv_timeout(Duration::from_millis(500));
    assert!(more.is_err(), "{more:?}");
}
