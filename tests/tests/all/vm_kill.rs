//! `kill -9`, for real.

use std::time::Duration;

use machine_tests::{Scene, process, until};

use crate::vm_life::{create, docker, import_busybox, slowly};

#[test]
fn vm_kill_minus_nine_of_the_supervisor_and_of_qemu_loses_nothing() {
    let scene = Scene::real();
    create(&scene, "dev");
    import_busybox(&scene, "dev");
    docker(
        &scene,
        "dev",
        "docker run -d --name busy box sleep 100000 && docker run --rm -v keep:/v box sh -c 'echo kept > /v/file'",
    )
    .ok();

    // The supervisor: the machine does not notice.
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    supervisor.kill();
    until("the supervisor to end", Duration::from_secs(5), || process(supervisor.pid).is_none().then_some(()));
    assert_eq!(scene.run("ls --format json").ok().json()[0]["state"], "Running");
    assert_eq!(docker(&scene, "dev", "docker ps --format '{{.Names}}'").ok().line(), "busy");
    scene.run("ssh dev true").ok();
    assert_eq!(scene.qemu("dev"), qemu);
    slowly(&scene, "restart dev").ok().does_not_say("by force");
    assert_ne!(scene.supervisor("dev"), supervisor);
    assert_eq!(docker(&scene, "dev", "docker run --rm -v keep:/v box cat /v/file").ok().line(), "kept");

    // QEMU: as a power cut. What was written and synced is there afterwards.
    docker(&scene, "dev", "docker run --rm -v keep:/v box sh -c 'echo after > /v/second; sync'").ok();
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    qemu.kill();
    until("the supervisor to end", Duration::from_secs(10), || process(supervisor.pid).is_none().then_some(()));
    let status = scene.run("status dev");
    assert!(matches!(status.ok().line(), "Stopped" | "Error"), "{status}");
    status.says("SIGKILL");
    scene.run("url dev").exits(1).says("Host is not running");
    slowly(&scene, "start dev").ok();
    assert_eq!(
        docker(&scene, "dev", "docker run --rm -v keep:/v box cat /v/file /v/second").ok().text(),
        "kept\nafter\n"
    );
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
