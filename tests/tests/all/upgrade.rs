//! `upgrade` of machines of our own image, with a QEMU that is played.

use std::fs;
use std::path::Path;
use std::process::Command;

use machine_tests::{Scene, find_program};
use serde_json::{Value, json};
use sha2::Digest as _;

/// A scene whose image store has one image, and the folder that it came from.
fn scene() -> (Scene, std::path::PathBuf) {
    let (scene, folder) = crate::images::scene();
    import(&scene, &folder);
    (scene, folder)
}

fn import(scene: &Scene, folder: &Path) {
    scene.machine(["image".as_ref(), "import".as_ref(), folder.as_os_str()]).ok();
}

/// Puts a newer image of the same name into the store; returns its reference.
fn newer(scene: &Scene, folder: &Path) -> String {
    let disk = folder.join("disk.qcow2");
    let made =
        Command::new(find_program("qemu-img")).args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("65M").status();
    assert!(made.unwrap().success());
    let bytes = fs::read(&disk).unwrap();
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["files"]["disk.qcow2"] = json!({ "sha256": digest, "size": bytes.len() });
    fs::write(&path, manifest.to_string()).unwrap();
    import(scene, folder);
    format!("machine@{}", &digest[..12])
}

fn backing(scene: &Scene) -> String {
    let disk = scene.folder("dev").join("os.qcow2");
    let output =
        Command::new(find_program("qemu-img")).args(["info", "-U", "--output=json"]).arg(disk).output().unwrap();
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    info["backing-filename"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_gets_the_system_of_a_newer_image_and_keeps_its_data() {
    let (scene, folder) = scene();
    scene.run("create dev").ok();
    scene.run("upgrade dev").ok().says("is made from the newest image here");
    let newest = newer(&scene, &folder);
    // What was on the data disk is a file of which nobody but the guest knows the content.
    let data = fs::metadata(scene.folder("dev").join("data.qcow2")).unwrap().modified().unwrap();
    scene.run("upgrade dev").ok().says(&format!("has the system of {newest}"));
    assert!(backing(&scene).contains(&newest), "{}", backing(&scene));
    assert_eq!(fs::metadata(scene.folder("dev").join("data.qcow2")).unwrap().modified().unwrap(), data);
    assert_eq!(scene.status("dev"), "Running", "it ran before");
    assert_eq!(scene.run("inspect dev").ok().json()["spec"]["image"], newest);
    let list = scene.run("image ls --format json").ok().json();
    let used: Vec<_> = list.as_array().unwrap().iter().filter(|image| image["machines"] == json!(["dev"])).collect();
    assert_eq!(used.len(), 1, "the older one is free: {list}");
    scene.run("upgrade dev").ok().says("is made from the newest image here");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

#[test]
fn an_upgrade_that_dies_at_either_of_its_checkpoints_is_completed_by_a_start_or_another_upgrade() {
    for (checkpoint, next) in
        [("system", "start dev"), ("system", "upgrade dev"), ("upgraded", "start dev"), ("upgraded", "upgrade dev")]
    {
        let (scene, folder) = scene();
        scene.run("create dev").ok();
        scene.run("stop dev").ok();
        let newest = newer(&scene, &folder);
        let run = scene.command(["upgrade", "dev"]).env("MACHINE_TEST_CRASH_AFTER", checkpoint).run();
        run.exits(137);
        assert_eq!(scene.status("dev"), "Stopped");
        // Both images are needed as long as it is not over.
        assert_eq!(scene.machine(["image", "rm", &newest]).exits(1).code(), 1);
        scene.run(next).ok();
        assert!(backing(&scene).contains(&newest), "after {checkpoint}, by {next}: {}", backing(&scene));
        if next.starts_with("start") {
            scene.run("upgrade dev").ok();
        } else {
            scene.run("start dev").ok();
        }
        assert_eq!(scene.run("inspect dev").ok().json()["spec"]["image"], newest);
        assert_eq!(scene.status("dev"), "Running");
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
    }
}
