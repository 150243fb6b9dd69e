//! Adopting hosts that something is wrong with: each failure says what it is, and the machine stays usable.

use std::time::Duration;

use machine_tests::{PlayedHost, Run, Scene, until};

/// A host, a scene, and the machine `host` in it.
struct Adoption {
    host: PlayedHost,
    scene: Scene,
}

impl Adoption {
    fn new() -> Self {
        Self { host: PlayedHost::debian(), scene: Scene::new() }
    }

    fn create(&self) -> Run {
        self.scene.machine(self.host.adoption("host"))
    }

    /// The host has everything but a way to its engine's port: as far as an adoption comes here.
    #[track_caller]
    fn comes_as_far_as_the_engine(&self, run: &Run) {
        run.exits(1).fails_clearly().says("the engine runs and does not answer here at 127.0.0.1:9 within 1 s");
        run.says("let TCP port 9 through");
    }

    /// A failure leaves a machine that one can log in to, provision and remove.
    #[track_caller]
    fn fails(&self, run: &Run, what: &str) {
        run.exits(1).prints_nothing().fails_clearly().says(what);
        assert_eq!(self.scene.run("ssh host echo hello").ok().line(), "hello");
    }

    #[track_caller]
    fn recovers(&self) {
        self.comes_as_far_as_the_engine(&self.scene.run("provision --timeout 1 host"));
        self.scene.run("rm -y host").ok();
        self.scene.nothing_is_left_of("host");
    }
}

#[test]
fn a_bare_host_gets_everything_once_and_a_second_run_changes_nothing() {
    let adoption = Adoption::new();
    let run = adoption.create();
    adoption.comes_as_far_as_the_engine(&run);
    run.says("Installing Docker Engine (the distribution's packages)");
    let told = adoption.host.log();
    assert_eq!(told.matches("systemctl start docker.service").count(), 1, "{told}");
    assert!(!told.contains("restart docker"), "it starts once, with all its settings: {told}");
    let text = std::fs::read_to_string(adoption.host.root("etc/docker/daemon.json")).unwrap();
    assert!(text.contains("provider=generic"), "{text}");

    let plan = adoption.scene.run("provision --plan host");
    let to_do: Vec<&str> = plan.ok().text().lines().filter(|line| line.starts_with("to do")).collect();
    assert!(to_do.len() == 1 && to_do[0].contains("proof"), "{plan}");
    adoption.comes_as_far_as_the_engine(&adoption.scene.run("provision --timeout 1 host"));
    let changes = |log: &str| {
        log.lines().filter(|line| !line.contains(" is-") && !line.contains(" show ") && !line.contains(" cat ")).count()
    };
    assert_eq!(changes(&adoption.host.log()), changes(&told), "{}", adoption.host.log());
    adoption.recovers();
}

#[test]
fn what_others_wrote_in_daemon_json_stays() {
    let adoption = Adoption::new();
    std::fs::create_dir(adoption.host.root("etc/docker")).unwrap();
    let file = adoption.host.root("etc/docker/daemon.json");
    std::fs::write(&file, r#"{"debug": true, "insecure-registries": ["theirs:5000"]}"#).unwrap();
    let words = adoption.host.adoption("host");
    adoption
        .scene
        .machine(words.iter().map(String::as_str).chain(["--engine-insecure-registry", "ours:5000"]))
        .exits(1);
    let json = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&json()["debug"], &json()["insecure-registries"]),
        (&true.into(), &serde_json::json!(["theirs:5000", "ours:5000"]))
    );
    adoption.scene.machine(["set", "host", "--engine-insecure-registry", ""]).exits(1);
    assert_eq!(json()["insecure-registries"], serde_json::json!(["theirs:5000"]));
    std::fs::write(&file, "{ broken").unwrap();
    let broken = adoption.scene.run("provision --timeout 1 host");
    broken.exits(1).fails_clearly().says("/etc/docker/daemon.json of the host is not a JSON object");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ broken", "nobody touches it");
}

#[test]
fn without_sudo_or_with_one_that_asks_or_refuses_nothing_is_done() {
    for (sudo, what) in [
        (None, "there is no sudo on the host"),
        (Some("sudo: a password is required\n"), "sudo wants a password of \"ann\""),
        (Some("Sorry, user ann may not run sudo on host.\n"), "sudo refuses \"ann\": Sorry, user ann may not run sudo"),
    ] {
        let adoption = Adoption::new();
        adoption.host.play("user", "ann");
        match sudo {
            Some(words) => adoption.host.play("sudo", words),
            None => std::fs::remove_file(adoption.host.root("usr/local/bin/sudo")).unwrap(),
        }
        adoption.fails(&adoption.create(), what);
        assert!(!adoption.host.log().contains("apt-get"), "{}", adoption.host.log());
        if sudo.is_some() {
            adoption.host.unplay("sudo");
            adoption.recovers();
            let group = std::fs::read_to_string(adoption.host.root("etc/group")).unwrap();
            assert!(group.contains("wheel:x:10:ann") && group.contains("docker:x:999:ann"), "{group}");
        }
    }
}

#[test]
fn a_full_disk_is_told_before_and_while_packages_are_installed() {
    let adoption = Adoption::new();
    adoption.host.play("free", "50000");
    adoption.fails(&adoption.create(), "the disk of the host is full: 48 MiB are free, 900 MiB are needed");
    adoption.host.unplay("free");
    adoption.host.play(
        "apt-get",
        "case \"$*\" in *install*) echo 'dpkg: error: failed to write (No space left on device)' >&2; exit 100 ;; esac",
    );
    let run = adoption.scene.run("provision --timeout 1 host");
    adoption.fails(&run, "Installing Docker Engine (the distribution's packages): the disk of the host is full");
    run.says("failed to write (No space left on device)");
    adoption.host.unplay("apt-get");
    adoption.recovers();
}

#[test]
fn a_held_package_lock_is_waited_for_and_then_told() {
    let adoption = Adoption::new();
    // The first three times somebody else has it.
    adoption.host.play(
        "apt-get",
        "case \"$*\" in *update*) echo x >>/play/tries; [ $(wc -l </play/tries) -gt 3 ] ||\n\
         { echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)'; exit 100; } ;; esac",
    );
    adoption.comes_as_far_as_the_engine(&adoption.create());
    assert_eq!(std::fs::read_to_string(adoption.host.root("play/tries")).unwrap().lines().count(), 4);

    let for_ever = Adoption::new();
    for_ever.host.play("apt-get", "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)'; exit 100");
    for_ever.fails(&for_ever.create(), "another program on the host holds the lock of its package manager");
    for_ever.host.unplay("apt-get");
    for_ever.recovers();
}

#[test]
fn a_package_source_that_is_down_and_packages_that_are_not_there_are_told_apart() {
    let adoption = Adoption::new();
    adoption.host.play(
        "apt-get",
        "case \"$*\" in *install*) echo 'E: Failed to fetch http://d/x.deb  Could not connect to d:80 (192.0.2.1), connection timed out'; exit 100 ;; esac",
    );
    adoption.fails(&adoption.create(), "the source of its packages does not answer");
    adoption
        .host
        .play("apt-get", "case \"$*\" in *install*) echo 'E: Unable to locate package docker.io'; exit 100 ;; esac");
    adoption
        .fails(&adoption.scene.run("provision --timeout 1 host"), "the host's package sources do not have the engine");
    adoption.host.unplay("apt-get");
    adoption.recovers();
}

#[test]
fn an_unknown_distribution_and_a_read_only_one_are_refused() {
    let adoption = Adoption::new();
    std::fs::write(adoption.host.root("etc/os-release"), "ID=plan9\nPRETTY_NAME=\"Plan 9\"\n").unwrap();
    adoption.fails(&adoption.create(), "OS type not recognized: Plan 9");
    let adoption = Adoption::new();
    std::fs::write(adoption.host.root("proc/mounts"), "/dev/vda / ext4 ro,relatime 0 0\n").unwrap();
    adoption.fails(&adoption.create(), "the file system / of the host is read-only");
    std::fs::write(adoption.host.root("proc/mounts"), "/dev/vda / ext4 rw 0 0\n").unwrap();
    adoption.recovers();
}

#[test]
fn a_clock_that_is_off_by_a_year_is_set() {
    let adoption = Adoption::new();
    adoption.host.play("clock", "-31622400");
    let run = adoption.create();
    adoption.comes_as_far_as_the_engine(&run);
    run.says("Setting the clock, which is 366 days behind");
    assert!(adoption.host.log().contains("date -u -s @"), "{}", adoption.host.log());
}

#[test]
fn an_engine_that_does_not_start_is_told_in_its_own_words() {
    let adoption = Adoption::new();
    adoption.host.play("does-not-start", "");
    let run = adoption.create();
    adoption.fails(&run, "Starting Docker Engine: Docker Engine is installed and does not start");
    run.says("error initializing graphdriver: driver not supported").says("journalctl -u docker");
    assert!(adoption.scene.run("logs host").ok().text().contains("error initializing graphdriver"));
    adoption.host.unplay("does-not-start");
    adoption.recovers();
}

#[test]
fn a_connection_cut_in_the_middle_of_a_step_is_told_and_the_next_run_carries_on() {
    let adoption = Adoption::new();
    // It says so, and is at it for longer than anybody waits.
    adoption.host.play("apt-get", "case \"$*\" in *install*) echo cutting; : >/play/at-it; busybox sleep 60 ;; esac");
    let creation = adoption.scene.command(adoption.host.adoption("host")).limit(Duration::from_secs(60)).start();
    let at_it = adoption.host.root("play/at-it");
    until("the installation to begin", Duration::from_secs(30), || at_it.exists().then_some(()));
    adoption.host.cut_connections();
    let run = creation.finish();
    adoption.fails(&run, "the connection to the host was cut");
    run.says("`machine provision host` carries on");
    adoption.host.unplay("apt-get");
    adoption.recovers();
}

#[test]
fn another_host_key_than_the_pinned_one_is_refused_at_every_step() {
    let adoption = Adoption::new();
    adoption.comes_as_far_as_the_engine(&adoption.create());
    adoption.host.change_host_key();
    adoption.scene.run("ssh host true").exits(1).fails_clearly().says("host key").says("is not the pinned one");
    adoption.scene.run("provision --timeout 1 host").exits(1).fails_clearly().says("is not the pinned one");
    adoption.scene.run("rm -y host").ok();
    adoption.scene.nothing_is_left_of("host");
}

#[test]
fn what_stands_in_the_way_of_a_login_is_found_before_anything_is_made() {
    let adoption = Adoption::new();
    let refused = |change: &dyn Fn(&mut Vec<String>), code: i32, what: &str| {
        let mut words = adoption.host.adoption("host");
        change(&mut words);
        adoption.scene.machine(&words).exits(code).prints_nothing().fails_clearly().says(what);
        adoption.scene.nothing_is_left_of("host");
    };
    let set = |words: &mut Vec<String>, flag: &str, value: &str| {
        let at = words.iter().position(|word| word == flag).unwrap();
        words[at + 1] = value.to_owned();
    };
    refused(&|words| set(words, "--generic-ssh-user", "nobody-here"), 3, "refuses user \"nobody-here\" with the key");
    let other_key = adoption.scene.path("other_key");
    let keygen = |more: &[&str]| {
        let _first = std::fs::remove_file(&other_key);
        adoption
            .scene
            .program("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-f"])
            .args([&other_key])
            .args(more)
            .run()
            .ok();
    };
    keygen(&["-N", ""]);
    refused(&|words| set(words, "--generic-ssh-key", &other_key.display().to_string()), 3, "refuses user");
    keygen(&["-N", "secret"]);
    refused(&|words| set(words, "--generic-ssh-key", &other_key.display().to_string()), 3, "locked with a passphrase");
    refused(&|words| set(words, "--generic-ssh-key", "/does/not/exist"), 3, "cannot read the key /does/not/exist");
    let public = format!("{}.pub", other_key.display());
    refused(&|words| set(words, "--generic-ssh-key", &public), 3, "is not a private key");
    let wrong = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    refused(&|words| set(words, "--generic-host-key", wrong), 3, "is not the pinned one");
    refused(&|words| set(words, "--generic-host-key", "nonsense"), 2, "is not a host key");
    refused(&|words| set(words, "--generic-ssh-port", "7"), 3, "cannot connect");
    refused(&|words| set(words, "--generic-ssh-port", "9"), 2, "must be two");
    refused(&|words| set(words, "--generic-ip-address", ""), 3, "nobody knows an address");
    refused(&|words| words.extend(["--accelerator".into(), "tcg".into()]), 2, "belong to the driver \"qemu\"");
    refused(&|words| words.extend(["--docker-user".into(), "Not A Name".into()]), 2, "invalid user name");
    adoption.scene.run("create -d generic host").exits(2).says("requires the --generic-ip-address option");
    adoption.scene.run("create --generic-ip-address 127.0.0.1 host").exits(2).says("belong to the driver \"generic\"");
}

#[test]
fn a_host_key_that_nobody_confirmed_is_shown_and_asked_for() {
    let adoption = Adoption::new();
    let mut words = adoption.host.adoption("host");
    let at = words.iter().position(|word| word == "--generic-host-key").unwrap();
    words.drain(at..at + 2);
    let run = adoption.scene.machine(&words);
    run.exits(2).prints_nothing().fails_clearly().says("The authenticity of host \"127.0.0.1\" can't be established");
    run.says("ssh-ed25519 key fingerprint is SHA256:")
        .says(&format!("--generic-host-key '{}'", adoption.host.host_key()));
    adoption.scene.nothing_is_left_of("host");

    let line: String = words.iter().map(|word| format!("'{word}' ")).collect();
    let mut terminal =
        machine_tests::Terminal::open(&adoption.scene, 40, 120, &format!("machine {line}; echo left=$?"));
    terminal.shows("(y/n): ");
    terminal.types("n\n");
    terminal.shows("left=0");
    terminal.ends();
    adoption.scene.nothing_is_left_of("host");
    let mut terminal =
        machine_tests::Terminal::open(&adoption.scene, 40, 120, &format!("machine {line}; echo left=$?"));
    terminal.shows("(y/n): ");
    terminal.types("y\n");
    terminal.shows("left=1");
    terminal.ends();
    assert_eq!(adoption.scene.record("host")["spec"]["options"]["host_key"], adoption.host.host_key());
}

#[test]
fn an_adopted_host_is_neither_started_stopped_nor_killed_from_here() {
    let adoption = Adoption::new();
    adoption.comes_as_far_as_the_engine(&adoption.create());
    for command in ["stop host", "kill host", "restart host"] {
        adoption.scene.run(command).exits(1).prints_nothing().fails_clearly().says("adopted");
    }
    assert_eq!(adoption.scene.status("host"), "Running");
    assert_eq!(adoption.scene.run("ip host").ok().line(), "127.0.0.1");
    let row = adoption.scene.run("ls --format json").ok().json()[0].clone();
    assert_eq!((row["driver"].as_str(), row["url"].as_str()), (Some("generic"), Some("tcp://127.0.0.1:9")), "{row}");
    adoption.scene.run("upgrade host").exits(1);
    assert!(
        adoption.host.log().contains("--only-upgrade") || adoption.host.log().contains("Error-Mode"),
        "{}",
        adoption.host.log()
    );
}

#[test]
fn a_way_that_takes_connections_and_lets_no_answer_through_is_told_as_one_of_its_mtu() {
    let adoption = Adoption::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let mut words = adoption.host.adoption("host");
    let at = words.iter().position(|word| word == "--generic-engine-port").unwrap();
    words[at + 1] = port;
    let run = adoption.scene.machine(&words);
    run.exits(1).fails_clearly().says("does not answer here").says("MTU");
    drop(silent);
}
