//! Warm states and suspended machines, for real.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use machine_tests::{Mount, Run, Scene, find_program, listeners, process, until};
use rustix::process::Signal;
use serde_json::Value;

use crate::vm_life::{BOOT, create, docker, import_busybox, slowly};

/// How the last start of a machine began, as its event log tells.
fn beginning(scene: &Scene, name: &str) -> String {
    let text = fs::read_to_string(scene.folder(name).join("events.jsonl")).unwrap_or_default();
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = events.rfind(|event| event["event"] == "beginning");
    last.and_then(|event| event["how"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// The folders of the warm states of the image store.
fn states(scene: &Scene) -> Vec<PathBuf> {
    let listed = scene.run("image ls --format json").ok().json();
    let root = scene.images().join(".warm");
    let warm = listed.as_array().unwrap().iter().flat_map(|image| image["warm"].as_array().unwrap().clone());
    warm.map(|state| root.join(state["key"].as_str().unwrap())).collect()
}

/// A program that runs the computer's QEMU and is not the same file.
fn another_qemu(scene: &Scene) -> PathBuf {
    let other = scene.path("qemu-system-x86_64");
    let real = find_program("qemu-system-x86_64");
    fs::write(&other, format!("#!/bin/sh\nexec {} \"$@\"\n", real.display())).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    other
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn vm_machines_that_begin_from_one_state_are_different_machines() {
    let scene = Scene::real_apart();
    scene.run("image prune").ok();
    assert!(states(&scene).is_empty());
    create(&scene, "one").says("Docker is up and running!");
    assert_eq!(beginning(&scene, "one"), "boot that leaves a warm state");
    let [state] = states(&scene).try_into().unwrap();
    assert!(scene.run("image ls").ok().text().contains("WARM STATE"));

    // What the first machine is was not in memory when it was saved.
    let memory = fs::read(state.join("state")).unwrap();
    let key = fs::read_to_string(scene.folder("one").join("ssh_host_ed25519_key")).unwrap();
    let secret = key.lines().nth(2).unwrap().to_owned();
    let machine_id = scene.run("ssh one cat /etc/machine-id").ok().line().to_owned();
    for own in [secret.as_str(), machine_id.as_str(), "guest=one"] {
        assert!(!contains(&memory, own), "{own} is in the state");
    }
    assert!(contains(&memory, "Linux version "), "the state is the memory of a guest");
    drop(memory);

    let creating: Vec<_> = ["two", "three"]
        .map(|name| scene.command(["create", "--cpus", "2", "--memory", "1g", name]).limit(BOOT).start())
        .into();
    for create in creating {
        create.finish().ok();
    }
    let names = ["one", "two", "three"];
    for name in &names[1..] {
        assert_eq!(beginning(&scene, name), "warm state");
    }
    for (what, line) in [
        ("machine-id", "cat /etc/machine-id"),
        ("host name", "hostname"),
        ("host key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        ("authorized key", "cat ~/.ssh/authorized_keys"),
        ("server certificate", "sudo cat /etc/docker/server.pem"),
        ("random numbers", "head -c 32 /dev/urandom | od -An -tx1"),
    ] {
        let mut seen: Vec<_> =
            names.iter().map(|name| scene.machine(["ssh", name, line]).ok().text().to_owned()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3, "{what}: {seen:?}");
    }
    for name in names {
        import_busybox(&scene, name);
        let line =
            format!("docker run --rm --hostname {name} box cat /etc/hostname && docker info --format '{{{{.Name}}}}'");
        assert_eq!(docker(&scene, name, &line).ok().text(), format!("{name}\n{name}\n"));
        // The data disk is as large as any machine's, a moment after the engine answers.
        until("the file system to be grown", Duration::from_secs(60), || {
            let size =
                scene.machine(["ssh", name, "df --output=size -BG /var/lib/docker | tail -1"]).ok().line().to_owned();
            (size.trim() == "20G").then_some(())
        });
        let difference = scene.shell("sh", &format!("echo $(( $(machine ssh {name} date +%s) - $(date +%s) ))")).run();
        let seconds: i64 = difference.ok().line().parse().unwrap();
        assert!(seconds.abs() < 10, "the clock of {name} is {seconds} s off");
    }
    slowly(&scene, "restart two").ok();
    assert_eq!(docker(&scene, "two", "docker images -q box | wc -l").ok().line(), "1", "it boots from its own disks");

    // One of them is removed with all that it had here; the others go on.
    let (qemu, supervisor) = (scene.qemu("one"), scene.supervisor("one"));
    let ports = qemu.listens_on();
    assert_eq!(ports.len(), 2);
    scene.run("rm -y one").ok();
    scene.nothing_is_left_of("one");
    assert_eq!((process(qemu.pid), process(supervisor.pid)), (None, None));
    assert!(listeners().is_disjoint(&ports), "ports of the removed machine are open");
    assert_eq!(docker(&scene, "three", "docker run --rm box echo there").ok().line(), "there");
    for name in ["two", "three"] {
        scene.machine(["rm", "-y", name]).ok();
        scene.nothing_is_left_of(name);
    }
}

#[test]
fn vm_a_warm_state_that_cannot_be_used_ends_in_a_boot_and_is_gone() {
    let mut scene = Scene::real_apart();
    // The supervisor dies while it saves: nothing of it is taken for a state, and the same creation comes to its end.
    scene.run("image prune").ok();
    let cache = scene.images().join(".warm");
    let half = || {
        let found = fs::read_dir(&cache).into_iter().flatten().flatten().map(|entry| entry.path().join("state"));
        found.into_iter().find(|state| state.exists())
    };
    let creating = scene.command(["create", "--cpus", "2", "--memory", "1g", "first"]).limit(BOOT).start();
    until("the save to begin", BOOT, half);
    scene.supervisor("first").kill();
    let _it_lost_its_supervisor: Run = creating.finish();
    let run = scene.command(["create", "--cpus", "2", "--memory", "1g", "first"]).limit(BOOT).run();
    run.ok();
    docker(&scene, "first", "docker info").ok();
    scene.run("rm -y first").ok();
    scene.nothing_is_left_of("first");
    let state = states(&scene).into_iter().next().unwrap().join("state");

    // Another QEMU, though of the same version, is another shape.
    scene.set("MACHINE_QEMU", another_qemu(&scene));
    let creating = scene.command(["create", "--cpus", "2", "--memory", "1g", "boots"]).limit(BOOT).start();
    let how = until("its beginning", Duration::from_secs(60), || {
        Some(beginning(&scene, "boots")).filter(|how| !how.is_empty())
    });
    assert_eq!(how, "boot that leaves a warm state");
    creating.signal(Signal::KILL);
    creating.finish();
    scene.run("rm -f -y boots").ok();
    scene.unset("MACHINE_QEMU");

    // The same length, other bytes.
    let file = fs::File::options().write(true).open(&state).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.write_all_at(&[0x55; 4096], middle).unwrap();
    drop(file);
    create(&scene, "dev").says("the warm state could not be used: booting");
    assert_eq!(beginning(&scene, "dev"), "boot");
    docker(&scene, "dev", "docker info").ok();
    assert!(!state.exists(), "it is not used twice");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

/// Suspends and resumes `dev`; what only its memory holds is still there.
fn goes_on(scene: &Scene, how: &str) {
    let line = "docker exec box cat /dev/shm/memory && docker inspect -f '{{.State.Pid}}' box";
    assert_eq!(docker(scene, "dev", line).ok().text().lines().next(), Some("only in memory"), "{how}");
}

#[test]
fn vm_a_suspended_machine_goes_on_where_it_was_whatever_dies_meanwhile() {
    let scene = Scene::real();
    create(&scene, "dev");
    import_busybox(&scene, "dev");
    docker(
        &scene,
        "dev",
        "docker run -d --name box box sleep 100000 && docker exec box sh -c 'echo only in memory > /dev/shm/memory'",
    )
    .ok();
    let url = scene.run("url dev").ok().line().to_owned();

    // A full disk: it goes on.
    let small = Mount::tmpfs(&scene.path("small"), "16m");
    fs::write(scene.path("small/state"), "").unwrap();
    symlink(scene.path("small/state"), scene.folder("dev").join("suspended.new")).unwrap();
    slowly(&scene, "suspend dev").exits(1).says("was not suspended").says("No space left");
    assert_eq!(scene.status("dev"), "Running");
    goes_on(&scene, "after a full disk");
    drop(small);

    let qemu = scene.qemu("dev");
    slowly(&scene, "suspend dev").ok().says("was suspended");
    assert_eq!((scene.status("dev").as_str(), process(qemu.pid)), ("Saved", None));
    scene.run("stop dev").exits(1).says("is suspended").says("machine start dev");
    scene.run("suspend dev").exits(1).says("already suspended");
    scene.run("url dev").exits(1);
    slowly(&scene, "start dev").ok();
    assert_eq!(scene.run("url dev").ok().line(), url, "at the same address");
    goes_on(&scene, "after suspend and start");
    assert!(!scene.folder("dev").join("suspended.state").exists());

    // The supervisor dies while it saves: the next look brings another, and the machine goes on.
    let suspending = scene.command(["suspend", "dev"]).limit(BOOT).start();
    let half = scene.folder("dev").join("suspended.new");
    until("the save to begin", Duration::from_secs(60), || half.exists().then_some(()));
    scene.supervisor("dev").kill();
    let _it_lost_its_supervisor: Run = suspending.finish();
    let state = until("the machine to be looked after", Duration::from_secs(60), || {
        Some(scene.status("dev")).filter(|state| matches!(state.as_str(), "Running" | "Saved"))
    });
    if state == "Saved" {
        slowly(&scene, "start dev").ok();
    }
    until("the machine to go on", Duration::from_secs(60), || {
        (docker(&scene, "dev", "docker ps").code() == 0).then_some(())
    });
    goes_on(&scene, "after the supervisor died while saving");

    // It dies while it resumes.
    slowly(&scene, "suspend dev").ok();
    let starting = scene.command(["start", "dev"]).limit(BOOT).start();
    let run = scene.folder("dev").join("run.json");
    until("QEMU to be started", Duration::from_secs(60), || run.exists().then_some(()));
    scene.supervisor("dev").kill();
    let _it_may_have_failed: Run = starting.finish();
    if scene.status("dev") != "Running" {
        slowly(&scene, "start dev").ok();
    }
    goes_on(&scene, "after the supervisor died while resuming");

    // Another QEMU, though of the same version: it boots, and says so.
    slowly(&scene, "suspend dev").ok();
    let other = another_qemu(&scene);
    let mut starting = scene.command(["start", "dev"]).limit(BOOT);
    starting = starting.env("MACHINE_QEMU", &other);
    starting.run().ok().says("its suspended state could not be used").says("have changed since");
    assert_eq!(docker(&scene, "dev", "docker images -q box | wc -l").ok().line(), "1");
    slowly(&scene, "stop dev").ok();
    slowly(&scene, "start dev").ok();

    // A state that is cut short: it boots, and says so; what was on the disks is there.
    slowly(&scene, "suspend dev").ok();
    let file = fs::File::options().write(true).open(scene.folder("dev").join("suspended.state")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    slowly(&scene, "start dev").ok().says("its suspended state could not be used");
    assert_eq!(docker(&scene, "dev", "docker images -q box | wc -l").ok().line(), "1");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
