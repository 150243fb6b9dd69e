//! What happens when a machine does not behave, and when the user loses patience.

use std::time::Duration;

use machine_tests::{Scene, until};
use rustix::process::Signal;

fn scene(fault: &str) -> Scene {
    let mut scene = Scene::new();
    scene.set("FAKE_QEMU", fault);
    scene
}

#[test]
fn a_guest_that_ignores_the_power_button_is_ended_by_force_with_a_word() {
    let scene = scene("deaf");
    scene.run("create dev").ok();
    scene.run("stop --timeout 1 dev").ok().says("ended by force").says("Machine \"dev\" was stopped.");
    assert_eq!(scene.status("dev"), "Stopped");
}

#[test]
fn a_qemu_that_does_not_start_is_quoted_and_what_was_made_can_be_used_again() {
    let mut scene = scene("dies");
    let run = scene.run("create dev");
    run.exits(1).prints_nothing().says("played: it cannot start today").says("machine rm dev").fails_clearly();
    assert_ne!(scene.status("dev"), "Running");
    scene.run("start dev").exits(1).says("played: it cannot start today");
    scene.unset("FAKE_QEMU");
    scene.run("create dev").ok();
    assert_eq!(scene.status("dev"), "Running");
}

#[test]
fn a_guest_that_panics_ends_the_wait_at_once_with_the_reason() {
    let scene = scene("panics");
    let run = scene.run("create dev --timeout 50");
    run.exits(1).prints_nothing().says("Kernel panic - not syncing: played").fails_clearly();
    assert!(run.elapsed < Duration::from_secs(25), "{run}");
    let row = &scene.run("ls --format json").ok().json()[0];
    assert!(row.to_string().contains("Kernel panic"), "{row}");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

#[test]
fn an_engine_that_does_not_answer_in_time_is_reported_with_the_console() {
    let scene = scene("mute");
    let run = scene.run("create dev --timeout 1");
    run.exits(1).prints_nothing().says("did not answer within 1 s").says("Linux version 6.12.1-played").fails_clearly();
    let list = scene.command(["ls", "--timeout", "1", "--format", "json"]).run();
    let row = &list.ok().json()[0];
    assert_eq!(row["state"], "Running", "{row}");
    assert!(row["error"].as_str().unwrap().contains("has not answered yet"), "{row}");
    assert!(row["url"].is_string(), "the row keeps its URL: {row}");
    // It may only be slow: another start waits again, and does not start a second QEMU.
    let qemu = scene.qemu("dev");
    scene.run("start dev --timeout 1").exits(1).says("did not answer within 1 s");
    assert_eq!(scene.qemu("dev"), qemu);
}

#[test]
fn a_machine_that_does_not_answer_costs_the_others_nothing() {
    let mut scene = Scene::new();
    scene.run("create good").ok();
    // One that has answered before: a machine that never did is known to be booting.
    scene.run("create mute").ok();
    scene.run("stop mute").ok();
    scene.set("FAKE_QEMU", "mute");
    scene.run("start mute --no-wait").ok();
    let list = scene.run("ls --timeout 1 --format json").ok().json();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["docker_version"].as_str()),
        (Some("good"), Some("v26.1.5")),
        "{list}"
    );
    assert_eq!((list[1]["state"].as_str(), list[1]["url"].is_string()), (Some("Timeout"), true), "{list}");
}

#[test]
fn ctrl_c_in_create_exits_with_130_and_what_is_there_can_be_removed_or_carried_on() {
    for second in ["rm -y dev", "create --no-wait dev"] {
        let scene = scene("mute");
        let create = scene.command(["create", "dev"]).start();
        create.says("Starting Docker Engine");
        create.signal(Signal::INT);
        let run = create.finish();
        run.exits(130).prints_nothing().says("machine rm dev").fails_clearly();
        assert_eq!(scene.status("dev"), "Running", "it was booting, and goes on");
        let qemu = scene.qemu("dev");
        scene.run(second).ok();
        if second.starts_with("rm") {
            scene.nothing_is_left_of("dev");
        } else {
            assert_eq!(scene.qemu("dev"), qemu, "nothing that ran is thrown away");
        }
    }
}

#[test]
fn ctrl_c_at_an_early_stage_leaves_nothing_that_a_second_create_stumbles_over() {
    let scene = Scene::new();
    for stage in ["Running pre-create checks", "Making keys and certificates", "Making disks", "Starting the machine"] {
        let create = scene.command(["create", "dev"]).start();
        create.says(stage);
        create.signal(Signal::INT);
        let run = create.finish();
        // It may have been over before the signal came.
        assert!(matches!(run.code(), 130 | 0), "{run}");
        if run.code() == 130 {
            scene.run("create dev").ok();
        }
        assert_eq!(scene.status("dev"), "Running");
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
}

#[test]
fn a_command_on_a_busy_machine_waits_for_the_other_and_says_for_whom() {
    let scene = scene("deaf");
    scene.run("create dev").ok();
    let stop = scene.command(["stop", "--timeout", "3", "dev"]).start();
    stop.says("Stopping dev");
    let waiting = scene.run("start dev --no-wait");
    waiting.ok().says(&format!("process {}", stop.pid()));
    stop.finish().ok();
    assert_eq!(scene.status("dev"), "Running");
}

#[test]
fn looking_at_a_machine_that_is_being_stopped_shows_that() {
    let scene = scene("deaf");
    scene.run("create dev").ok();
    let stop = scene.command(["stop", "--timeout", "6", "dev"]).start();
    until("the state Stopping", Duration::from_secs(5), || (scene.status("dev") == "Stopping").then_some(()));
    stop.finish().ok();
}
