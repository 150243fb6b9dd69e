//! Looking at machines that are off: rows, states, and docker-machine's words for what they do not have.

use machine_tests::{Record, Scene};
use serde_json::json;

fn scene() -> Scene {
    let scene = Scene::new();
    Record::new("web10").put(&scene);
    Record::new("web9").with("spec.memory_mib", json!(4096)).put(&scene);
    Record::new("Alpha").with("phase", json!("created")).put(&scene);
    Record::new("half").with("phase", json!("creating")).with("driver_state", json!(null)).put(&scene);
    scene
}

#[test]
fn ls_shows_a_row_for_each_machine_in_natural_order() {
    let scene = scene();
    let run = scene.run("ls");
    assert_eq!(run.ok().stderr, "");
    insta::assert_snapshot!(run.text());
    assert_eq!(scene.run("list").ok().text(), run.text());
}

#[test]
fn ls_as_json_is_a_contract() {
    let run = scene().run("ls --format json");
    assert_eq!(run.ok().stderr, "");
    insta::assert_snapshot!(run.text());
}

#[test]
fn ls_quiet_prints_names_alone() {
    let scene = scene();
    assert_eq!(scene.run("ls -q").ok().text(), "Alpha\nhalf\nweb9\nweb10\n");
    assert_eq!(scene.run("ls -q --format json").ok().json(), json!(["Alpha", "half", "web9", "web10"]));
}

#[test]
fn an_empty_store_has_no_machines_and_is_not_made_by_looking() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.run("ls").ok().text(), @"NAME   ACTIVE   DRIVER   STATE   URL   SWARM   DOCKER   ERRORS");
    assert_eq!(scene.run("ls -q").ok().text(), "");
    assert_eq!(scene.run("ls --format json").ok().json(), json!([]));
    assert!(!scene.store().exists());
}

#[test]
fn status_is_one_word() {
    let scene = scene();
    assert_eq!(scene.status("web9"), "Stopped");
    assert_eq!(scene.status("Alpha"), "Stopped");
    let half = scene.run("status half");
    assert_eq!(half.ok().line(), "Error");
    half.says("machine create half").says("machine rm half");
}

#[test]
fn inspect_as_json_is_a_contract() {
    let scene = scene();
    let run = scene.run("inspect web9");
    assert_eq!(run.ok().stderr, "");
    let text = run.text().replace(scene.store().to_str().unwrap(), "STORE");
    insta::assert_snapshot!(text.replace(scene.path("").to_str().unwrap(), "SCENE/"));
}

#[test]
fn a_machine_that_is_off_has_no_address() {
    let scene = scene();
    for command in ["ip", "url", "env", "config", "version"] {
        let run = scene.machine([command, "web9"]);
        run.exits(1).prints_nothing().says("Host is not running").fails_clearly();
    }
    scene
        .run("ssh web9 true")
        .exits(1)
        .prints_nothing()
        .fails_clearly()
        .says("Error: Cannot run SSH command: Host \"web9\" is not running");
    scene.command(["active"]).env("DOCKER_HOST", "tcp://127.0.0.1:42376").run().exits(1).says("No active host found");
}

#[test]
fn stopping_what_is_off_is_an_error_in_docker_machines_words() {
    let scene = scene();
    for command in ["stop", "kill"] {
        scene.machine([command, "web9"]).exits(1).prints_nothing().says("Machine \"web9\" is already stopped.");
    }
}

#[test]
fn a_half_made_machine_is_not_started_but_says_what_to_do() {
    let scene = scene();
    for command in ["start", "stop", "restart", "kill"] {
        scene
            .machine([command, "half"])
            .exits(1)
            .prints_nothing()
            .says("machine create half")
            .says("machine rm half")
            .fails_clearly();
    }
}

#[test]
fn of_several_machines_all_must_exist_or_nothing_is_done() {
    let scene = Scene::new();
    scene.run("create --no-wait dev").ok();
    scene.run("stop dev nope").exits(1).says("\"nope\" does not exist");
    assert_eq!(scene.status("dev"), "Running");
}

#[test]
fn the_machine_called_default_is_meant_when_none_is_named() {
    let scene = Scene::new();
    Record::new("default").put(&scene);
    assert_eq!(scene.run("status").ok().line(), "Stopped");
    assert_eq!(scene.run("inspect").ok().json()["name"], "default");
    scene.run("url").exits(1).says("Host is not running");
}

#[test]
fn ls_and_inspect_speak_the_templates_and_filters_of_docker_machines_users() {
    let scene = Scene::new();
    scene.run("create --engine-label team=a dev").ok();
    scene.run("create lab-1").ok();
    scene.run("stop lab-1").ok();
    let ls = |words: &[&str]| scene.machine([&["ls"], words].concat()).ok().text().to_owned();
    assert_eq!(ls(&["--format", "{{.Name}}: {{.State}}"]), "dev: Running\nlab-1: Stopped\n");
    assert_eq!(ls(&["-f", r"{{.Name}}\t{{.DriverName}}", "--filter", "state=running"]), "dev\tqemu\n");
    assert_eq!(ls(&["-q", "--filter", "name=^lab"]), "lab-1\n");
    assert_eq!(ls(&["-q", "--filter", "label=team=a"]), "dev\n");
    let table = ls(&["--filter", "driver=QEMU", "--format", r"table {{.Name}}\t{{.EngineOptions.Labels}}"]);
    assert_eq!(table, "NAME    LABELS\ndev     [team=a]\nlab-1   []\n");
    for (words, why) in [
        (["--format", "{{.Nmae}}"], "there is no field Nmae"),
        (["--format", "{{.Name"], "template parsing error"),
        (["--filter", "size=1"], "Unsupported filter key 'size'"),
        (["--filter", "x"], "Unsupported filter syntax"),
        (["--filter", "name=("], "is no regular expression"),
    ] {
        scene.machine([&["ls"], &words[..]].concat()).exits(2).says(why).fails_clearly();
    }

    let inspect = |template: &str| scene.machine(["inspect", "--format", template, "dev"]);
    assert_eq!(inspect("{{.Driver.IPAddress}} {{.DriverName}} {{.Name}}").ok().line(), "127.0.0.1 qemu dev");
    let key = scene.folder("dev").join("id_ed25519");
    assert_eq!(inspect("{{.Driver.SSHKeyPath}}").ok().line(), key.to_str().unwrap());
    assert_eq!(inspect("{{json .HostOptions.EngineOptions.Labels}}").ok().line(), r#"["team=a"]"#);
    assert_eq!(inspect("{{.Nowhere}}").ok().line(), "<no value>");
    inspect("{{nope .}}").exits(2).says("template parsing error").fails_clearly();
}

#[test]
fn of_a_hundred_machines_ten_that_hang_cost_only_their_own_rows_one_limit() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    scene.run("stop dev").ok();
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for number in 1..100 {
        let name = format!("copy-{number}");
        let folder = scene.folder(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut record = scene.record("dev");
        record["name"] = name.into();
        if number <= 10 {
            record["phase"] = "ready".into();
            record["driver"] = "generic".into();
            record["spec"]["options"] = serde_json::json!({"address": "127.0.0.1", "key": "/none"});
            record["driver_state"] = serde_json::json!({"address": "127.0.0.1", "ssh_port": port, "engine_port": port});
        }
        std::fs::write(folder.join("machine.json"), record.to_string()).unwrap();
        for disk in ["os.qcow2", "data.qcow2"] {
            std::fs::write(folder.join(disk), "").unwrap();
        }
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(scene.folder("dev").join(file), folder.join(file)).unwrap();
        }
    }
    let run = scene.run("ls --timeout 3 --format json");
    let rows = run.ok().json();
    let of = |state: &str| rows.as_array().unwrap().iter().filter(|row| row["state"] == state).count();
    assert_eq!((rows.as_array().unwrap().len(), of("Timeout"), of("Stopped")), (100, 10, 90), "{run}");
    let hanging = rows.as_array().unwrap().iter().find(|row| row["name"] == "copy-7").unwrap();
    assert_eq!(hanging["url"], format!("tcp://127.0.0.1:{port}"), "what is known stays");
    // One after the other they would take ten limits.
    assert!(run.elapsed < std::time::Duration::from_secs(15), "{run}");
    // None of these asks anybody.
    for words in ["ls -q", "url copy-7", "ip copy-7", "env copy-7 --shell sh", "config copy-7"] {
        scene.run(words).ok();
    }
    for number in 1..=10 {
        std::fs::remove_dir_all(scene.folder(&format!("copy-{number}"))).unwrap();
    }
}
