use std::sync::mpsc;

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
