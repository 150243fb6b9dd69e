//! The part of the crash table in which a real QEMU runs, or is about to.

use machine_tests::Scene;

use crate::crash::{CHECKPOINTS, crash, real_checkpoints};
use crate::vm_life::{docker, slowly};

const SIZE: [&str; 4] = ["--cpus", "2", "--memory", "1g"];

#[test]
fn vm_a_creation_that_died_while_the_machine_came_up_is_carried_on_or_removed() {
    let scene = Scene::real();
    let states = |wanted: &str| CHECKPOINTS.iter().find(|(name, _)| *name == wanted).unwrap().1;

    // Removed, with everything that runs.
    for checkpoint in ["created", "process", "ports"] {
        crash(&scene, checkpoint, states(checkpoint), &[&SIZE[..], &["--no-wait"]].concat());
        scene.run("rm -f -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
    // Carried on: the machine that boots is the one that becomes ready.
    crash(&scene, "ports", states("ports"), &SIZE);
    let qemu = scene.qemu("dev");
    let run = slowly(&scene, "--progress json create dev --cpus 2 --memory 1g");
    run.ok();
    assert_eq!(scene.qemu("dev"), qemu);
    assert_eq!(real_checkpoints(&run.stderr), ["ready"]);
    docker(&scene, "dev", "docker info").ok();
    slowly(&scene, "create dev").exits(1).says("already exists");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
