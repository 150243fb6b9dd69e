//! Stores that are not as they should be.

use std::fs;

use machine_tests::{Mount, Record, Scene};
use serde_json::json;

#[test]
fn a_file_in_place_of_the_store_is_named_and_kept() {
    let mut scene = Scene::new();
    let file = scene.path("file");
    fs::write(&file, "precious").unwrap();
    scene.set("MACHINE_STORAGE_PATH", &file);
    for line in ["create dev", "ls", "start dev"] {
        let run = scene.run(line);
        run.exits(1).prints_nothing().says(file.to_str().unwrap()).says("error:");
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run}");
    }
    scene.run("create dev").says("hint:");
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

#[test]
fn a_read_only_store_can_be_looked_at_and_refuses_changes_with_a_hint() {
    let scene = Scene::new();
    let mount = Mount::tmpfs(&scene.store(), "4m");
    Record::new("dev").put(&scene);
    mount.read_only();
    assert_eq!(scene.run("ls -q").ok().line(), "dev");
    let list = scene.run("ls --format json").ok().json();
    assert_eq!(list[0]["state"], "Stopped", "{list}");
    assert_eq!(scene.status("dev"), "Stopped");
    for line in ["create new", "start dev", "rm -y dev"] {
        scene.run(line).exits(1).prints_nothing().says("read-only").fails_clearly();
    }
    assert_eq!(scene.run("ls -q").ok().line(), "dev", "nothing was lost and nothing was made");
    drop(mount);
    fs::remove_dir_all(scene.store()).unwrap();
}

#[test]
fn a_full_store_refuses_a_new_machine_keeps_the_old_and_is_as_good_as_new_with_some_space() {
    let scene = Scene::new();
    let mount = Mount::tmpfs(&scene.store(), "4g");
    scene.run("create old").ok();
    scene.run("stop old").ok();
    mount.fill();
    let run = scene.run("create dev");
    run.exits(3).prints_nothing().says("0 MiB are free").says("--storage-path").fails_clearly();
    assert_eq!(scene.run("ls -q").ok().line(), "old", "nothing was made");

    let record = scene.record("old");
    let run = scene.run("start old");
    run.exits(1).prints_nothing().says("No space left on device").says("the disk is full").fails_clearly();
    assert_eq!(scene.record("old"), record, "nothing was lost");
    assert_eq!(scene.status("old"), "Stopped");

    mount.resize("4g");
    scene.run("start old").ok();
    scene.run("create dev").ok();
    scene.run("rm -y dev old").ok();
    scene.nothing_is_left_of("dev");
    scene.nothing_is_left_of("old");
    drop(mount);
    fs::remove_dir_all(scene.store()).unwrap();
}

/// A store with one good machine, and folders that cannot be read: one row each, no error of `ls` itself.
#[test]
fn folders_that_cannot_be_read_are_rows_that_say_so() {
    let scene = Scene::new();
    Record::new("good").put(&scene);
    Record::new("newer").with("schema", json!(2)).put(&scene);
    Record::new("renamed").put_as(&scene, "other-name");
    Record::new("strange").with("driver", json!("abacus")).put(&scene);
    fs::create_dir_all(scene.folder("empty")).unwrap();
    fs::create_dir_all(scene.folder("broken")).unwrap();
    fs::write(scene.folder("broken").join("machine.json"), "{\"schema\": 1, \"name\": \"bro").unwrap();
    let run = scene.run("ls");
    run.ok();
    insta::assert_snapshot!(run.text().replace(scene.store().to_str().unwrap(), "STORE"));
    assert_eq!(scene.run("ls -q").ok().text(), "broken\nempty\ngood\nnewer\nother-name\nstrange\n");

    for (name, says, hint) in [
        ("broken", "the record is broken", "machine rm -f"),
        ("newer", "schema 2", "upgrade"),
        ("other-name", "\"renamed\"", "renamed by hand"),
        ("empty", "no record", "machine create empty"),
    ] {
        for command in ["status", "inspect", "start", "stop", "env", "url"] {
            let run = scene.machine([command, name]);
            run.exits(1).prints_nothing().says(says).says(hint).fails_clearly();
        }
    }
    scene.run("status strange").prints_nothing().says("abacus");
}

#[test]
fn a_record_that_cannot_be_read_is_never_overwritten_and_goes_only_by_force() {
    let scene = Scene::new();
    for (name, text) in [("broken", "{"), ("newer", "{\"schema\": 99}")] {
        let folder = scene.folder(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("machine.json"), text).unwrap();
        fs::write(folder.join("data.qcow2"), "somebody's work").unwrap();
        scene.machine(["create", name]).exits(1).prints_nothing().fails_clearly();
        scene
            .machine(["rm", "-y", name])
            .exits(1)
            .prints_nothing()
            .says(&format!("machine rm -f {name}"))
            .fails_clearly();
        assert_eq!(fs::read_to_string(folder.join("machine.json")).unwrap(), text);
        assert_eq!(fs::read_to_string(folder.join("data.qcow2")).unwrap(), "somebody's work");
        scene.machine(["rm", "-f", name]).ok();
        scene.nothing_is_left_of(name);
        scene.machine(["create", "--no-wait", name]).ok();
        scene.machine(["rm", "-y", name]).ok();
    }
}

#[test]
fn a_folder_without_a_record_is_begun_anew() {
    let scene = Scene::new();
    fs::create_dir_all(scene.folder("dev")).unwrap();
    scene.run("create --no-wait dev").ok().says("interrupted creation");
    assert_eq!(scene.status("dev"), "Running");
}

#[test]
fn a_machine_whose_disks_are_gone_says_so() {
    let scene = Scene::new();
    Record::new("dev").put(&scene);
    fs::remove_file(scene.folder("dev").join("os.qcow2")).unwrap();
    fs::remove_file(scene.folder("dev").join("data.qcow2")).unwrap();
    let list = scene.run("ls --format json").ok().json();
    assert_eq!(list[0]["state"], "Error", "{list}");
    assert!(list[0]["error"].as_str().unwrap().contains("disk"), "{list}");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
