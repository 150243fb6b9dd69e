//! Wrong words, impossible wishes: one clear line each, and nothing made.

use machine_tests::{Run, Scene};

/// What a refused command leaves: a store without machines, or none at all.
#[track_caller]
fn nothing_was_made(scene: &Scene, run: &Run) {
    let made = std::fs::read_dir(scene.store().join("machines")).map_or(0, Iterator::count);
    assert_eq!(made, 0, "{run} made a machine");
}

#[test]
fn unknown_words_exit_with_2_and_print_no_data() {
    let scene = Scene::new();
    for line in [
        "--bogus",
        "bogus",
        "ls --bogus",
        "ls extra",
        "active extra",
        "create a b",
        "create dev --cpus many",
        "create dev --share-type nfs",
        "create dev --cpus -1",
        "create dev --memory 12q",
        "create dev --memory 0",
        "create dev --disk 0",
        "create dev --disk -5",
        "create dev --timeout soon",
        "create dev --engine-env NOTHING",
        "create dev --wait --no-wait",
        "inspect a b",
        "env a b",
        "status a b",
        "url a b",
        "rm",
        "rm -f",
        "image",
        "image bogus",
        "image pull",
        "logs --serial --qemu dev",
        "ls --quiet --verbose",
        "--progress loud ls",
        "completion abacus",
    ] {
        let run = scene.run(line);
        run.exits(2).prints_nothing().does_not_say("panicked");
        assert!(run.stderr.contains("error: ") || run.stderr.contains("Usage: "), "{run}");
        nothing_was_made(&scene, &run);
    }
}

#[test]
fn words_that_only_the_program_itself_can_judge_exit_with_2_and_a_hint() {
    let scene = Scene::new();
    for (line, says) in [
        ("create dev --cpus 0", "at least one CPU"),
        ("create dev --driver abacus", "abacus"),
        ("create dev --engine-opt host=tcp://0.0.0.0:1", "host=tcp://0.0.0.0:1"),
        ("create dev --engine-label nolabel", "nolabel"),
        ("create dev --engine-env 1A=b", "1A"),
        ("create dev --accelerator steam", "steam"),
        ("env --shell abacus", "abacus"),
        ("env -u dev", "Expected no machine name when the -u flag is present"),
        ("ssh -L 1:2:3 dev", "-L"),
    ] {
        let run = scene.run(line);
        run.exits(2).prints_nothing().says(says).fails_clearly();
        nothing_was_made(&scene, &run);
    }
}

#[test]
fn names_that_are_no_host_names_are_refused_by_every_command() {
    let scene = Scene::new();
    let long = "x".repeat(64);
    let outside = scene.store().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    for name in ["", "a/b", "..", "../outside", "/etc", "a b", "a..b", "a_b", ".a", "a.", "näme", "con", "a\nb", &long]
    {
        for words in [
            &["create"][..],
            &["start"],
            &["stop"],
            &["rm", "-f", "-y"],
            &["status"],
            &["env"],
            &["inspect"],
            &["logs"],
        ] {
            let run = scene.machine(words.iter().chain([&name]));
            run.exits(2).prints_nothing().says("invalid machine name").fails_clearly();
            nothing_was_made(&scene, &run);
        }
    }
    let run = scene.machine(["create", "--", "-a"]);
    run.exits(2).says("invalid machine name").fails_clearly();
    assert!(outside.is_dir(), "`rm` of a name must not lead out of the store");
}

#[test]
fn a_name_of_63_characters_is_taken() {
    let scene = Scene::new();
    let name = "x".repeat(63);
    scene.machine(["create", "--no-wait", &name]).ok();
    assert_eq!(scene.status(&name), "Running");
}

#[test]
fn wishes_beyond_this_computer_exit_with_3_before_anything_is_made() {
    let scene = Scene::new();
    for (line, says) in [
        ("create dev --memory 15t", "memory"),
        ("create dev --memory 16m", "memory"),
        ("create dev --disk 100m", "disk of 100 MiB"),
        ("create dev --share-type 9p", "was built without it (virtfs)"),
        ("create dev --share-type 9p -d generic --generic-ip-address 127.0.0.1", "leave --share-type out"),
        ("create dev --image nosuchimage", "nosuchimage"),
        ("create dev --image /nowhere/disk.qcow2", "/nowhere/disk.qcow2"),
    ] {
        let run = scene.run(line);
        run.exits(3).prints_nothing().says(says).fails_clearly();
        nothing_was_made(&scene, &run);
        assert_eq!(scene.run("ls -q").ok().text(), "");
    }
}

#[test]
fn a_qemu_that_is_none_is_refused_with_how_to_install_one() {
    let mut scene = Scene::new();
    for (program, says) in [("/bin/true", "no QEMU that works"), ("/nowhere/qemu", "/nowhere/qemu")] {
        scene.set("MACHINE_QEMU", program);
        let run = scene.run("create dev");
        run.exits(3).prints_nothing().says(says).says("install QEMU").fails_clearly();
        nothing_was_made(&scene, &run);
    }
}

#[test]
fn a_disk_image_that_is_not_one_is_refused_and_nothing_is_kept_of_it() {
    let mut scene = Scene::new();
    // An image store of its own: what would be left behind shows.
    scene.set("MACHINE_IMAGE_PATH", scene.path("images"));
    let text = scene.path("text.qcow2");
    std::fs::write(&text, "this is no disk\n").unwrap();
    let base = scene.path("base.qcow2");
    let backed = scene.path("backed.qcow2");
    let img = machine_tests::find_program("qemu-img");
    scene.program(&img).args(["create", "-q", "-f", "qcow2"]).args([&base]).args(["1M"]).run().ok();
    let overlay = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
    scene.program(&img).args(overlay).args([&base, &backed]).run().ok();
    let empty = scene.path("empty.img");
    std::fs::write(&empty, "").unwrap();
    let folder = scene.path("folder");
    std::fs::create_dir(&folder).unwrap();
    for (path, says) in
        [(&text, "text.qcow2"), (&backed, "backing file"), (&empty, "empty.img"), (&folder, "manifest.json")]
    {
        let path = path.to_str().unwrap();
        for words in [&["image", "import", path][..], &["create", "dev", "--image", path]] {
            let run = scene.machine(words);
            assert!(matches!(run.code(), 1 | 3), "{run}");
            run.prints_nothing().says(says).fails_clearly();
            nothing_was_made(&scene, &run);
            let list = scene.run("image ls --format json").json();
            let here: Vec<_> = list.as_array().unwrap().iter().filter(|image| !image["digest"].is_null()).collect();
            assert!(here.is_empty(), "{run} left {here:?}");
        }
    }
}

#[test]
fn an_image_whose_files_differ_from_its_manifest_is_not_taken() {
    let mut scene = Scene::new();
    scene.set("MACHINE_IMAGE_PATH", scene.path("images"));
    let folder = scene.path("image");
    std::fs::create_dir(&folder).unwrap();
    let stored = machine_tests::fake_images();
    let image = std::fs::read_dir(stored)
        .unwrap()
        .flatten()
        .find(|entry| !entry.file_name().display().to_string().starts_with('.'));
    for file in ["disk.qcow2", "vmlinuz", "initrd.img", "manifest.json"] {
        std::fs::copy(image.as_ref().unwrap().path().join(file), folder.join(file)).unwrap();
    }
    // As a download that broke off.
    std::fs::remove_file(folder.join("vmlinuz")).unwrap();
    std::fs::write(folder.join("vmlinuz"), "a kernel that").unwrap();
    let run = scene.machine(["image".as_ref(), "import".as_ref(), folder.as_os_str()]);
    run.exits(1).prints_nothing().says("vmlinuz");
    assert_eq!(
        scene
            .run("image ls --format json")
            .json()
            .as_array()
            .unwrap()
            .iter()
            .filter(|i| !i["digest"].is_null())
            .count(),
        0
    );
}

#[test]
fn machines_that_do_not_exist_are_named_in_docker_machines_words_by_every_command() {
    let scene = Scene::new();
    for line in [
        "status nope",
        "inspect nope",
        "ip nope",
        "url nope",
        "env nope",
        "config nope",
        "start nope",
        "stop nope",
        "restart nope",
        "kill nope",
        "rm -y nope",
        "rm -f nope",
        "logs nope",
        "ssh nope true",
        "version nope",
    ] {
        let run = scene.run(line);
        run.exits(1).prints_nothing();
        run.says("Docker machine \"nope\" does not exist. Use \"machine ls\" to list machines. Use \"machine create\" to add a new one.");
        nothing_was_made(&scene, &run);
    }
    assert!(!scene.store().exists(), "looking for machines makes no store");
}

#[test]
fn without_a_name_and_without_a_default_machine_commands_say_so() {
    let scene = Scene::new();
    for line in ["status", "inspect", "ip", "url", "env", "config", "start", "stop", "restart", "kill", "logs", "ssh"] {
        let run = scene.run(line);
        run.exits(1)
            .prints_nothing()
            .says("No machine name(s) specified and no \"default\" machine exists")
            .fails_clearly();
    }
    scene.run("active").exits(1).prints_nothing().says("No active host found").fails_clearly();
}

#[test]
fn rm_without_a_terminal_asks_for_y_and_removes_nothing() {
    let scene = Scene::new();
    machine_tests::Record::new("dev").put(&scene);
    let run = scene.run("rm dev");
    run.exits(2).prints_nothing().says("About to remove dev").says("-y").fails_clearly();
    assert_eq!(scene.run("ls -q").ok().line(), "dev");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
