//! `rename`: by a played QEMU, and by a crash after each of its steps.

use machine_tests::Scene;

#[test]
fn a_machine_that_is_off_gets_another_name_and_is_all_that_it_was() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let token = scene.record("dev")["driver_state"]["token"].clone();
    scene.run("rename dev web").exits(1).prints_nothing().fails_clearly().says("is Running").says("machine stop dev");
    scene.run("use dev").ok();
    scene.run("stop dev").ok();
    scene.run("create other --no-wait").ok();
    scene.run("rename dev other").exits(1).fails_clearly().says("Docker machine \"other\" already exists");
    scene.run("rename dev dev").exits(2).says("has that name already");
    scene.run("rename dev no_name").exits(2).fails_clearly();
    scene.run("rename none web").exits(1).says("Docker machine \"none\" does not exist");

    scene
        .run("rename dev web")
        .ok()
        .prints_nothing()
        .says("Machine \"dev\" is \"web\" now.")
        .says("then `machine use web`");
    assert_eq!(scene.run("ls -q").ok().text(), "other\nweb\n");
    assert_eq!(scene.record("web")["driver_state"]["token"], token);
    let names = |context: &str| {
        scene
            .program("grep")
            .args(["-rl", &format!("\"Name\":\"{context}\"")])
            .args([scene.path("docker")])
            .run()
            .code()
            == 0
    };
    assert!(!names("dev"), "no context of the old name is left");
    scene.run("start web").ok();
    assert!(names("web"));
    assert_eq!(scene.status("web"), "Running");
    scene.run("create dev --no-wait").ok();
    scene.run("rm -y dev web").ok();
    scene.nothing_is_left_of("web");
}

#[test]
fn after_a_crash_at_any_step_the_machine_has_one_of_the_two_names_and_is_whole() {
    for (checkpoint, name) in [("rename-begun", "dev"), ("rename-moved", "web"), ("renamed", "web")] {
        let scene = Scene::new();
        scene.run("create dev").ok();
        scene.run("stop dev").ok();
        let crash = scene.command(["rename", "dev", "web"]).env("MACHINE_TEST_CRASH_AFTER", checkpoint).run();
        crash.exits(137);
        assert_eq!(scene.run("ls -q").ok().line(), name, "after {checkpoint}");
        assert_eq!(scene.status(name), "Stopped", "after {checkpoint}");
        if name == "dev" {
            scene.run("rename dev web").ok();
        }
        scene.run("start web").ok();
        scene.run("stop web").ok();
        scene.run("rename web dev").ok();
        scene.run("start dev").ok();
        assert_eq!(scene.status("dev"), "Running", "after {checkpoint}");
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
}
