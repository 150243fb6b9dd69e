//! Machines at EC2, which is played by moto: what is asked for, what is left, and a whole life with a real sshd behind it.

use std::net::IpAddr;
use std::time::Duration;

use machine_tests::{PlayedCloud, PlayedHost, Running, Scene, login_name, until};
use serde_json::{Value, json};

/// The checkpoints of a creation as far as it comes without SSH, in their order.
const CHECKPOINTS: &[&str] = &["reserved", "identity", "security-group", "key-pair", "instance", "created", "address"];
/// How long one of its steps may take here.
const STEP: Duration = Duration::from_secs(60);

fn checkpoints(stderr: &str) -> Vec<String> {
    let events = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["kind"] == "checkpoint")
        .map(|event| event["name"].as_str().unwrap().to_owned())
        .collect()
}

/// As if the instance of `dev` had been asked for long ago, so that none can still turn up.
fn launched_long_ago(scene: &Scene) {
    let mut record = scene.record("dev");
    if let Some(at) = record["driver_state"].get_mut("launched_at") {
        *at = json!("2026-01-01T00:00:00Z");
        write_record(scene, &record);
    }
}

fn write_record(scene: &Scene, record: &Value) {
    std::fs::write(scene.folder("dev").join("machine.json"), record.to_string()).unwrap();
}

#[test]
fn an_instance_is_made_as_it_was_asked_for_with_its_tags_from_its_first_moment() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let script = scene.path("user-data");
    std::fs::write(&script, "#!/bin/sh\ntrue\n").unwrap();
    let words = [
        "create",
        "-d",
        "amazonec2",
        "--amazonec2-open-port",
        "80",
        "--ec2-tag",
        "cost=42",
        "--amazonec2-tags",
        "a,1,b,2",
        "--ec2-allow-cidr",
        "192.0.2.0/24",
        "--amazonec2-root-size",
        "24",
        "--expires",
        "8h",
        "--amazonec2-retries",
        "-1",
        "--no-wait",
        "--amazonec2-userdata",
        script.to_str().unwrap(),
        "dev",
    ];
    scene.machine(words).ok();
    let state = cloud.state();
    let instances = cloud.instances();
    assert_eq!(instances.len(), 1, "{state}");
    let instance = &instances[0];
    // The newest build of the release, though moto has no public parameter for it.
    assert_eq!(instance["image"], "ami-0f00000000000ubu2");
    assert_eq!((&instance["type"], &instance["tokens"]), (&json!("t3.small"), &json!("required")));
    assert_eq!(instance["shutdown"], "terminate");
    let data = instance["user_data"].as_str().unwrap();
    assert!(
        data.contains("text/x-shellscript")
            && data.contains("text/cloud-boothook")
            && data.contains("text/cloud-config"),
        "{data}"
    );
    let record = scene.record("dev");
    let token = &record["driver_state"]["token"];
    for kind in ["instances", "groups", "keys", "volumes"] {
        let tags = &state[kind][0]["tags"];
        assert_eq!(
            (&tags["Name"], &tags["machine:name"], &tags["machine:token"]),
            (&json!("dev"), &json!("dev"), token),
            "{kind}"
        );
        assert_eq!(
            (&tags["machine:owner"], &tags["cost"], &tags["b"]),
            (&json!("tester"), &json!("42"), &json!("2")),
            "{kind}"
        );
        assert!(tags["machine:expires"].is_string() && tags["machine:store"].is_string(), "{kind}: {tags}");
    }
    let disk = &state["volumes"][0];
    assert_eq!((&disk["encrypted"], &disk["size"], &disk["type"]), (&json!(true), &json!(24), &json!("gp3")), "{disk}");
    let mut rules: Vec<String> =
        state["groups"][0]["rules"].as_array().unwrap().iter().map(|rule| format!("{} {}", rule[1], rule[3])).collect();
    rules.sort();
    assert_eq!(rules, ["22 \"192.0.2.0/24\"", "2376 \"192.0.2.0/24\"", "80 \"0.0.0.0/0\"", "80 \"::/0\""]);
    assert_eq!((&record["driver"], &record["spec"]["ssh_user"]), (&json!("ec2"), &json!("ubuntu")));
    assert_eq!(record["spec"]["options"]["retries"], 0);
    assert!(!record.to_string().contains("played"), "no credentials in the record: {record}");

    let row = scene.run("ls --timeout 1 --format json").ok().json()[0].clone();
    assert_eq!(
        (&row["state"], &row["cpus"], &row["memory_mib"]),
        (&json!("Running"), &json!(2), &json!(2048)),
        "{row}"
    );
    scene.run("stop dev").ok();
    assert_eq!(scene.status("dev"), "Stopped");
    scene.run("kill dev").exits(1).says("already stopped");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
    cloud.has_nothing("after rm");
}

#[test]
fn after_a_crash_at_any_checkpoint_rm_leaves_nothing_at_ec2() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let run = scene.run("--progress json create -d ec2 --no-wait dev");
    assert_eq!(checkpoints(&run.ok().stderr), CHECKPOINTS);
    scene.run("rm -y dev").ok();
    cloud.has_nothing("after a creation that nothing happened to");
    for checkpoint in CHECKPOINTS {
        let create = scene.command(["create", "-d", "ec2", "--no-wait", "dev"]);
        create.env("MACHINE_TEST_CRASH_AFTER", checkpoint).run().exits(137);
        launched_long_ago(&scene);
        scene.run("rm -y dev").ok();
        scene.nothing_is_left_of("dev");
        cloud.has_nothing(checkpoint);
    }
}

#[test]
fn after_a_crash_at_any_checkpoint_a_second_create_leaves_one_machine_and_no_more() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    for checkpoint in CHECKPOINTS {
        let create = || scene.command(["create", "-d", "ec2", "--no-wait", "dev"]);
        create().env("MACHINE_TEST_CRASH_AFTER", checkpoint).run().exits(137);
        launched_long_ago(&scene);
        create().run().ok();
        let state = cloud.state();
        assert_eq!(cloud.instances().len(), 1, "after {checkpoint}");
        for kind in ["groups", "keys", "volumes"] {
            assert_eq!(state[kind].as_array().unwrap().len(), 1, "{kind} after {checkpoint}: {state}");
        }
        scene.run("rm -y dev").ok();
        cloud.has_nothing(checkpoint);
    }
}

#[test]
fn an_answer_that_is_lost_after_the_launch_makes_no_second_instance() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    for action in ["RunInstances", "CreateSecurityGroup", "ImportKeyPair"] {
        cloud.fails(action, "InternalError", 500, 1, &json!({"after": true}));
    }
    scene.run("create -d ec2 --no-wait dev").ok();
    assert_eq!(cloud.instances().len(), 1, "{}", cloud.state());
    assert_eq!(cloud.calls("RunInstances"), 3, "a rehearsal, a call whose answer was lost, and the same again");
    scene.run("rm -y dev").ok();
    cloud.has_nothing("after rm");
}

#[test]
fn an_answer_that_never_comes_leaves_an_instance_that_rm_finds_by_its_tag() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    cloud.fails("RunInstances", "InternalError", 500, 9, &json!({"after": true}));
    let run = scene.run("create -d ec2 --ec2-retries 1 --no-wait dev");
    run.exits(1).fails_clearly().says("machine rm dev");
    assert_eq!(cloud.instances().len(), 1, "it was made all the same");
    assert!(scene.record("dev")["driver_state"]["instance"].is_null(), "and nobody knows its id");
    scene.run("rm -y dev").ok();
    cloud.has_nothing("after rm");
}

#[test]
fn calls_that_are_throttled_are_repeated_and_others_are_told_at_once() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    cloud.fails("DescribeSubnets", "RequestLimitExceeded", 503, 2, &json!({}));
    cloud.fails("RunInstances", "Throttling", 400, 1, &json!({}));
    scene.run("create -d ec2 --no-wait dev").ok();
    scene.run("rm -y dev").ok();

    cloud.fails(
        "RunInstances",
        "UnauthorizedOperation",
        403,
        1,
        &json!({"dry": true, "message": "You are not authorized."}),
    );
    let run = scene.run("create -d ec2 --no-wait dev");
    run.exits(3).fails_clearly().says("does not allow RunInstances").says("machine ec2 policy");
    scene.nothing_is_left_of("dev");
    cloud.has_nothing("after a rehearsal that failed");

    cloud.fails("RunInstances", "InsufficientInstanceCapacity", 500, 9, &json!({}));
    let run = scene.run("create -d ec2 --no-wait dev");
    run.exits(1).fails_clearly().says("no room for it at this moment").says("another --ec2-zone");
    assert_eq!(cloud.instances(), Vec::<Value>::new());
    assert!(!scene.record("dev")["driver_state"]["launched"].as_bool().unwrap(), "there is nothing to wait for");
    scene.run("rm -y dev").ok();
    cloud.has_nothing("after a launch that failed");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    for (words, code, told) in [
        ("--ec2-instance-type t9.nano", 3, "no such type of instance"),
        ("--ec2-instance-type t4g.small", 3, "no image \"ubuntu-24.04\" for arm64"),
        ("--ec2-ami ami-0f00000000000deb1", 3, "is for arm64"),
        ("--ec2-ami ami-00000000000000000", 3, "no such image"),
        ("--image fedora-43", 2, "does not know the image"),
        ("--ec2-zone z", 3, "has no subnet with room"),
        ("--ec2-subnet-id subnet-1", 3, "no subnet subnet-1"),
        ("--ec2-vpc-id vpc-1", 3, "no VPC vpc-1"),
        ("--ec2-security-group nope", 3, "no security group \"nope\""),
        ("--ec2-root-size 1", 3, "needs a disk of"),
        ("--ec2-userdata /does/not/exist", 3, "cannot read the user data"),
        ("--ec2-device-name /dev/xvdz", 3, "/dev/xvdz would be a second disk"),
        ("--ec2-security-group default --ec2-open-port 80", 2, "of no use with --ec2-security-group"),
        ("--ec2-request-spot-instance --ec2-termination-protection", 2, "cannot be protected"),
        ("--ec2-allow-cidr everywhere", 2, "is no network"),
        ("--ec2-region Europe", 2, "is no region"),
        ("--cpus 2", 2, "--ec2-instance-type"),
        ("--accelerator tcg", 2, "belong to the driver \"qemu\""),
        ("--expires soon", 2, "90m, 8h, 3d"),
    ] {
        let line = format!("create -d ec2 --no-wait {words} dev");
        scene.run(&line).exits(code).prints_nothing().says(told);
        scene.nothing_is_left_of("dev");
    }
    let script = scene.path("user-data");
    for (text, told) in [
        ("apt-get install x\n".to_owned(), "nothing that cloud-init knows"),
        ("#!/bin/sh\n".repeat(1200), "EC2 takes 16384"),
    ] {
        std::fs::write(&script, text).unwrap();
        let words = ["create", "-d", "ec2", "--no-wait", "--ec2-userdata", script.to_str().unwrap(), "dev"];
        scene.machine(words).exits(3).fails_clearly().says(told);
        scene.nothing_is_left_of("dev");
    }
    assert_eq!(cloud.calls("CreateSecurityGroup"), 0, "not even a rehearsal");
    scene.run("ec2 orphans --region eu-west-1 --region Europe").exits(2).says("is no region");
    scene.run("ec2 orphans --endpoint http://ec2.example.org").exits(2).says("without TLS");
    scene.run("create --ec2-region eu-central-1 dev").exits(2).says("belong to the driver \"ec2\"");
    let run = scene.command(["create", "-d", "ec2", "dev"]).without("AWS_ACCESS_KEY_ID").run();
    run.exits(3).fails_clearly().says("there are no AWS credentials").says("AWS_PROFILE");
    cloud.has_nothing("after all of these");
}

#[test]
fn what_no_record_knows_is_found_and_removed_and_what_one_knows_is_not() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    scene.run("create -d ec2 --no-wait kept").ok();
    scene.run("create -d ec2 --no-wait lost").ok();
    scene.run("ec2 orphans").ok().says("Nothing is left behind");
    std::fs::rename(scene.folder("lost"), scene.path("away")).unwrap();
    let found = scene.run("ec2 orphans --format json").ok().json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["machine"]), (1, &json!("lost")), "{found}");
    assert_eq!((found[0]["parts"].as_array().unwrap().len(), &found[0]["running"]), (4, &json!(true)), "{found}");
    scene.run("ec2 orphans --remove").exits(2);
    assert_eq!(cloud.instances().len(), 2, "nobody said yes");
    scene.run("ec2 orphans --remove -y").ok().says("Successfully removed what was left of lost");
    assert_eq!(cloud.instances().len(), 1);
    scene.run("ec2 orphans").ok().says("Nothing is left behind");

    // Another store's things are not ours to remove.
    let other = cloud.scene();
    other.run("ec2 orphans --remove -y").ok().says("Another store has things of 1 machine");
    assert_eq!(cloud.instances().len(), 1);
    scene.run("rm -y kept").ok();
    cloud.has_nothing("at the end");
}

#[test]
fn an_orphan_is_removed_be_it_protected_or_a_spot_instance_of_which_ec2_takes_no_word_on_protection() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    scene.run("create -d ec2 --ec2-termination-protection --no-wait kept").ok();
    std::fs::rename(scene.folder("kept"), scene.path("away")).unwrap();
    scene.run("ec2 orphans --remove -y").ok();
    cloud.has_nothing("after the protected one");
    scene.run("create -d ec2 --ec2-request-spot-instance --no-wait spot").ok();
    std::fs::rename(scene.folder("spot"), scene.path("away too")).unwrap();
    cloud.fails("ModifyInstanceAttribute", "UnsupportedOperation", 400, 9, &json!({}));
    scene.run("ec2 orphans --remove -y").ok();
    cloud.has_nothing("after the spot instance");
}

#[test]
fn a_machine_whose_record_cannot_be_read_is_neither_an_orphan_nor_forgotten() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    scene.run("create -d ec2 --no-wait dev").ok();
    let record = scene.record("dev");
    let spared = |told: &str| {
        scene.run("ec2 orphans --remove -y").ok().says(told).says("is left alone");
        assert_eq!(cloud.instances().len(), 1, "{told}");
    };
    std::fs::rename(scene.folder("dev"), scene.folder("other")).unwrap();
    spared("the record of \"dev\" in the folder \"other\"");
    std::fs::rename(scene.folder("other"), scene.folder("dev")).unwrap();

    let mut broken = record.clone();
    broken["driver_state"]["ssh_port"] = json!("x");
    write_record(&scene, &broken);
    spared("the record of \"dev\" cannot be read");
    scene.run("rm -y dev").exits(1).fails_clearly().says("says of EC2 cannot be read");
    scene.run("ls").exits(0);
    scene.run("rm -f -y dev").ok().says("may still be there (`machine ec2 orphans` finds it)");
    scene.nothing_is_left_of("dev");
    scene.run("ec2 orphans --remove -y").ok();
    cloud.has_nothing("after the orphans");

    scene.run("create -d ec2 --no-wait dev").ok();
    std::fs::write(scene.folder("dev").join("machine.json"), "{").unwrap();
    spared("the record of \"dev\" cannot be read");
    scene.run("rm -y dev").exits(1);
    scene.run("rm -f -y dev").ok().says("if it was at EC2, `machine ec2 orphans` finds what is left");
    scene.run("ec2 orphans --remove -y").ok();
    cloud.has_nothing("at the end");
}

#[test]
fn a_profile_that_is_named_goes_before_keys_of_the_environment_and_one_of_the_environment_does_not() {
    let cloud = PlayedCloud::new();
    let mut scene = cloud.scene();
    let config = scene.path("config");
    std::fs::write(&config, "[profile work]\naws_access_key_id = played\naws_secret_access_key = played\n").unwrap();
    scene.set("AWS_CONFIG_FILE", config);
    let run = scene.run("create -d ec2 --ec2-profile nobody --no-wait dev");
    run.exits(3).fails_clearly().says("of the profile \"nobody\"");
    let create = |words: &[&str]| scene.command(["create", "-d", "ec2", "--no-wait"].iter().chain(words));
    create(&["--ec2-profile", "work", "dev"]).without("AWS_ACCESS_KEY_ID").run().ok();
    assert_eq!(scene.record("dev")["spec"]["options"]["profile"], "work");
    scene.run("rm -y dev").ok();
    create(&["dev"]).env("AWS_PROFILE", "work").run().ok();
    assert!(scene.record("dev")["spec"]["options"]["profile"].is_null());
    scene.run("rm -y dev").ok();
    cloud.has_nothing("at the end");
}

#[test]
fn a_machine_that_cannot_be_looked_at_is_not_taken_for_one_that_is_off() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    scene.run("create -d ec2 --no-wait dev").ok();
    let without = |words: &[&str]| scene.command(words).without("AWS_ACCESS_KEY_ID").run();
    without(&["stop", "dev"]).exits(1).fails_clearly().says("cannot be looked at").says("no AWS credentials");
    without(&["rm", "-y", "dev"]).exits(1).fails_clearly().says("no AWS credentials");
    let row = without(&["ls", "--format", "json"]).ok().json()[0].clone();
    assert!(row["error"].as_str().unwrap().contains("no AWS credentials"), "{row}");
    assert_eq!(cloud.instances().len(), 1);
    scene.run("rm -y dev").ok();
    cloud.has_nothing("after rm");
}

#[test]
fn a_group_and_a_key_pair_that_were_there_are_used_and_left_as_they_are() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    scene.run("create -d ec2 --no-wait first").ok();
    let before = cloud.state();
    let text = |kind: &str| before[kind][0]["name"].as_str().unwrap().to_owned();
    let (group, key) = (text("groups"), text("keys"));
    let file = scene.folder("first").join("id_ed25519");
    let words = ["create", "-d", "ec2", "--no-wait", "--ec2-security-group", &group, "--ec2-keypair-name", &key];
    scene.machine(words.iter().copied().chain(["--ec2-ssh-keypath", file.to_str().unwrap(), "second"])).ok();
    let state = cloud.state();
    assert_eq!((&state["groups"], &state["keys"]), (&before["groups"], &before["keys"]), "nothing of them changed");
    assert_eq!(cloud.instances()[1]["key_name"], key.as_str());
    assert_eq!(std::fs::read(scene.folder("second").join("id_ec2")).unwrap(), std::fs::read(&file).unwrap());
    scene.run("rm -y second").ok();
    let state = cloud.state();
    assert_eq!((&state["groups"], &state["keys"]), (&before["groups"], &before["keys"]), "nor did they go");
    scene.run("rm -y first").ok();
    cloud.has_nothing("after both are gone");
}

/// Waits until the played EC2 shows an instance that runs and is reached elsewhere than `before`; returns it.
fn launched(cloud: &PlayedCloud, before: Option<IpAddr>, by: &Running) -> (Value, IpAddr) {
    until(&format!("an instance that process {} starts", by.pid()), STEP, || {
        let instance = cloud.instances().into_iter().find(|instance| instance["state"] == "running")?;
        let address: IpAddr = instance["public"].as_str()?.parse().ok()?;
        (Some(address) != before).then_some((instance, address))
    })
}

fn create(scene: &Scene, host: &PlayedHost) -> Running {
    let port = host.port().to_string();
    let user = login_name();
    let words =
        ["create", "-d", "ec2", "--ec2-ssh-port", &port, "--ec2-ssh-user", &user, "--engine-source", "distro", "dev"];
    scene.command(words).limit(STEP * 2).start()
}

#[test]
fn a_whole_life_with_another_host_key_from_the_first_connection_on_and_another_address_after_a_stop() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let host = PlayedHost::debian();
    let creation = create(&scene, &host);
    let (instance, address) = launched(&cloud, None, &creation);
    let key = cloud.state()["keys"][0]["material"].as_str().unwrap().to_owned();
    host.boots_with(instance["user_data"].as_str().unwrap(), &key);
    let handed = host.host_key();
    host.appear_at(address);
    creation.finish().ok().says("Docker is up and running!");

    // The key of the user data is good for nothing any more, here and there.
    assert_ne!(host.host_key(), handed);
    assert_eq!(scene.record("dev")["host_key"], host.host_key());
    for file in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "next_host_key"] {
        assert!(!scene.folder("dev").join(file).exists(), "{file} is left");
    }
    assert_eq!(scene.run("ssh dev echo hello").ok().line(), "hello");
    assert_eq!(scene.run("url dev").ok().line(), format!("tcp://{address}:2376"));
    let row = scene.run("ls --format json").ok().json()[0].clone();
    assert_eq!((&row["state"], &row["docker_version"]), (&json!("Running"), &json!("v26.1.5")), "{row}");

    scene.run("stop dev").ok();
    scene.run("env dev").exits(1);
    let start = scene.command(["start", "dev"]).limit(STEP).start();
    let (_, moved) = launched(&cloud, Some(address), &start);
    host.appear_at(moved);
    start.finish().ok();
    assert_eq!(scene.run("url dev").ok().line(), format!("tcp://{moved}:2376"));
    let row = scene.run("ls --format json").ok().json()[0].clone();
    assert_eq!(row["docker_version"], "v26.1.5", "its certificate is good for where it is now: {row}");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
    cloud.has_nothing("after rm");
}

#[test]
fn after_a_crash_while_the_host_key_changes_the_machine_is_still_known() {
    for checkpoint in ["host-key", "host-key-changed"] {
        let cloud = PlayedCloud::new();
        let mut scene = cloud.scene();
        let host = PlayedHost::debian();
        scene.set("MACHINE_TEST_CRASH_AFTER", checkpoint);
        let creation = create(&scene, &host);
        let (instance, address) = launched(&cloud, None, &creation);
        let key = cloud.state()["keys"][0]["material"].as_str().unwrap().to_owned();
        host.boots_with(instance["user_data"].as_str().unwrap(), &key);
        host.appear_at(address);
        creation.finish().exits(137);
        scene.unset("MACHINE_TEST_CRASH_AFTER");
        if checkpoint == "host-key-changed" {
            // As one that came a little further leaves it.
            for file in ["next_host_key", "ssh_host_ed25519_key.pub"] {
                std::fs::remove_file(scene.folder("dev").join(file)).unwrap();
            }
        }
        scene.run("start dev").ok();
        assert_eq!(scene.record("dev")["host_key"], host.host_key(), "after {checkpoint}");
        assert_eq!(scene.run("ssh dev echo hello").ok().line(), "hello");
        scene.run("rm -y dev").ok();
        cloud.has_nothing(checkpoint);
    }
}
