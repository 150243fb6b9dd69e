//! Machines that stand still for a while, and the socket that says so. QEMU and the engine are played.

use machine_tests::{Scene, until};

#[test]
fn a_paused_machine_says_so_everywhere_and_goes_on_by_resume_start_and_restart() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let qemu = scene.qemu("dev");
    let version = || scene.shell("bash", "docker --context dev version --format '{{.Server.Version}}'").run();
    assert_eq!(version().ok().line(), "26.1.5");
    scene.run("pause dev").ok().prints_nothing().says("Machine \"dev\" was paused");
    assert_eq!(scene.status("dev"), "Paused");
    let row = &scene.run("ls --format json").ok().json()[0];
    assert_eq!((row["state"].as_str(), row["error"].as_str()), (Some("Paused"), None), "{row}");
    scene.run("pause dev").exits(1).says("Machine \"dev\" is already paused.");
    let refused = version();
    refused.exits(1);
    assert!(
        refused.stderr.contains("machine \"dev\" is paused") && refused.stderr.contains("machine resume dev"),
        "{refused}"
    );
    scene.run("resume dev").ok().prints_nothing().says("Machine \"dev\" was resumed.");
    assert_eq!(scene.status("dev"), "Running");
    assert_eq!(version().ok().line(), "26.1.5");
    scene.run("resume dev").exits(1).says("Machine \"dev\" is already running.");

    for again in ["start dev", "restart dev"] {
        scene.run("pause dev").ok();
        scene.run(again).ok();
        assert_eq!(scene.status("dev"), "Running", "{again}");
    }
    scene.run("pause dev").ok();
    scene.run("stop dev").ok();
    assert_eq!(scene.status("dev"), "Stopped");
    assert_ne!(qemu.pid, 0);
    for command in ["pause dev", "resume dev"] {
        scene.run(command).exits(1).says("Host is not running").fails_clearly();
    }
}

#[test]
fn a_paused_machine_stays_so_when_its_supervisor_dies() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    scene.run("pause dev").ok();
    scene.supervisor("dev").kill();
    // The look that finds it orphaned brings a new supervisor, which finds it paused.
    until("it to be seen as paused", std::time::Duration::from_secs(20), || {
        (scene.status("dev") == "Paused").then_some(())
    });
    let refused = scene.shell("bash", "docker --context dev ps").run();
    assert!(refused.stderr.contains("machine \"dev\" is paused"), "{refused}");
    scene.run("resume dev").ok();
    scene.shell("bash", "docker --context dev ps").run().ok();
}
