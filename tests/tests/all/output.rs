//! Data to stdout, everything else to stderr; for people, for programs, or not at all.

use machine_tests::Scene;
use serde_json::Value;

fn events(stderr: &str) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stderr.lines().filter(|line| line.starts_with('{')).map(line).collect()
}

#[test]
fn progress_as_json_is_one_event_a_line() {
    let scene = Scene::new();
    let run = scene.run("--progress json create dev");
    run.ok().prints_nothing();
    let events = events(&run.stderr);
    assert_eq!(events.len(), run.stderr.lines().count(), "nothing but events: {run}");
    let mut last = 0;
    for event in &events {
        assert_eq!(event["machine"], "dev", "{event}");
        let elapsed = event["elapsed_ms"].as_u64().unwrap();
        assert!(elapsed >= last, "{event}");
        last = elapsed;
    }
    let stages: Vec<_> =
        events.iter().filter(|event| event["kind"] == "stage").map(|event| event["id"].as_str().unwrap()).collect();
    for stage in ["check", "identity", "disks", "start", "boot"] {
        assert!(stages.contains(&stage), "{stage} is not among {stages:?}");
    }
}

#[test]
fn quiet_says_nothing_but_warnings_and_failures() {
    let scene = Scene::new();
    let run = scene.run("--quiet create dev");
    run.ok().prints_nothing();
    assert!(run.stderr.lines().all(|line| line.contains("warning:")), "{run}");
    for line in ["stop -q dev", "start --quiet dev", "rm -q -y dev"] {
        let run = scene.run(line);
        run.ok().prints_nothing();
        assert!(run.stderr.lines().all(|line| line.contains("warning:")), "{run}");
    }
    scene.run("--quiet stop dev").exits(1).says("does not exist");
}

#[test]
fn verbose_shows_what_the_guest_prints() {
    let scene = Scene::new();
    let run = scene.run("--verbose create dev");
    run.ok().prints_nothing().says("Linux version 6.12.1-played");
}

#[test]
fn away_from_a_terminal_there_are_no_colours_and_no_redrawn_lines() {
    let scene = Scene::new();
    for line in ["create dev", "ls", "status dev", "doctor", "image ls", "stop dev", "stop dev", "rm -y dev"] {
        let run = scene.run(line);
        for text in [run.text(), &run.stderr] {
            assert!(!text.contains(['\u{1b}', '\r']), "{run}");
        }
    }
}

#[test]
fn debug_logs_to_stderr_only() {
    let scene = Scene::new();
    let run = scene.run("--debug create --no-wait dev");
    run.ok().prints_nothing().says("DEBUG");
    let list = scene.command(["ls", "--format", "json"]).env("MACHINE_DEBUG", "1").run();
    assert_eq!(list.ok().json()[0]["name"], "dev");
}

#[test]
fn logs_are_data() {
    let scene = Scene::new();
    scene.run("logs dev").exits(1).prints_nothing();
    scene.run("create dev").ok();
    assert!(scene.run("logs --serial dev").ok().text().contains("Linux version 6.12.1-played"));
    assert_eq!(scene.run("logs --serial -n 1 dev").ok().line(), "machine-guest: engine listening");
    let events = events(scene.run("logs --events dev").ok().text());
    assert!(events.iter().any(|event| event.to_string().contains("-nodefaults")), "QEMU's arguments are among them");
    scene.run("logs --qemu dev").ok();
    scene.run("logs dev").ok();
    let follow = scene.command(["logs", "--serial", "--follow", "dev"]).start();
    follow.prints("engine listening");
    scene.run("restart dev").ok();
    let text = follow.prints("played\nmachine-guest: seed applied\nmachine-guest: engine listening\n");
    assert!(text.contains("Linux version"), "{text}");
    follow.signal(rustix::process::Signal::INT);
    follow.finish();
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let scene = Scene::new();
    scene.run("create --no-wait dev").ok();
    let run = scene.shell("bash", "machine inspect dev | head -c 1; exit ${PIPESTATUS[0]}").run();
    assert!(matches!(run.code(), 0 | 141), "{run}");
    assert_eq!(run.stderr, "", "{run}");
}

#[test]
fn doctor_tells_of_the_qemu_that_would_be_used() {
    let scene = Scene::new();
    let run = scene.run("doctor");
    assert!(run.text().contains("10.0.2"), "{run}");
    let checks = scene.run("doctor --format json").json();
    assert!(checks.as_array().unwrap().len() >= 4, "{checks}");
    for check in checks.as_array().unwrap() {
        assert!(check["title"].is_string() && check["outcome"].is_string() && check["detail"].is_string(), "{check}");
    }
}
