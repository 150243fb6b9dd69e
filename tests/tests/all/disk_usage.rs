//! What lies where, and what is given back.

use std::fs;

use machine_tests::Scene;

#[test]
fn df_tells_what_machines_and_images_take_and_asks_nobody_that_is_off() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    scene.run("create web --no-wait").ok();
    scene.run("stop dev").ok();
    let facts = scene.run("df --format json").ok().json();
    let machines: Vec<_> =
        facts["machines"].as_array().unwrap().iter().map(|machine| machine["name"].clone()).collect();
    assert_eq!(machines, ["dev", "web"]);
    let takes = |value: &serde_json::Value| value["bytes"].as_u64().unwrap();
    assert!(facts["machines"].as_array().unwrap().iter().all(|machine| takes(machine) > 0), "{facts}");
    assert!(facts["total"].as_u64().unwrap() >= facts["machines"].as_array().unwrap().iter().map(takes).sum::<u64>());
    assert!(facts["free"].as_u64().is_some());
    let one = scene.run("df web --format json").ok().json();
    assert_eq!(one["machines"].as_array().unwrap().len(), 1);
    let text = scene.run("df").ok().text().to_owned();
    assert!(text.contains("machine dev") && text.contains("data.qcow2") && text.contains("all in "), "{text}");
    scene.run("df nope").exits(1).prints_nothing().says("does not exist");
}

#[test]
fn df_of_a_store_that_is_not_there_or_broken_is_no_failure() {
    let scene = Scene::new();
    scene.run("df").ok();
    fs::create_dir_all(scene.folder("dev")).unwrap();
    fs::write(scene.folder("dev").join("machine.json"), "{").unwrap();
    assert!(scene.run("df").ok().text().contains("machine dev"));
}

#[test]
fn reclaim_says_what_it_would_do_and_asks_before_it_does_anything() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    let plan = scene.run("reclaim --dry-run dev");
    assert!(plan.ok().text().contains("trim the disks of dev"), "{plan}");
    scene.run("reclaim dev").exits(2).prints_nothing().fails_clearly().says("nothing was freed");
    let facts = scene.run("reclaim --dry-run --format json").ok().json();
    assert_eq!(facts["machines"][0]["name"], "dev");
    scene.run("stop dev").ok();
    scene.run("reclaim --dry-run dev").ok().says("dev: it is off: `machine start dev`");
    scene.run("reclaim --yes").ok().says("Nothing could be given back.");
    scene.run("reclaim nope").exits(1).says("does not exist");
}
