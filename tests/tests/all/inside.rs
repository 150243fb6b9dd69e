//! `docker` inside a machine, and `mount` of its folders, with a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use machine_tests::{PlayedHost, Scene};

fn adopted(scene: &Scene) -> PlayedHost {
    let host = PlayedHost::debian();
    // It has no engine that answers, and one can log in to it.
    scene.machine(host.adoption("host")).exits(1);
    host
}

#[test]
fn docker_runs_inside_with_its_words_its_input_and_its_exit_code() {
    let scene = Scene::new();
    let host = adopted(&scene);
    let client = "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done; echo; cat; exit 7\n";
    fs::write(host.root("usr/local/bin/docker"), client).unwrap();
    let run =
        scene.command(["docker", "host", "--", "run", "-e", "A=it's a $HOME  *", "--", ""]).stdin("typed\n").run();
    assert_eq!(run.exits(7).text(), "<run><-e><A=it's a $HOME  *><--><>\ntyped\n");
    scene.run("docker host -- ps").exits(7);
    scene.run("docker host ps").exits(2).prints_nothing().says("unexpected argument 'ps'");
    scene.run("docker -- ps").exits(1).says("no \"default\" machine exists");
    scene.run("docker nobody -- ps").exits(1).says("does not exist");
    fs::remove_file(host.root("usr/local/bin/docker")).unwrap();
    scene.run("docker host -- ps").exits(1).fails_clearly().says("machine \"host\" has no Docker client");
}

#[test]
fn mount_starts_sshfs_with_the_pinned_key_and_says_what_is_missing() {
    let mut scene = Scene::new();
    let _host = adopted(&scene);
    let (tools, inside) = (scene.path("tools"), scene.path("inside"));
    fs::create_dir(&tools).unwrap();
    scene.set("PATH", &tools);
    let without = scene.run("mount host:/srv inside");
    without.exits(1).prints_nothing().fails_clearly();
    without.says("You must have a copy of the sshfs binary locally to use the mount feature");
    for (name, text) in [
        (
            "sshfs",
            "#!/bin/sh\nwhile [ $# -gt 2 ]; do [ \"$1\" != -F ] || config=$2; shift; done\n/bin/grep -c 'StrictHostKeyChecking yes' \"$config\" >&2\necho \"$1 $2\" >&2; exit 1\n",
        ),
        ("fusermount3", "#!/bin/sh\necho \"fusermount3: $*\" >&2; exit 1\n"),
    ] {
        fs::write(tools.join(name), text).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    scene.run("mount host:/srv inside").exits(1).fails_clearly().says("there is no such folder").says("mkdir -p");
    fs::create_dir(&inside).unwrap();
    let run = scene.run("mount host:srv inside");
    run.exits(1).prints_nothing().fails_clearly().says(&format!("1 | host:srv {}", inside.display()));
    scene.run("mount host:srv").exits(2).fails_clearly().says("where on this computer shall host:srv be?");
    scene.run("mount /srv").exits(1).says("no \"default\" machine exists");
    scene.run("mount nobody:/srv").exits(1).says("does not exist");
    let unmounted = scene.run("mount -u host:srv inside");
    unmounted.exits(1).fails_clearly().says(&format!("fusermount3: -u {}", inside.display()));
    fs::write(tools.join("sshfs"), "#!/bin/sh\nexit 0\n").unwrap();
    scene.run("mount host:srv inside").ok().prints_nothing().says("host:srv is at");
}
