//! Golden plans from real os-release contents, and what each fact changes in them.

use std::path::Path;

use machine_core::{EngineSource, EngineSpec};

use super::plan;
use crate::facts::{CloudInit, Facts, Init, Sudo};
use crate::request::{Request, TlsFiles};
use crate::step::{Action, Step};

/// A host fresh from its image.
fn bare(os_release: &str) -> Facts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/os-release").join(os_release);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines: String = text.lines().map(|line| format!("os_release={line}\n")).collect();
    let init = if os_release.starts_with("alpine") { "openrc" } else { "systemd" };
    let facts = format!(
        "facts=1\n{lines}arch=x86_64\nepoch=100\nuser=ann\ngroups=ann wheel\ninit={init}\nsudo=yes\nfree_kib=/usr 9000000\n\
         free_kib=/var/lib 9000000\ncgroup=2\nmtu=1500\nend=1\n"
    );
    Facts::parse(&facts, 100).unwrap()
}

fn request() -> Request {
    Request {
        machine: "dev".into(),
        driver: "generic".into(),
        engine: EngineSpec::default(),
        tls: TlsFiles { ca: "CA\n".into(), certificate: "CERTIFICATE\n".into(), key: "TOPSECRET\n".into() },
        listen: "0.0.0.0".into(),
        port: 2376,
        data_disk: None,
        upgrade: false,
    }
}

fn with(engine: EngineSpec) -> Request {
    Request { engine, ..request() }
}

fn step<'a>(steps: &'a [Step], id: &str) -> &'a Step {
    steps.iter().find(|step| step.id == id).unwrap_or_else(|| panic!("no step {id} in {steps:?}"))
}

fn text(facts: &Facts, request: &Request, id: &str) -> String {
    step(&plan(facts, request).unwrap().steps, id).to_string()
}

fn refused(facts: &Facts, request: &Request) -> String {
    let error = plan(facts, request).unwrap_err();
    assert!(!error.hints().is_empty(), "{error} says what to do");
    error.to_string()
}

#[test]
fn every_distribution_has_its_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/os-release");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 16, "{names:?}");
    for name in names {
        let plan = plan(&bare(&name), &request()).unwrap();
        insta::assert_snapshot!(format!("bare_{name}"), plan.to_string());
    }
}

#[cfg(unix)]
#[test]
fn every_script_of_every_plan_is_one_that_a_shell_can_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/os-release");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let full = Request {
            data_disk: Some("/dev/disk/by-id/virtio-data".into()),
            upgrade: true,
            engine: EngineSpec {
                version: (name != "arch").then(|| "28.1.1".into()),
                users: vec!["bob".into()],
                authorities: vec!["PEM".into()],
                ..EngineSpec::default()
            },
            ..request()
        };
        for request in [
            request(),
            full,
            with(EngineSpec { install_url: Some("https://get.example.org/it's".into()), ..EngineSpec::default() }),
        ] {
            for step in plan(&bare(&name), &request).unwrap().steps {
                let script = match &step.action {
                    Action::Run(script) => script.clone(),
                    _ => String::new(),
                };
                for text in [script, step.check().unwrap_or_default()] {
                    let read = std::process::Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
                    let said = String::from_utf8_lossy(&read.stderr).into_owned();
                    assert!(read.status.success() && said.is_empty(), "{name}: {}: {said}\n{text}", step.id);
                }
            }
        }
    }
}

#[test]
fn the_distributions_own_packages_are_taken_when_they_are_asked_for_or_all_there_is() {
    let distro = with(EngineSpec { source: Some(EngineSource::Distro), ..EngineSpec::default() });
    for name in ["debian-12", "debian-13", "ubuntu-24.04", "fedora-43"] {
        let plan = plan(&bare(name), &distro).unwrap();
        assert!(plan.steps.iter().all(|step| step.id != "repository"), "{name}");
        insta::assert_snapshot!(
            format!("distro_{name}"),
            format!("{}{}", step(&plan.steps, "engine"), step(&plan.steps, "plugins"))
        );
    }
    let testing = plan(&bare("debian-testing"), &request()).unwrap();
    assert!(testing.warnings[0].contains("the distribution's own"), "{:?}", testing.warnings);
    assert!(refused(&bare("rocky-9"), &distro).contains("no Docker Engine among its own"));
    let docker = with(EngineSpec { source: Some(EngineSource::Docker), ..EngineSpec::default() });
    assert!(refused(&bare("amazon-2023"), &docker).contains("Docker has no packages"));
}

#[test]
fn a_pinned_version_is_installed_as_that_and_words_that_are_none_are_refused() {
    let pinned = |version: &str| with(EngineSpec { version: Some(version.into()), ..EngineSpec::default() });
    insta::assert_snapshot!(
        ["debian-13", "rocky-9", "amazon-2023", "opensuse-leap-15.6", "alpine-3.22"]
            .map(|name| format!("-- {name}\n{}", text(&bare(name), &pinned("28.1.1"), "engine")))
            .join("")
    );
    assert!(refused(&bare("debian-13"), &pinned("1; reboot")).contains("no version"));
    assert!(refused(&bare("arch"), &pinned("28.1.1")).contains("only the newest"));
}

#[test]
fn an_engine_that_is_there_keeps_its_source_its_unit_and_the_settings_of_others() {
    let facts = Facts {
        dockerd: Some("/usr/sbin/dockerd".into()),
        engine_version: Some("26.1.5+dfsg1".into()),
        engine_package: Some("docker.io".into()),
        exec_start: Some("/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS".into()),
        docker_socket: true,
        daemon_json: Some(
            r#"{"debug": true, "log-driver": "journald", "insecure-registries": ["theirs:5000"]}"#.into(),
        ),
        ..bare("debian-13")
    };
    let request = with(EngineSpec { insecure_registries: vec!["ours:5000".into()], ..EngineSpec::default() });
    let plan_of = |facts: &Facts| plan(facts, &request).unwrap();
    let plan = plan_of(&facts);
    assert!(plan.steps.iter().all(|step| step.id != "repository"), "{plan}");
    insta::assert_snapshot!("present_engine", step(&plan.steps, "settings").to_string());

    // What was written is what the next run wants: nothing changes.
    let written = |plan: &super::Plan, path: &str| {
        let Action::Write(files) = &step(&plan.steps, "settings").action else { panic!() };
        files.iter().find(|file| file.path == path).unwrap().text.clone()
    };
    let line = written(&plan, "/etc/systemd/system/docker.service.d/zz-machine.conf");
    let line =
        line.lines().rfind(|line| line.starts_with("ExecStart=/")).unwrap().trim_start_matches("ExecStart=").to_owned();
    let second = plan_of(&Facts {
        daemon_json: Some(written(&plan, "/etc/docker/daemon.json")),
        ours: Some(written(&plan, "/etc/docker/machine.json")),
        exec_start: Some(line),
        ..facts
    });
    assert_eq!(second.to_string(), plan.to_string());
}

#[test]
fn settings_that_are_taken_back_go_and_defaults_follow_what_is_asked_for() {
    let write = |facts: &Facts, engine: EngineSpec| {
        let plan = plan(facts, &with(engine)).unwrap();
        let Action::Write(files) = &step(&plan.steps, "settings").action else { panic!() };
        let read = |path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
        (read("/etc/docker/daemon.json"), read("/etc/docker/machine.json"))
    };
    let facts = bare("debian-13");
    let (plain, _) = write(&facts, EngineSpec::default());
    let (first, ours) =
        write(&facts, EngineSpec { registry_mirrors: vec!["https://m".into()], ..EngineSpec::default() });
    assert!(first.contains("https://m"));
    let facts = Facts { daemon_json: Some(first), ours: Some(ours), ..facts };
    assert_eq!(write(&facts, EngineSpec::default()).0, plain);
    // Limits of one log driver are none of another's: dockerd would refuse them.
    let (journald, _) =
        write(&facts, EngineSpec { options: vec!["log-driver=journald".into()], ..EngineSpec::default() });
    assert!(journald.contains("journald") && !journald.contains("max-size"), "{journald}");
}

#[test]
fn a_smaller_network_a_swarm_and_addresses_in_the_file_are_heeded() {
    let settings = |facts: &Facts| text(facts, &request(), "settings");
    let narrow = settings(&Facts { mtu: Some(1400), ..bare("debian-13") });
    assert!(narrow.contains("\"mtu\": 1400"), "{narrow}");
    assert!(!settings(&bare("debian-13")).contains("\"mtu\""));
    let swarm = settings(&Facts { swarm: true, ..bare("debian-13") });
    assert!(swarm.contains("\"live-restore\": false"), "{swarm}");
    let in_file =
        settings(&Facts { daemon_json: Some(r#"{"hosts": ["unix:///x.sock"]}"#.into()), ..bare("debian-13") });
    assert!(in_file.contains("unix:///x.sock") && !in_file.contains("-H "), "told in one place: {in_file}");
}

#[test]
fn a_clock_far_off_is_set_first_and_a_firewall_opened_last() {
    let late = Facts { clock_ahead: -366 * 86400, ..bare("debian-13") };
    let plan_of = |facts: &Facts| plan(facts, &request()).unwrap();
    let plan = plan_of(&late);
    assert_eq!(
        (plan.steps[0].id, plan.steps[0].title.as_str()),
        ("clock", "Setting the clock, which is 366 days behind")
    );
    assert_ne!(plan_of(&bare("debian-13")).steps[0].id, "clock");
    for (firewall, words) in
        [(crate::Firewall::Firewalld, "--add-port=2376/tcp"), (crate::Firewall::Ufw, "ufw allow 2376/tcp")]
    {
        let shown = text(&Facts { firewall: Some(firewall), ..bare("debian-13") }, &request(), "firewall");
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn hosts_that_cannot_become_one_are_refused_with_the_reason() {
    let debian = || bare("debian-13");
    let no = |facts: Facts| refused(&facts, &request());
    assert!(no(Facts { sudo: Sudo::Missing, ..debian() }).contains("there is no sudo"));
    assert!(no(Facts { sudo: Sudo::Password, ..debian() }).contains("sudo wants a password of \"ann\""));
    assert!(
        no(Facts { sudo: Sudo::Refused("ann is not in the sudoers file.".into()), ..debian() }).contains("sudoers")
    );
    assert!(no(Facts { read_only: vec!["/".into()], ..debian() }).contains("/ of the host is read-only"));
    assert!(no(Facts { free_kib: Some(100 << 10), ..debian() }).contains("100 MiB are free, 900 MiB are needed"));
    assert!(no(Facts { init: Init::Other, ..debian() }).contains("neither systemd nor OpenRC"));
    assert!(
        no(Facts { os_release: "ID=plan9\nPRETTY_NAME=\"Plan 9\"".into(), ..debian() })
            .contains("OS type not recognized: Plan 9")
    );
    assert!(
        no(Facts { daemon_json: Some("{,}".into()), ..debian() })
            .contains("daemon.json of the host is not a JSON object")
    );
    assert!(
        no(Facts { managers: vec!["dnf".into(), "rpm-ostree".into()], ..bare("fedora-43") }).contains("image-based")
    );
    // With the engine there, a full disk is one that cannot take a few files.
    plan(&Facts { free_kib: Some(100 << 10), dockerd: Some("/usr/bin/dockerd".into()), ..debian() }, &request())
        .unwrap();
    let failed = plan(&Facts { cloud_init: CloudInit::Failed, ..debian() }, &request()).unwrap();
    assert!(failed.warnings[0].contains("cloud-init"), "{:?}", failed.warnings);
}

#[test]
fn secrets_are_never_shown() {
    let plan = plan(
        &bare("debian-13"),
        &with(EngineSpec { env: [("P".to_owned(), "HIDDEN".to_owned())].into(), ..EngineSpec::default() }),
    )
    .unwrap();
    let shown = format!("{plan}{plan:?}");
    assert!(!shown.contains("TOPSECRET") && !shown.contains("HIDDEN"), "{shown}");
}

#[test]
fn authorities_go_where_each_distribution_looks_for_them() {
    let engine = EngineSpec {
        authorities: vec!["ROOT\n".into()],
        registry_authorities: [("r.example.org:5000".to_owned(), "REGISTRY\n".to_owned())].into(),
        ..EngineSpec::default()
    };
    let shown: String = ["debian-13", "rocky-9", "opensuse-leap-15.6", "arch", "alpine-3.22"]
        .map(|name| {
            let facts = bare(name);
            format!(
                "-- {name}\n{}{}",
                text(&facts, &with(engine.clone()), "authorities"),
                text(&facts, &with(engine.clone()), "trust")
            )
        })
        .join("");
    insta::assert_snapshot!(shown);
    let wrong =
        EngineSpec { registry_authorities: [("../x".to_owned(), String::new())].into(), ..EngineSpec::default() };
    assert!(refused(&bare("debian-13"), &with(wrong)).contains("name of a registry"));
}
