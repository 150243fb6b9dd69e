//! The crash table: `create` dies after each of its checkpoints, one by one. Each time the truth shows, and `rm` and another
//! `create` both work.

use std::collections::BTreeSet;
use std::time::Duration;

use machine_tests::{Process, Scene, listeners};
use serde_json::Value;

/// The checkpoints of a creation in their order, and the states that `ls` may show when it died right after.
pub const CHECKPOINTS: &[(&str, &[&str])] = &[
    ("reserved", &["Error"]),
    ("identity", &["Error"]),
    ("disks", &["Error"]),
    ("created", &["Stopped"]),
    // QEMU is about to be started, by a supervisor that lives on or was never started.
    ("process", &["Stopped", "Starting", "Running"]),
    ("ports", &["Running"]),
    ("ready", &["Running"]),
];

/// The checkpoints that a creation really goes through.
pub fn real_checkpoints(stderr: &str) -> Vec<String> {
    let events = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["kind"] == "checkpoint")
        .map(|event| event["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Kills a `create` of `dev` after the checkpoint, and checks that `ls` tells the truth.
#[track_caller]
pub fn crash(scene: &Scene, checkpoint: &str, states: &[&str], more: &[&str]) {
    let words = ["create", "dev"].iter().chain(more);
    let run = scene.command(words).env("MACHINE_TEST_CRASH_AFTER", checkpoint).limit(Duration::from_secs(180)).run();
    // SIGKILL.
    run.exits(137).prints_nothing();
    assert_eq!(scene.run("ls -q").ok().line(), "dev");
    let list = scene.command(["ls", "--timeout", "5", "--format", "json"]).run();
    let row = &list.ok().json()[0];
    let state = row["state"].as_str().unwrap();
    assert!(states.contains(&state), "after {checkpoint}: {row}");
    let processes = scene.processes();
    match state {
        "Running" => {
            assert!(processes.iter().any(|process| process.command.contains("-nodefaults")), "{row}: {processes:?}");
        }
        "Error" => {
            assert!(row["error"].as_str().unwrap().contains("creation was interrupted"), "{row}");
            assert_eq!(processes, [], "{row}");
        }
        _ => {}
    }
}

#[test]
fn the_crash_table_has_every_checkpoint_of_a_creation() {
    let scene = Scene::new();
    let run = scene.run("--progress json create dev");
    let table: Vec<_> = CHECKPOINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(real_checkpoints(&run.ok().stderr), table);
}

#[test]
fn after_a_crash_at_any_checkpoint_rm_leaves_nothing_and_the_name_is_free() {
    for (checkpoint, states) in CHECKPOINTS {
        let scene = Scene::new();
        crash(&scene, checkpoint, states, &[]);
        let ports: BTreeSet<_> = scene.processes().iter().flat_map(Process::listens_on).collect();
        scene.run("rm -f -y dev").ok();
        scene.nothing_is_left_of("dev");
        assert!(listeners().is_disjoint(&ports), "after {checkpoint}: one of {ports:?} is open");
        scene.run("create dev").ok();
        assert_eq!(scene.status("dev"), "Running", "after {checkpoint}");
    }
}

#[test]
fn after_a_crash_at_any_checkpoint_rm_without_force_works_too() {
    for (checkpoint, states) in CHECKPOINTS {
        let scene = Scene::new();
        crash(&scene, checkpoint, states, &[]);
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
}

#[test]
fn after_a_crash_at_any_checkpoint_a_second_create_completes_the_machine() {
    for (checkpoint, states) in CHECKPOINTS {
        let scene = Scene::new();
        crash(&scene, checkpoint, states, &[]);
        let run = scene.run("create dev");
        if *checkpoint == "ready" {
            run.exits(1).says("already exists");
        } else {
            run.ok();
        }
        let list = scene.run("ls --format json").ok().json();
        assert_eq!(list[0]["state"], "Running", "after {checkpoint}: {list}");
        assert_eq!(list[0]["docker_version"], "v26.1.5", "after {checkpoint}: {list}");
        assert_eq!(scene.processes().len(), 2, "one supervisor, one QEMU after {checkpoint}: {:?}", scene.processes());
        scene.run("stop dev").ok();
        scene.run("start dev").ok();
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
}

#[test]
fn a_crash_in_a_start_or_a_removal_is_made_good_by_the_next_command() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    scene.run("stop dev").ok();
    // No `ports`: those of the last run are taken again.
    for checkpoint in ["process", "ready"] {
        scene.command(["start", "dev"]).env("MACHINE_TEST_CRASH_AFTER", checkpoint).run().exits(137);
        // `start` of a machine that runs and was ready says so; of one that does not, starts it.
        let again = scene.run("start dev");
        assert!(again.code() == 0 || again.stderr.contains("already running"), "after {checkpoint}: {again}");
        assert_eq!(scene.status("dev"), "Running", "after {checkpoint}");
        assert_eq!(scene.processes().len(), 2, "{:?}", scene.processes());
        scene.run("stop dev").ok();
    }
    scene.run("start dev").ok();
    let rm = scene.command(["rm", "-y", "dev"]).start();
    rm.says("Removing dev");
    rm.signal(rustix::process::Signal::KILL);
    rm.finish();
    if scene.run("ls -q").ok().text() == "dev\n" {
        scene.run("rm -y dev").ok();
    }
    scene.run("create dev --no-wait").ok();
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
