//! Ports of containers on this computer, with an engine that is played.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use machine_tests::{Scene, page, process, until};
use serde_json::Value;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Three ports in a row that nobody has.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        if first < 65_000 && (first..first + 3).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return first;
        }
    }
}

/// The ports of `dev`, once they are as many as wanted and `done`.
#[track_caller]
fn rows(scene: &Scene, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    until("the ports to be as wanted", LIMIT, || {
        let rows = scene.run("ports dev --format json").ok().json().as_array().unwrap().clone();
        done(&rows).then_some(rows)
    })
}

fn is(state: &str) -> impl Fn(&Value) -> bool {
    move |row| row["state"]["state"] == state
}

#[test]
fn published_ports_are_listed_opened_and_opened_again_by_the_next_supervisor() {
    let mut scene = Scene::new();
    let first = free_ports();
    let mine = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
    scene.set("FAKE_QEMU", format!("containers=3 first-port={first}"));
    scene.run("create dev").ok();
    // The last one does not run.
    let two = rows(&scene, |rows| rows.len() == 2 && is("open")(&rows[0]) && is("taken")(&rows[1]));
    assert_eq!((two[0]["port"].as_u64(), two[0]["container"].as_str()), (Some(first.into()), Some("web-0")));
    assert_eq!(page((Ipv4Addr::LOCALHOST, first).into()).unwrap(), "played\n");
    let text = scene.run("ports dev").ok().text().to_owned();
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    let warnings = scene.run("ls --format json").ok().json()[0]["warnings"].to_string();
    assert!(warnings.contains(&format!("port {}/tcp of container web-1 is taken", first + 1)), "{warnings}");
    drop(mine);
    rows(&scene, |rows| rows.len() == 2 && rows.iter().all(is("open")));

    let supervisor = scene.supervisor("dev");
    supervisor.kill();
    until("the supervisor to end", LIMIT, || process(supervisor.pid).is_none().then_some(()));
    rows(&scene, |rows| rows.len() == 2 && rows.iter().all(is("open")));
    assert_eq!(page((Ipv4Addr::LOCALHOST, first).into()).unwrap(), "played\n");
    let events = scene.run("logs --events -n 1000 dev").ok().text().to_owned();
    assert!(events.contains("\"event\":\"port\"") && events.contains("\"state\":\"taken\""), "{events}");

    scene.run("stop dev").ok();
    TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
    scene.run("ports dev").exits(1).says("Host is not running").fails_clearly();
}

#[test]
fn ports_of_machines_that_are_not_there_or_here_are_refused_with_what_to_do() {
    let scene = Scene::new();
    scene.run("ports nowhere").exits(1).says("\"nowhere\" does not exist");
    scene.run("create dev").ok();
    assert_eq!(scene.run("ports dev --format json").ok().json(), serde_json::json!([]));
    scene.run("tunnel dev").exits(1).says("are on this computer anyway").says("machine ports dev").fails_clearly();
}
