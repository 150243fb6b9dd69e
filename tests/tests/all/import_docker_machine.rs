//! Machines of docker-machine, taken over from a store that is played, with a host that is a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use machine_tests::{PlayedHost, Scene, login_name};
use serde_json::{Value, json};

/// A store of docker-machine's with one adopted host.
struct Old {
    host: PlayedHost,
    scene: Scene,
}

impl Old {
    fn new() -> Self {
        let old = Self { host: PlayedHost::debian(), scene: Scene::new() };
        let folder = old.folder("lab");
        fs::create_dir_all(&folder).unwrap();
        old.write(
            "lab",
            "generic",
            &json!({"IPAddress": "127.0.0.1", "SSHUser": login_name(), "SSHPort": old.host.port(),
            "SSHKeyPath": "/elsewhere/machines/lab/id_rsa", "EnginePort": 9}),
        );
        fs::copy(old.host.key(), folder.join("id_rsa")).unwrap();
        // Certificates of some authority: another store of ours makes them.
        let maker = Scene::new();
        maker.run("create lab --no-wait").ok();
        for file in ["ca.pem", "cert.pem", "key.pem", "server.pem", "server-key.pem"] {
            fs::copy(maker.folder("lab").join(file), folder.join(file)).unwrap();
        }
        old
    }

    fn store(&self) -> std::path::PathBuf {
        self.scene.path("old")
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        self.store().join("machines").join(name)
    }

    fn write(&self, name: &str, driver: &str, of_driver: &Value) {
        fs::create_dir_all(self.folder(name)).unwrap();
        let engine = json!({"ArbitraryFlags": null, "Labels": ["team=a"], "InstallURL": "https://get.docker.com"});
        let config = json!({"ConfigVersion": 3, "Name": name, "DriverName": driver, "Driver": of_driver,
            "HostOptions": {"EngineOptions": engine, "SwarmOptions": {"IsSwarm": false}, "AuthOptions": {"ServerCertSANs": []}}});
        fs::write(self.folder(name).join("config.json"), config.to_string()).unwrap();
    }

    fn import(&self, words: &[&str]) -> machine_tests::Run {
        let path = self.store();
        self.scene.machine([&["import-docker-machine", path.to_str().unwrap()], words].concat())
    }

    fn host_key(&self) -> String {
        format!("lab={}", self.host.host_key())
    }
}

fn files_with_text(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect();
    all.sort();
    all
}

#[test]
fn an_adopted_host_is_taken_over_with_its_certificates_and_nothing_changes_there_or_in_the_old_store() {
    let old = Old::new();
    let (before, told) = (files_with_text(&old.folder("lab")), old.host.log());
    let run = old.import(&["--host-key", &old.host_key()]);
    run.ok().prints_nothing().says("Machine \"lab\" is taken over.");
    run.says("the engine of lab does not answer");
    assert_eq!(files_with_text(&old.folder("lab")), before);
    assert_eq!(old.host.log(), told, "nothing was done on the host");

    assert_eq!(old.scene.run("ssh lab echo hello").ok().line(), "hello");
    assert_eq!(old.scene.run("url lab").ok().line(), "tcp://127.0.0.1:9");
    assert_eq!(old.scene.status("lab"), "Running");
    assert_eq!(old.scene.record("lab")["spec"]["engine"]["labels"], json!(["team=a"]));
    for (file, mode) in [("id_generic", 0o600), ("key.pem", 0o600), ("server-key.pem", 0o600), ("ca.pem", 0o644)] {
        let path = old.scene.folder("lab").join(file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    for file in ["ca.pem", "key.pem", "server-key.pem"] {
        let read = |folder: &Path| fs::read(folder.join(file)).unwrap();
        assert_eq!(read(&old.scene.folder("lab")), read(&old.folder("lab")), "{file}");
    }
    // A second time there is nothing to do.
    old.import(&[]).ok().says("lab: not taken over: there is a machine \"lab\" here already");
    old.scene.run("rm -y lab").ok();
    old.scene.nothing_is_left_of("lab");
}

#[test]
fn an_engine_without_a_driver_comes_with_the_certificates_of_the_old_store() {
    let old = Old::new();
    fs::remove_dir_all(old.folder("lab")).unwrap();
    old.write("far", "none", &json!({"URL": "tcp://127.0.0.1:9"}));
    let certs = old.store().join("certs");
    fs::create_dir(&certs).unwrap();
    let maker = Scene::new();
    maker.run("create lab --no-wait").ok();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(maker.folder("lab").join(file), certs.join(file)).unwrap();
    }
    old.import(&[]).ok().says("Machine \"far\" is taken over.").says("the engine of far does not answer");
    assert_eq!(old.scene.run("url far").ok().line(), "tcp://127.0.0.1:9");
    assert_eq!(fs::read(old.scene.folder("far").join("key.pem")).unwrap(), fs::read(certs.join("key.pem")).unwrap());
    old.scene.run("rm -y far").ok();
}

#[test]
fn a_dry_run_says_what_is_taken_over_and_why_others_are_not() {
    let old = Old::new();
    old.write("cloud", "amazonec2", &json!({"InstanceId": "i-1", "SecretKey": "hush"}));
    old.write("box", "virtualbox", &json!({}));
    fs::create_dir_all(old.folder("broken")).unwrap();
    fs::write(old.folder("broken").join("config.json"), "{").unwrap();
    old.write("renamed", "generic", &json!({"IPAddress": "192.0.2.1"}));
    fs::rename(old.folder("renamed"), old.folder("moved")).unwrap();
    let run = old.import(&["--dry-run"]);
    let line = |name: &str| run.ok().text().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("lab").contains("take it over"), "{run}");
    assert!(line("box").contains("the driver \"virtualbox\" is not here"), "{run}");
    assert!(line("broken").contains("no config.json of docker-machine"), "{run}");
    assert!(line("renamed").contains("its folder is called \"moved\""), "{run}");
    assert!(line("cloud").contains("leave it") && !run.text().contains("hush"), "{run}");
    assert!(old.scene.run("ls -q").ok().text().is_empty(), "nothing was made");
    let facts = old.import(&["--dry-run", "--format", "json"]).ok().json();
    assert_eq!(facts.as_array().unwrap().len(), 5);
    assert!(!facts.to_string().contains("hush"), "{facts}");
}

#[test]
fn a_host_with_another_key_or_one_that_nobody_confirmed_is_not_taken_over() {
    let old = Old::new();
    let asked = old.import(&[]);
    asked.exits(2).fails_clearly().says("key fingerprint is SHA256:").says("--host-key 'lab=ssh-");
    let key = old.host_key();
    old.host.change_host_key();
    old.import(&["--host-key", &key]).exits(3).fails_clearly().says("machine \"lab\" was not taken over");
    old.import(&["--host-key", "lab"]).exits(2).fails_clearly();
    fs::remove_file(old.folder("lab").join("key.pem")).unwrap();
    old.import(&["--host-key", &old.host_key()]).exits(1).fails_clearly().says("key.pem");
    assert!(old.scene.run("ls -q").ok().text().is_empty());
    old.scene.run("import-docker-machine /nowhere").exits(1).fails_clearly().says("no store of docker-machine");
}
