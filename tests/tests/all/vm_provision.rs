//! A bare Debian becomes a Docker host: by the driver that makes it, and adopted as a host that somebody else made.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use machine_tests::{Run, Scene, page, process, until};
use rustix::process::Signal;

use crate::vm_life::{docker, import_busybox};

/// How long a first boot by cloud-init and the installation of packages may take under emulation.
const PROVISION: Duration = Duration::from_secs(900);

fn slowly<'a>(scene: &Scene, words: impl IntoIterator<Item = &'a str>) -> Run {
    scene.command(words).limit(PROVISION).run()
}

#[test]
fn vm_a_bare_debian_becomes_a_docker_host_and_is_adopted_by_another_store() {
    let scene = Scene::real_bare();
    let created = slowly(
        &scene,
        [
            "create",
            "--image",
            "debian-13",
            "--memory",
            "1g",
            "--engine-source",
            "distro",
            "--engine-label",
            "room=a b",
            "--engine-env",
            "GREETING=say \"$HOME\" `x` \\",
            "--timeout",
            "600",
            "dev",
        ],
    );
    created.ok().prints_nothing().says("Docker is up and running!").says("Installing Docker Engine");
    the_login_user_needs_no_sudo_and_kept_its_groups(&scene);
    settings_arrive_intact(&scene);
    containers_run_and_lie_on_the_data_disk(&scene);
    a_second_run_changes_and_restarts_nothing(&scene);
    accounts_come_and_go(&scene);
    changed_settings_restart_the_engine_once_under_running_containers(&scene);

    it_is_adopted_by_a_store_that_knows_nothing_of_it(&scene);
    the_package_source_may_be_down_and_the_clock_wrong(&scene);
}

/// Passes connections to `address` on to `to`, for as long as the test lives: a host at its usual ports.
fn pass_on(address: &str, to: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    std::thread::spawn(move || {
        for here in listener.incoming().flatten() {
            let Ok(there) = TcpStream::connect(to) else { continue };
            for (mut from, mut to) in [(here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here)] {
                std::thread::spawn(move || {
                    let _ended = std::io::copy(&mut from, &mut to);
                    let _both_may_have = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

fn it_is_adopted_by_a_store_that_knows_nothing_of_it(scene: &Scene) {
    const HOST: &str = "127.77.0.1";
    let endpoints = scene.run("inspect dev").ok().json()["observed"]["endpoints"].clone();
    for (name, port) in [("ssh", 22), ("engine", 2376)] {
        pass_on(&format!("{HOST}:{port}"), endpoints[name].as_str().unwrap().parse().unwrap());
    }
    let key = scene.folder("dev").join("id_ed25519");
    let host_key = scene.record("dev")["host_key"].as_str().unwrap().to_owned();
    let other = scene.path("other");
    let there = |line: &str| scene.command(line.split(' ')).env("MACHINE_STORAGE_PATH", &other).limit(PROVISION).run();
    let adopt = |user: &str, host_key: Option<&str>| {
        let words =
            ["create", "-d", "generic", "--generic-ip-address", HOST, "--generic-ssh-user", user, "--generic-ssh-key"];
        let command = scene.command(words).args([&key]).env("MACHINE_STORAGE_PATH", &other);
        command
            .args(host_key.map_or(vec!["host"], |key| vec!["--generic-host-key", key, "host"]))
            .limit(PROVISION)
            .run()
    };
    adopt("docker", None).exits(2).says("The authenticity of host").says(&host_key).fails_clearly();
    let wrong = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    adopt("docker", Some(wrong)).exits(3).says("host key").fails_clearly();
    adopt("nobody-here", Some(&host_key)).exits(3).says("refuses user \"nobody-here\"").fails_clearly();
    there("ls -q").ok().prints_nothing();

    let (engine, container) = started(scene);
    adopt("docker", Some(&host_key)).ok().says("Docker is up and running!").does_not_say("Installing Docker Engine");
    let restarted = scene.machine(["ssh", "dev", STARTED]).ok().line().to_owned();
    assert_ne!(restarted, engine, "it has other certificates now");
    let through = |line: &str| {
        let script = format!("eval \"$(machine env host)\" && {line}");
        scene.shell("bash", &script).env("MACHINE_STORAGE_PATH", &other).run()
    };
    assert_eq!(through("echo $DOCKER_HOST").ok().line(), format!("tcp://{HOST}:2376"));
    assert_eq!(through("docker info --format '{{json .Labels}}'").ok().line(), r#"["provider=generic"]"#);
    let still = through("docker inspect stays --format '{{.State.Pid}} {{.State.StartedAt}}'");
    assert_eq!(still.ok().line(), container, "the container went on");
    let row = there("ls --format json").ok().json()[0].clone();
    assert_eq!((row["state"].as_str(), row["driver"].as_str()), (Some("Running"), Some("generic")), "{row}");
    there("provision host").ok().says("nothing was changed");
    for refused in ["stop host", "kill host", "restart host"] {
        there(refused).exits(1).says("adopted").fails_clearly();
    }
    there("start host").exits(1).says("already running");
    assert_eq!(there("ssh host id -un").ok().line(), "docker");
    a_tunnel_brings_its_ports_here(scene, &other, through);
    there("rm -y host").ok().says("The host itself stays as it is");

    // Its first owner takes it back.
    slowly(scene, ["provision", "dev"]).ok().says("was provisioned");
    assert_eq!(docker(scene, "dev", "docker ps --format '{{.Names}}'").ok().line(), "stays");
}

fn a_tunnel_brings_its_ports_here(scene: &Scene, store: &Path, through: impl Fn(&str) -> Run) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = "mkdir /www && echo through SSH >/www/index.html && exec httpd -f -p 80 -h /www";
    // The first owner's supervisor may have it here: it makes room.
    let supervisor = scene.supervisor("dev");
    supervisor.kill();
    until("the supervisor to end", Duration::from_secs(30), || process(supervisor.pid).is_none().then_some(()));
    through(&format!("docker run -d --name web -p {port}:80 box sh -c '{serve}'")).ok();
    let tunnel = scene.command(["tunnel", "host"]).env("MACHINE_STORAGE_PATH", store).limit(PROVISION).start();
    tunnel.prints("open at 127.0.0.1");
    for _ in 0..3 {
        assert_eq!(page(([127, 0, 0, 1], port).into()).unwrap(), "through SSH\n");
    }
    tunnel.signal(Signal::INT);
    tunnel.finish().exits(130);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    through("docker rm -f web").ok();
}

fn the_login_user_needs_no_sudo_and_kept_its_groups(scene: &Scene) {
    let ssh = |line: &str| scene.machine(["ssh", "dev", line]);
    assert!(ssh("id -nG").ok().line().split(' ').any(|group| group == "docker"));
    ssh("docker version").ok();
    ssh("docker compose version").ok();
    ssh("docker-compose version").ok();
    ssh("docker buildx version").ok();
    ssh("sudo test -L /var/lib/boot2docker/server-key.pem").ok();
}

/// The engine's labels; it has them in no order (`GetConflictFreeLabels` in dockerd's config goes through a map).
fn labels(scene: &Scene) -> Vec<String> {
    let labels = docker(scene, "dev", "docker info --format '{{json .Labels}}'");
    let mut labels: Vec<String> = serde_json::from_str(labels.ok().line()).unwrap();
    labels.sort();
    labels
}

fn settings_arrive_intact(scene: &Scene) {
    assert_eq!(labels(scene), ["provider=qemu", "room=a b"]);
    let environment =
        scene.machine(["ssh", "dev", "sudo cat /proc/$(pidof dockerd)/environ | tr '\\0' '\\n' | grep ^GREETING="]);
    assert_eq!(environment.ok().line(), "GREETING=say \"$HOME\" `x` \\");
}

fn containers_run_and_lie_on_the_data_disk(scene: &Scene) {
    import_busybox(scene, "dev");
    assert_eq!(docker(scene, "dev", "docker run --rm box echo hello").ok().line(), "hello");
    docker(scene, "dev", "docker run -d --name stays --restart always box sleep 100000").ok();
    let source = scene.machine(["ssh", "dev", "findmnt -n -o SOURCE -T /var/lib/docker"]);
    assert!(source.ok().line().starts_with("/dev/vdb"), "the data disk: {source}");
}

const STARTED: &str = "systemctl show -p ExecMainStartTimestampMonotonic docker.service";

/// When the engine and the container were started.
fn started(scene: &Scene) -> (String, String) {
    let engine = scene.machine(["ssh", "dev", STARTED]);
    let container = docker(scene, "dev", "docker inspect stays --format '{{.State.Pid}} {{.State.StartedAt}}'");
    (engine.ok().line().to_owned(), container.ok().line().to_owned())
}

fn a_second_run_changes_and_restarts_nothing(scene: &Scene) {
    let before = started(scene);
    let written = || {
        scene.machine(["ssh", "dev", "sudo find /etc /usr/local /root /home -newer /etc/docker/daemon.json -type f"])
    };
    let files = written().ok().text().to_owned();
    slowly(scene, ["provision", "dev"]).ok().says("nothing was changed");
    assert_eq!((started(scene), written().ok().text().to_owned()), (before, files));
    let plan = slowly(scene, ["provision", "--plan", "dev"]);
    let to_do: Vec<&str> = plan.ok().text().lines().filter(|line| line.starts_with("to do")).collect();
    assert!(to_do.len() == 1 && to_do[0].contains("proof"), "only the proof is always made: {plan}");
}

fn accounts_come_and_go(scene: &Scene) {
    let added = slowly(scene, ["user", "add", "dev", "ann"]);
    added.ok().says("can become root");
    let key = scene.folder("dev").join("users/ann");
    slowly(scene, ["user", "add", "dev", "bob", "--no-docker", "--ssh-key", &format!("{}.pub", key.display())]).ok();
    let listed = slowly(scene, ["user", "ls", "dev", "--format", "json"]).ok().json();
    let row = |name: &str| listed.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!((row("ann")["docker"].as_bool(), row("bob")["docker"].as_bool()), (Some(true), Some(false)));
    assert_eq!(row("docker")["docker"].as_bool(), Some(true));
    let as_user = |user: &str, command: &str| {
        let port = scene.run("inspect dev").ok().json()["observed"]["endpoints"]["ssh"].as_str().unwrap().to_owned();
        let known = scene.path("known_hosts");
        let (host, port) = port.rsplit_once(':').unwrap();
        fs::write(&known, format!("[{host}]:{port} {}\n", scene.record("dev")["host_key"].as_str().unwrap())).unwrap();
        let options = format!("UserKnownHostsFile={}", known.display());
        scene
            .program("ssh")
            .args(["-F", "/dev/null", "-o", &options, "-o", "IdentitiesOnly=yes", "-p", port, "-l", user, "-i"])
            .args([&key])
            .args([host, command])
            .run()
    };
    as_user("ann", "docker ps").ok();
    assert_ne!(as_user("bob", "docker ps").code(), 0, "not in the group");
    as_user("bob", "true").ok();
    slowly(scene, ["user", "rm", "-y", "dev", "ann"]).ok();
    assert_ne!(as_user("ann", "true").code(), 0);
    slowly(scene, ["user", "rm", "-y", "dev", "docker"]).exits(2).fails_clearly();
    slowly(scene, ["user", "rm", "-y", "dev", "root"]).exits(2).fails_clearly();
}

fn changed_settings_restart_the_engine_once_under_running_containers(scene: &Scene) {
    let (engine, container) = started(scene);
    slowly(scene, ["set", "dev", "--engine-registry-mirror", "http://127.0.0.1:5555", "--engine-label", "room=b"]).ok();
    let (restarted, still) = started(scene);
    assert_ne!(restarted, engine, "the engine has started anew");
    assert_eq!(still, container, "the container went on");
    assert_eq!(labels(scene), ["provider=qemu", "room=b"]);
    let mirrors = docker(scene, "dev", "docker info --format '{{json .RegistryConfig.Mirrors}}'");
    assert_eq!(mirrors.ok().line(), r#"["http://127.0.0.1:5555/"]"#);
    slowly(scene, ["set", "dev", "--engine-registry-mirror", ""]).ok();
    assert_eq!(docker(scene, "dev", "docker info --format '{{json .RegistryConfig.Mirrors}}'").ok().line(), "null");
    slowly(scene, ["set", "dev", "--engine-label", "nonsense"]).exits(2).fails_clearly();

    // What the engine itself would refuse is found out before the one that runs is stopped.
    let refused = slowly(scene, ["set", "dev", "--engine-opt", "no-such-option=1"]);
    refused.exits(1).fails_clearly().says("no-such-option");
    assert_eq!(docker(scene, "dev", "docker ps --format '{{.Names}}'").ok().line(), "stays", "the old engine runs on");
    slowly(scene, ["set", "dev", "--engine-opt", ""]).ok();
}

fn the_package_source_may_be_down_and_the_clock_wrong(scene: &Scene) {
    let ssh = |line: &str| scene.machine(["ssh", "dev", line]);
    // Port 9 of this computer's loopback, as the guest sees it: nobody is there.
    ssh("sudo sh -c 'mkdir /root/apt && mv /etc/apt/sources.list* /root/apt/; \
         echo deb http://127.0.0.1:9/debian trixie main >/etc/apt/sources.list; rm -r /var/lib/apt/lists/*'")
    .ok();
    let failed = slowly(scene, ["upgrade", "dev"]);
    failed.exits(1).fails_clearly().says("Upgrading Docker Engine: the source of its packages does not answer");
    failed.says("`machine provision dev` carries on");
    ssh("docker ps").ok();
    // A broken clock: TLS and packages need a right one, and the next run sets it.
    ssh("sudo sh -c 'timedatectl set-ntp false; date -s \"-400 days\"'").ok();
    slowly(scene, ["provision", "dev"]).ok().says("Setting the clock, which is 400 days behind");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let there: u64 = ssh("date +%s").ok().line().parse().unwrap();
    assert!(now.abs_diff(there) < 120, "{there} there, {now} here");
}
