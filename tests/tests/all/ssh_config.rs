//! `ssh-config`, read by OpenSSH itself.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use machine_tests::{PlayedHost, Scene};

fn adopted(scene: &Scene, name: &str) -> PlayedHost {
    let host = PlayedHost::debian();
    scene.machine(host.adoption(name)).exits(1);
    host
}

/// What OpenSSH says and returns for `words`, with nothing but the file `config`.
fn ssh(scene: &Scene, config: &str, words: &[&str]) -> machine_tests::Run {
    scene.program("ssh").args(["-o", "BatchMode=yes", "-F"]).args([scene.path(config)]).args(words).run()
}

#[test]
fn openssh_logs_in_by_what_is_printed_and_refuses_another_host_key() {
    // A store whose path has what ssh_config(5) takes for something else.
    let scene = Scene::with_store("a store, 100%");
    let host = adopted(&scene, "host");
    let printed = scene.run("ssh-config host");
    printed.ok();
    assert_eq!(printed.stderr, "");
    fs::write(scene.path("config"), printed.text()).unwrap();
    assert_eq!(ssh(&scene, "config", &["host", "echo", "hello"]).ok().line(), "hello");
    assert_eq!(scene.run("ssh-config").ok().text(), printed.text());
    host.change_host_key();
    let refused = ssh(&scene, "config", &["host", "true"]);
    refused.exits(255).says("Host key verification failed");
}

#[test]
fn an_installed_one_is_one_line_in_the_users_file_and_follows_the_machines() {
    let scene = Scene::new();
    let _host = adopted(&scene, "host");
    let own = scene.path("home/.ssh/config");
    let before = "Host elsewhere\n  User ann\n";
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, before).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
    for _ in 0..2 {
        scene.run("ssh-config --install").ok().prints_nothing().says("`ssh NAME` leads to each that runs");
    }
    let text = fs::read_to_string(&own).unwrap();
    assert!(text.ends_with(before) && text.matches("Include ").count() == 1, "{text}");
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o644, "it stays as its owner has it");
    assert_eq!(ssh(&scene, "home/.ssh/config", &["host", "echo", "hello"]).ok().line(), "hello");

    // A machine that is made and one that is removed.
    let _second = adopted(&scene, "second");
    scene.run("rm -y host").ok();
    let ours = fs::read_to_string(scene.store().join("ssh_config")).unwrap();
    assert!(ours.contains("Host second\n") && !ours.contains("Host host\n"), "{ours}");
    assert_eq!(fs::metadata(scene.store().join("ssh_config")).unwrap().mode() & 0o777, 0o600);

    scene.run("ssh-config --uninstall").ok().prints_nothing();
    assert_eq!(fs::read_to_string(&own).unwrap(), before);
    assert!(!scene.store().join("ssh_config").exists());
    scene.run("ssh-config --uninstall").ok();
    fs::remove_file(&own).unwrap();
}

#[test]
fn where_there_is_no_file_one_is_made_for_this_user_alone_and_goes_again() {
    let scene = Scene::new();
    let own = scene.path("home/.ssh/config");
    scene.run("ssh-config --install").ok();
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
    scene.run("ssh-config --uninstall").ok();
    assert!(!own.exists());
    scene.run("ssh-config nobody").exits(1).prints_nothing().says("does not exist");
    scene.run("ssh-config --install --uninstall").exits(2).prints_nothing();
    scene.run("ssh-config").ok().prints_nothing();
}
