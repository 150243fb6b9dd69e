//! Workshops at EC2, which is played by moto: what is launched, who gets in, what is left.

use std::net::SocketAddr;
use std::time::Duration;

use machine_tests::{PlayedCloud, PlayedHost, Scene, login_name, until};
use serde_json::{Value, json};

/// The checkpoints of a workshop as far as it comes without SSH, in their order.
const CHECKPOINTS: &[&str] = &["reserved", "security-group", "key-pair", "instance", "adopted", "launched", "address"];
/// How long one of its steps may take here.
const STEP: Duration = Duration::from_secs(120);
/// A workshop whose hosts nobody lets in: as far as EC2 goes.
const UNREACHED: &str = "workshop create -d ec2 --count 2 --jobs 99 --timeout 1 lab";

fn workshop_record(scene: &Scene) -> Value {
    let text = std::fs::read(scene.store().join("workshops/lab/workshop.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// A `create` that dies after that checkpoint.
fn dies_after(scene: &Scene, checkpoint: &str) {
    let create = scene.command(UNREACHED.split(' ')).limit(STEP).env("MACHINE_TEST_CRASH_AFTER", checkpoint);
    create.run().exits(137);
    launched_long_ago(scene);
}

/// As if its instances had been asked for long ago, so that none can still turn up.
fn launched_long_ago(scene: &Scene) {
    let mut record = workshop_record(scene);
    if let Some(at) = record["pattern"]["driver_state"].get_mut("launched_at") {
        *at = json!("2026-01-01T00:00:00Z");
        std::fs::write(scene.store().join("workshops/lab/workshop.json"), record.to_string()).unwrap();
    }
}

#[track_caller]
fn nothing_is_left(scene: &Scene, cloud: &PlayedCloud, when: &str) {
    cloud.has_nothing(when);
    let folder = |name: &str| std::fs::read_dir(scene.store().join(name)).map_or(0, Iterator::count);
    assert_eq!((folder("workshops"), folder("machines")), (0, 0), "{when}");
}

#[test]
fn after_a_crash_at_any_checkpoint_rm_leaves_nothing_of_a_workshop() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    for checkpoint in CHECKPOINTS {
        dies_after(&scene, checkpoint);
        scene.run("ec2 orphans").ok().says("Nothing is left behind");
        scene.run("workshop rm -y lab").ok();
        nothing_is_left(&scene, &cloud, checkpoint);
    }
}

#[test]
fn after_a_crash_at_any_checkpoint_retry_leaves_as_many_instances_as_were_asked_for() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    for checkpoint in CHECKPOINTS {
        dies_after(&scene, checkpoint);
        let retry = scene.command("workshop retry lab --jobs 99".split(' ')).limit(STEP);
        // It would wait for sshd for minutes: as far as the instances is far enough.
        retry.env("MACHINE_TEST_CRASH_AFTER", "address").run().exits(137);
        assert_eq!(cloud.instances().len(), 2, "after {checkpoint}");
        let state = cloud.state();
        for kind in ["groups", "keys"] {
            assert_eq!(state[kind].as_array().unwrap().len(), 1, "{kind} after {checkpoint}: {state}");
        }
        scene.run("workshop rm -y lab").ok();
        nothing_is_left(&scene, &cloud, checkpoint);
    }
}

#[test]
fn instances_whose_answer_never_came_are_adopted_by_retry() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    cloud.fails("RunInstances", "InternalError", 500, 9, &json!({"after": true}));
    let run = scene.run("workshop create -d ec2 --count 3 --ec2-retries 1 lab");
    run.exits(1).fails_clearly().says("has no host").says("workshop retry lab");
    assert_eq!(cloud.instances().len(), 3, "they were made all the same");
    launched_long_ago(&scene);
    let launches = cloud.calls("RunInstances");
    let retry = scene.command("workshop retry lab".split(' ')).limit(STEP);
    retry.env("MACHINE_TEST_CRASH_AFTER", "address").run().exits(137);
    assert_eq!((cloud.instances().len(), cloud.calls("RunInstances")), (3, launches), "nothing more was launched");
    // Each is a machine like any other, and goes without what the others use.
    assert_eq!(scene.run("ls -q").ok().text(), "lab-01\nlab-02\nlab-03\n");
    scene.run("rename lab-01 other").exits(2).says("is a host of the workshop \"lab\"");
    scene.run("rm -y lab-02").ok();
    let state = cloud.state();
    assert_eq!(cloud.instances().len(), 2);
    assert_eq!((state["groups"].as_array().unwrap().len(), state["keys"].as_array().unwrap().len()), (1, 1));
    scene.run("workshop rm -y lab").ok();
    nothing_is_left(&scene, &cloud, "after rm");
}

#[test]
fn what_no_workshop_knows_is_an_orphan_with_all_its_hosts() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let create = scene.command(UNREACHED.split(' ')).limit(STEP).env("MACHINE_TEST_CRASH_AFTER", "launched");
    create.run().exits(137);
    std::fs::remove_dir_all(scene.store().join("workshops/lab")).unwrap();
    scene.run("ec2 orphans").ok().says("Nothing is left behind");
    for host in ["lab-01", "lab-02"] {
        std::fs::remove_dir_all(scene.folder(host)).unwrap();
    }
    let found = scene.run("ec2 orphans --format json").ok().json();
    assert_eq!((&found[0]["machine"], found[0]["parts"].as_array().unwrap().len()), (&json!("lab"), 6), "{found}");
    scene.run("ec2 orphans --remove -y").ok();
    nothing_is_left(&scene, &cloud, "after the orphans");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let roster = scene.path("roster.csv");
    std::fs::write(&roster, "Ann,ann@example.org\nBo,bo\n").unwrap();
    let roster = roster.display();
    for (words, told) in [
        ("lab".to_owned(), "how many hosts?"),
        ("--count 0 lab".to_owned(), "from 1 to 200"),
        ("--count 201 lab".to_owned(), "from 1 to 200"),
        (format!("--roster {roster} lab"), "line 2 of the roster"),
        ("--roster /does/not/exist lab".to_owned(), "/does/not/exist"),
        ("--count 2 --put nowhere lab".to_owned(), "--put takes"),
        ("--count 2 --pull a;b lab".to_owned(), "is no image"),
        ("--count 2 --no-wait lab".to_owned(), "leave --no-wait out"),
        ("--count 2 --open-port 0 lab".to_owned(), "is no port"),
        (
            "--count 2 --driver generic --generic-ip-address 127.0.0.1 --generic-ssh-key x lab".to_owned(),
            "make no workshop",
        ),
        ("--count 2 LAB!".to_owned(), "invalid machine name"),
    ] {
        let line = format!("workshop create -d ec2 {words}")
            .replace("-d ec2 --count 2 --driver generic", "--count 2 --driver generic");
        let run = scene.run(&line);
        assert!(run.text().is_empty() && run.stderr.contains(told), "{line}: {}", run.stderr);
        assert_ne!(run.code(), 0, "{line}");
    }
    for line in [
        "workshop status lab",
        "workshop rm -y lab",
        "workshop retry lab",
        "workshop handout lab",
        "workshop exec lab true",
    ] {
        scene.run(line).exits(1).says("there is no workshop \"lab\"");
    }
    scene.run("workshop ls --format json").ok();
    assert_eq!(cloud.calls("RunInstances"), 0);
    nothing_is_left(&scene, &cloud, "after all of these");
}

#[test]
fn the_number_of_calls_for_a_hundred_hosts_is_that_for_a_few() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let all = || cloud.state()["calls"].as_array().unwrap().len();
    let create = "workshop create -d ec2 --count 100 --jobs 100 --timeout 1 lab".split(' ');
    scene.command(create).limit(STEP).run().exits(1).says("0 of 100 hosts of lab are ready");
    assert_eq!((cloud.instances().len(), cloud.calls("RunInstances")), (100, 2), "a rehearsal, and one launch");
    assert!(all() < 40, "{} calls: {}", all(), cloud.state()["calls"]);

    let before = cloud.calls("DescribeInstances");
    let rows = scene.command(["ls", "--timeout", "1", "--format", "json"]).limit(STEP).run();
    assert_eq!(rows.ok().json().as_array().unwrap().len(), 100);
    let looks = cloud.calls("DescribeInstances") - before;
    assert!(looks <= 4, "{looks} looks at a hundred hosts");

    let before = all();
    scene.command(["workshop", "rm", "-y", "lab"]).limit(STEP).run().ok();
    assert_eq!(cloud.calls("TerminateInstances"), 1);
    assert!(all() - before < 20, "{} calls to remove them", all() - before);
    nothing_is_left(&scene, &cloud, "after rm");
}

/// Boots a played host behind each instance that has none yet.
fn boot(cloud: &PlayedCloud, port: u16, hosts: &mut Vec<(String, PlayedHost)>, count: usize) {
    let instances = until("the instances", STEP, || {
        let all = cloud.instances();
        let up = all.iter().filter(|instance| instance["state"] == "running" && instance["public"].is_string());
        (up.count() == count).then_some(all)
    });
    let key = cloud.state()["keys"][0]["material"].as_str().unwrap().to_owned();
    for instance in instances {
        let id = instance["id"].as_str().unwrap().to_owned();
        if hosts.iter().any(|(known, _)| *known == id) {
            continue;
        }
        let host = PlayedHost::debian();
        host.boots_with(instance["user_data"].as_str().unwrap(), &key);
        host.appear_with_ssh_at(SocketAddr::new(instance["public"].as_str().unwrap().parse().unwrap(), port));
        hosts.push((id, host));
    }
}

#[test]
fn a_whole_workshop_with_room_for_all_but_one_at_first() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    cloud.has_room_for(2);
    let roster = scene.path("roster.csv");
    std::fs::write(&roster, "\u{feff}Name;E-Mail\r\nAnn Lee;ann.lee@example.org\r\n\"Bo; Jr.\";\r\n").unwrap();
    let exercises = scene.path("Übungen");
    std::fs::create_dir(&exercises).unwrap();
    std::fs::write(exercises.join("one.txt"), "first\n").unwrap();
    // One port for all, each at an address of its own.
    let port = 2222;
    let user = login_name();
    let words = format!(
        "workshop create -d ec2 --count 3 --roster {} --ec2-ssh-port {port} --ec2-ssh-user {user} --engine-source distro --open-port 80 --put {} --expires 8h lab",
        roster.display(),
        exercises.display()
    );
    let mut hosts = Vec::new();
    let creation = scene.command(words.split(' ')).limit(STEP).start();
    boot(&cloud, port, &mut hosts, 2);
    creation.finish().exits(1).says("There is room for 2 of 3 hosts").says("2 of 3 hosts of lab are ready");
    let handed: Vec<String> = hosts.iter().map(|(_, host)| host.host_key()).collect();
    assert!(
        handed.iter().enumerate().all(|(at, key)| !handed[..at].contains(key)),
        "each has a key of its own: {handed:?}"
    );
    let state = cloud.state();
    assert_eq!((state["groups"].as_array().unwrap().len(), state["keys"].as_array().unwrap().len()), (1, 1));
    assert_eq!(state["instances"][0]["tags"]["machine:fleet"], "lab");
    assert_eq!(cloud.calls("RunInstances"), 2, "a rehearsal, and one launch for all");

    cloud.has_room_for(9);
    let retry = scene.command(["workshop", "retry", "lab"]).limit(STEP).start();
    boot(&cloud, port, &mut hosts, 3);
    retry.finish().ok().says("3 of 3 hosts of lab are ready");
    // What was handed to the last one was not what the first had.
    assert_ne!(cloud.instances()[0]["user_data"], cloud.instances()[2]["user_data"]);

    let status = scene.run("workshop status lab --format json").ok().json();
    let seat = |at: usize| status["seats"][at].clone();
    assert_eq!((&seat(0)["person"], &seat(0)["account"]), (&json!("Ann Lee"), &json!("ann-lee")));
    assert_eq!((&seat(2)["person"], &seat(2)["account"]), (&json!(null), &json!("student")));
    assert!((0..3).all(|at| seat(at)["engine"] == "26.1.5" && seat(at)["state"] == "Running"), "{status}");
    for (_, host) in &hosts {
        let home = host.root("home");
        let homes: Vec<_> = std::fs::read_dir(&home).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(homes.iter().any(|home| home.join("Übungen/one.txt").is_file()), "{homes:?}");
    }
    let run = scene.run("workshop exec lab -- echo hello");
    run.ok();
    let mut lines: Vec<_> = run.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["lab-01: hello", "lab-02: hello", "lab-03: hello"]);
    scene.run("workshop exec lab -- exit 3").exits(1).says("It failed on:").says("lab-03 (exit code 3)");

    scene.run("workshop handout lab --dir pages").ok().says("3 pages are in");
    let page = std::fs::read_to_string(scene.path("pages/lab-01-ann-lee.html")).unwrap();
    assert!(page.contains("Ann Lee") && page.contains("<svg") && page.contains("ssh -i lab-01-ann-lee.key"), "{page}");
    let list = std::fs::read_to_string(scene.path("pages/hosts.csv")).unwrap();
    assert_eq!(list.lines().count(), 4, "{list}");

    let ends = scene.record("lab-01")["driver_state"]["expires"].clone();
    for (_, host) in &hosts {
        let timer = host.root("etc/systemd/system/machine-expiry.timer");
        std::fs::create_dir_all(timer.parent().unwrap()).unwrap();
        std::fs::write(timer, "[Timer]\nOnCalendar=2026-11-22 17:00:00 UTC\n").unwrap();
    }
    scene.run("workshop extend lab --by 2h").ok().says("lab ends at");
    let later = scene.record("lab-01")["driver_state"]["expires"].clone();
    assert_ne!(ends, later);
    assert_eq!(cloud.calls("CreateTags"), 1);
    scene.run("extend lab-01 --by 1h").ok().says("lab-01 ends at");
    for (at, instance) in cloud.instances().iter().enumerate() {
        let tag = instance["tags"]["machine:expires"].as_str().unwrap();
        let told = later.as_str().unwrap();
        assert_eq!(tag[..17] == told[..17], at != 0, "{tag}, {told}");
    }
    for (_, host) in &hosts {
        let timer = std::fs::read_to_string(host.root("etc/systemd/system/machine-expiry.timer")).unwrap();
        assert!(!timer.contains("2026-11-22 17:00:00"), "{timer}");
    }
    scene.run("workshop rm -y lab").ok();
    nothing_is_left(&scene, &cloud, "after rm");
}

#[test]
fn passwords_are_made_by_the_handout_stand_on_its_pages_and_nowhere_else() {
    let cloud = PlayedCloud::new();
    let scene = cloud.scene();
    let port = 2223;
    let user = login_name();
    let words = format!(
        "workshop create -d ec2 --count 1 --login password --ec2-ssh-port {port} --ec2-ssh-user {user} --engine-source distro lab"
    );
    let mut hosts = Vec::new();
    let creation = scene.command(words.split(' ')).limit(STEP).start();
    boot(&cloud, port, &mut hosts, 1);
    creation.finish().ok().says("1 of 1 hosts of lab are ready");
    let host = &hosts[0].1;
    // A host that takes none has no page, and gets one later.
    scene.run("workshop handout lab").exits(1).says("lab-01 has no page").says("reads no files of");
    std::fs::create_dir_all(host.root("etc/ssh/sshd_config.d")).unwrap();
    scene.run("workshop handout lab").ok().says("1 pages are in");
    let page = std::fs::read_to_string(scene.path("lab-handout/lab-01-student.md")).unwrap();
    let password =
        page.lines().find_map(|line| line.strip_prefix("- Password: `")).unwrap().trim_end_matches('`').to_owned();
    let set = std::fs::read_to_string(host.root("play/passwords")).unwrap();
    assert!(set.ends_with(&format!("student:{password}\n")), "{set}");
    let config = std::fs::read_to_string(host.root("etc/ssh/sshd_config.d/10-machine-student.conf")).unwrap();
    assert_eq!(config, "Match User student\n    PasswordAuthentication yes\n");
    assert!(
        !workshop_record(&scene).to_string().contains(&password)
            && !scene.record("lab-01").to_string().contains(&password)
    );
    use std::os::unix::fs::PermissionsExt as _;
    for file in std::fs::read_dir(scene.path("lab-handout")).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }

    scene.run("workshop handout lab").ok().says("left as it is: lab-01");
    assert_eq!(std::fs::read_to_string(scene.path("lab-handout/lab-01-student.md")).unwrap(), page);
    scene.run("workshop handout lab --new-passwords").ok();
    assert_ne!(std::fs::read_to_string(scene.path("lab-handout/lab-01-student.md")).unwrap(), page);

    // A run that breaks off before the page is written gave nobody anything.
    let broken = scene.command(["workshop", "handout", "lab", "--new-passwords"]);
    broken.env("MACHINE_TEST_CRASH_AFTER", "password-set").run().exits(137);
    scene.run("workshop handout lab").ok().says("1 pages are in");
    let page = std::fs::read_to_string(scene.path("lab-handout/lab-01-student.md")).unwrap();
    let set = std::fs::read_to_string(host.root("play/passwords")).unwrap();
    let password = set.trim_end().rsplit(':').next().unwrap();
    assert!(page.contains(&format!("- Password: `{password}`\n")), "{page}");

    // Another one in its place begins anew.
    scene.run("rm -y lab-01").ok();
    let status = scene.run("workshop status lab --format json").ok().json();
    assert_eq!((&status["seats"][0]["state"], &status["seats"][0]["prepared"]), (&json!("Missing"), &json!(false)));
    let retry = scene.command(["workshop", "retry", "lab"]).limit(STEP).start();
    boot(&cloud, port, &mut hosts, 1);
    retry.finish().ok().says("lab-01 is ready");
    assert!(std::fs::read_to_string(hosts[1].1.root("etc/passwd")).unwrap().contains("\nstudent:"));
    std::fs::create_dir_all(hosts[1].1.root("etc/ssh/sshd_config.d")).unwrap();
    scene.run("workshop handout lab").ok().says("1 pages are in");
    scene.run("workshop rm -y lab").ok();
    nothing_is_left(&scene, &cloud, "after rm");
}
