//! As if Docker ran right here, for real: the socket with real clients, names from containers, and the clock.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use machine_tests::{Run, Scene, busybox, find_program, kept, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::vm_life::{create, slowly};

/// What a container reaches at this computer.
const HERE: &str = "this computer";

/// Runs a line of bash in which `docker` talks to `dev` by its context, thus by its socket.
#[track_caller]
fn docker(scene: &Scene, line: &str) -> Run {
    let plugins = scene.path("docker/cli-plugins");
    let build_kit = if plugins.exists() { "1" } else { "0" };
    let script = format!("set -o pipefail; export DOCKER_CONTEXT=dev\n{line}");
    scene.shell("bash", &script).env("DOCKER_BUILDKIT", build_kit).limit(Duration::from_secs(180)).run()
}

#[track_caller]
fn import(scene: &Scene) {
    docker(scene, &format!("docker import -c 'CMD [\"sh\"]' {} box >/dev/null", busybox(scene).display())).ok();
}

#[test]
fn vm_docker_clients_find_everything_through_the_machines_socket() {
    let scene = Scene::real();
    create(&scene, "dev");
    let host = docker(&scene, "docker context inspect dev --format '{{.Endpoints.docker.Host}}'");
    assert!(host.ok().line().starts_with("unix:///"), "{host}");
    import(&scene);
    let port = web_server();
    streams(&scene);
    reaches_this_computer_by_name(&scene, port);
    bring_plugins(&scene);
    builds_and_composes(&scene, port);
    testcontainers(&scene);
    another_supervisor(&scene, port);
    stands_still(&scene);
    has_a_wrong_clock(&scene);
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

/// A web server on this computer's loopback.
fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{HERE}", HERE.len());
            let _the_client_may_have_gone = client.write_all(answer.as_bytes());
        }
    });
    port
}

/// Hijacked streams, each half closed by itself.
fn streams(scene: &Scene) {
    let closed =
        docker(scene, "(echo a; sleep 1; echo b) | docker run --rm -i box sh -c 'cat; echo the end was heard'");
    assert_eq!(closed.ok().text(), "a\nb\nthe end was heard\n");
    assert_eq!(docker(scene, "docker run --rm box sh -c 'echo out; echo err >&2; exit 7'").code(), 7);
    let ticks = "docker run -d --name ticks box sh -c 'n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.3; done'";
    docker(scene, ticks).ok();
    let attached =
        docker(scene, "timeout 60 docker attach --no-stdin --sig-proxy=false ticks | { read a; read b; echo $a; }");
    assert!(attached.text().starts_with("tick "), "{attached}");
    let followed = docker(
        scene,
        "timeout 60 docker logs -f ticks | { read a; echo $a; for i in 1 2 3 4 5; do read b; done; echo $b; }",
    );
    assert_eq!(followed.text(), "tick 1\ntick 6\n", "{followed}");
    let executed = docker(scene, "echo 'echo by a shell; cat; echo done' | docker exec -i ticks sh");
    assert_eq!(executed.ok().text(), "by a shell\ndone\n");

    let bytes: Vec<u8> = (0..5_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(scene.path("large"), &bytes).unwrap();
    docker(scene, "docker cp large ticks:/large && docker cp ticks:/large back && cmp large back").ok();
    let through = docker(scene, "docker exec -i ticks cat < large | cmp - large");
    through.ok();
    docker(scene, "docker rm -f ticks").ok();
}

fn reaches_this_computer_by_name(scene: &Scene, port: u16) {
    docker(scene, "docker network create net").ok();
    until("the names to be served", Duration::from_secs(90), || {
        (docker(scene, &format!("docker run --rm box wget -qO- http://host.docker.internal:{port}/")).code() == 0)
            .then_some(())
    });
    for network in ["", "--network net", "--network host"] {
        for name in ["host.docker.internal", "host.machine.internal"] {
            let line = format!("docker run --rm {network} box wget -qO- http://{name}:{port}/");
            assert_eq!(docker(scene, &line).ok().text(), HERE, "{network} {name}");
        }
    }
    // A name of this computer's own, which its name servers do not know: its hosts file counts in the machine, too.
    let known = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = known.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut words = line.split_whitespace();
        let address: std::net::Ipv4Addr = words.next()?.parse().ok()?;
        let name = words.find(|name| *name != "localhost" && !name.contains("localhost"))?;
        Some((if address.is_loopback() { [10, 0, 2, 2].into() } else { address }, name.to_owned()))
    });
    if let Some((address, name)) = own {
        let found = docker(scene, &format!("docker run --rm box busybox nslookup -type=a {name}"));
        assert!(found.text().contains(&address.to_string()), "{name}: {found}");
    }
    let missing = docker(scene, "docker run --rm box busybox nslookup -type=a no.such.name.invalid");
    assert_ne!(missing.code(), 0, "{missing}");
}

/// Gives the scene's Docker client the plugins of the machine's image; they are kept for the next run.
fn bring_plugins(scene: &Scene) {
    let (kept, folder) = (kept().join("cli-plugins"), scene.path("docker/cli-plugins"));
    fs::create_dir_all(&kept).unwrap();
    fs::create_dir_all(&folder).unwrap();
    for plugin in ["docker-buildx", "docker-compose"] {
        let program = kept.join(plugin);
        if !program.is_file() {
            let words = ["ssh", "dev", "--", &format!("gzip -1 -c /usr/libexec/docker/cli-plugins/{plugin}")];
            let packed = scene.command(words).limit(Duration::from_secs(180)).run();
            let half = kept.join(format!("{plugin}.half"));
            let mut unpack = Command::new("gunzip")
                .stdin(std::process::Stdio::piped())
                .stdout(fs::File::create(&half).unwrap())
                .spawn()
                .unwrap();
            unpack.stdin.take().unwrap().write_all(&packed.ok().stdout).unwrap();
            assert!(unpack.wait().unwrap().success());
            fs::set_permissions(&half, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&half, &program).unwrap();
        }
        symlink(&program, folder.join(plugin)).unwrap();
    }
}

/// BuildKit upgrades its connection to gRPC; Compose holds many at once.
fn builds_and_composes(scene: &Scene, port: u16) {
    let context = scene.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("hello"), "built here\n").unwrap();
    let file = format!(
        "FROM box\nCOPY hello /hello\nRUN cat /hello /hello > /twice && wget -qO- http://host.docker.internal:{port}/ >> /twice\n\
         CMD [\"cat\", \"/twice\"]\n"
    );
    fs::write(context.join("Dockerfile"), file).unwrap();
    let built = docker(scene, &format!("docker build --progress plain -t built {}", context.display()));
    built.ok();
    assert!(built.stderr.contains("exporting to image"), "BuildKit built it: {built}");
    assert_eq!(docker(scene, "docker run --rm built").ok().text(), format!("built here\nbuilt here\n{HERE}"));

    let project = scene.path("project");
    fs::create_dir(&project).unwrap();
    let file = "services:\n  web:\n    image: box\n    command: [sh, -c, 'echo composed > /index.html; exec busybox httpd -f -p 8000 -h /']\n  \
                ask:\n    image: box\n    depends_on: [web]\n    command: [sh, -c, 'until wget -qO- http://web:8000/; do sleep 1; done']\n";
    fs::write(project.join("compose.yaml"), file).unwrap();
    let up = docker(scene, &format!("cd {} && docker compose up --abort-on-container-exit", project.display()));
    assert!(up.ok().text().contains("composed"), "{up}");
    docker(scene, &format!("cd {} && docker compose down -t 1", project.display())).ok();
}

/// Testcontainers' Python library, with nothing but what `doctor` prints for it.
fn testcontainers(scene: &Scene) {
    let script = scene.path("containers.py");
    let text = "import urllib.request, time\n\
        from testcontainers.core.container import DockerContainer\n\
        web = DockerContainer('box').with_exposed_ports(8000)\n\
        web = web.with_command(['sh', '-c', 'echo tested > /index.html; exec busybox httpd -f -p 8000 -h /'])\n\
        with web:\n    \
            url = f'http://{web.get_container_host_ip()}:{web.get_exposed_port(8000)}/'\n    \
            for _ in range(100):\n        \
                try:\n            print(urllib.request.urlopen(url, timeout=10).read().decode(), end='')\n            break\n        \
                except OSError: time.sleep(0.2)\n    \
            print(web.exec(['echo', 'executed']).output.decode(), end='')\n";
    fs::write(&script, text).unwrap();
    let checks = scene.run("doctor --format json");
    let checks = checks.json();
    let tools = checks.as_array().unwrap().iter().find(|check| check["id"] == "machine.tools").unwrap().clone();
    assert_eq!(tools["machine"], "dev");
    let hints: Vec<&str> = tools["hints"].as_array().unwrap().iter().filter_map(|hint| hint.as_str()).collect();
    let mut run =
        scene.program(python_with_testcontainers()).args([&script]).env("TESTCONTAINERS_RYUK_DISABLED", "true");
    for (name, value) in hints.iter().filter_map(|hint| hint.split_once('=')) {
        run = run.env(name, value);
    }
    assert_eq!(run.limit(Duration::from_secs(120)).run().ok().text(), "tested\nexecuted\n");
    let left = docker(scene, "docker ps -aq");
    assert_eq!(left.ok().text(), "", "it cleans up after itself");
}

/// Python with the library, in an environment that is kept for the next run.
fn python_with_testcontainers() -> PathBuf {
    const LIBRARY: &str = "testcontainers==4.15.0";
    let folder = kept().join("python");
    let done = folder.join(LIBRARY);
    let run = |program: &Path, words: &[&str]| {
        let output = Command::new(program).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    if !done.is_file() {
        run(&find_program("python3"), &["-m", "venv", "--clear", folder.to_str().unwrap()]);
        run(&folder.join("bin/python"), &["-m", "pip", "install", "--quiet", LIBRARY]);
        fs::write(&done, "").unwrap();
    }
    folder.join("bin/python")
}

fn another_supervisor(scene: &Scene, port: u16) {
    scene.supervisor("dev").kill();
    scene.run("ls").ok();
    until("the socket to be served again", Duration::from_secs(30), || {
        (docker(scene, "docker ps").code() == 0).then_some(())
    });
    // Its name server has another port; the rule in the guest follows.
    until("the names to be served again", Duration::from_secs(90), || {
        let line = format!("docker run --rm box wget -qO- http://host.docker.internal:{port}/");
        (docker(scene, &line).code() == 0).then_some(())
    });
}

/// How far the guest's clock is ahead, seconds, and how exact that is.
fn clock(scene: &Scene) -> (f64, f64) {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let before = now();
    let said: f64 = scene.machine(["ssh", "dev", "date +%s.%N"]).ok().line().parse().unwrap();
    let after = now();
    (said - before.midpoint(after), (after - before) / 2.0)
}

#[track_caller]
fn clock_becomes_right(scene: &Scene, after: &str) {
    let begun = Instant::now();
    let mut seen = clock(scene);
    while seen.0.abs() > 2.0 + seen.1 {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "{after} its clock is {} s ahead, give or take {}",
            seen.0,
            seen.1
        );
        std::thread::sleep(Duration::from_millis(500));
        seen = clock(scene);
    }
}

fn stands_still(scene: &Scene) {
    docker(scene, "docker run -d --name stays box sleep 100000").ok();
    scene.run("pause dev").ok();
    assert_eq!(scene.status("dev"), "Paused");
    let refused = docker(scene, "docker ps");
    assert!(refused.stderr.contains("machine \"dev\" is paused"), "{refused}");
    std::thread::sleep(Duration::from_secs(20));
    scene.run("resume dev").ok();
    clock_becomes_right(scene, "resumed,");
    let checks = scene.run("doctor --format json").json();
    let said = checks.as_array().unwrap().iter().find(|check| check["id"] == "machine.clock").unwrap().clone();
    assert_eq!(said["machine"], "dev");

    let qemu = Pid::from_raw(i32::try_from(scene.qemu("dev").pid).unwrap()).unwrap();
    kill_process(qemu, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_secs(30));
    kill_process(qemu, Signal::CONT).unwrap();
    clock_becomes_right(scene, "thawed,");
    assert_eq!(docker(scene, "docker ps --format '{{.Names}}'").ok().line(), "stays");

    slowly(scene, "suspend dev").ok();
    slowly(scene, "start dev").ok();
    clock_becomes_right(scene, "started again after it was suspended,");
    assert_eq!(docker(scene, "docker ps --format '{{.Names}}'").ok().line(), "stays");
}

/// An hour behind, at which the engine takes certificates for not yet valid.
fn has_a_wrong_clock(scene: &Scene) {
    let set_back = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let said: u64 = scene.machine(["ssh", "dev", "sudo date -s '-1 hour' +%s"]).ok().line().parse().unwrap();
        assert!(now - said > 3000, "it is {} s behind", now - said);
    };
    set_back();
    clock_becomes_right(scene, "set back an hour,");
    set_back();
    scene.supervisor("dev").kill();
    scene.run("ls").ok();
    clock_becomes_right(scene, "set back an hour and with another supervisor,");
    assert_eq!(docker(scene, "docker ps --format '{{.Names}}'").ok().line(), "stays");
}

#[test]
fn vm_a_machine_without_host_access_reaches_everything_but_this_computer() {
    let scene = Scene::real();
    slowly(&scene, "create --cpus 2 --memory 1g --no-host-access dev").ok();
    import(&scene);
    let port = web_server();
    let reach = |address: &str| {
        let run = docker(&scene, &format!("docker run --rm box wget -qO- http://{address}/"));
        (run.code() == 0).then(|| run.text().to_owned())
    };
    until("the way to be closed", Duration::from_secs(90), || {
        reach(&format!("10.0.2.2:{port}")).is_none().then_some(())
    });
    // Another container is reached all the same.
    let web = "docker run -d --name web box sh -c 'echo inside > /index.html; exec busybox httpd -f -p 8000 -h /'";
    docker(&scene, web).ok();
    let web = docker(&scene, "docker inspect web --format '{{.NetworkSettings.IPAddress}}'").ok().line().to_owned();
    until("a container to be reached", Duration::from_secs(60), || reach(&format!("{web}:8000")));
    // QEMU takes every address of its network that is nobody's for this computer.
    for address in ["10.0.2.2", "10.0.2.4", "10.0.2.254", "10.0.2.3"] {
        assert_eq!(reach(&format!("{address}:{port}")), None, "{address}");
        let from_the_guest = scene.machine(["ssh", "dev", &format!("curl -s -m 10 http://{address}:{port}/")]);
        assert_eq!(from_the_guest.code(), 7, "{address}: {from_the_guest}");
    }
    let named = docker(&scene, "docker run --rm box busybox nslookup -type=a host.docker.internal");
    assert!(!named.text().contains("10.0.2.2\n"), "{named}");
    // What this computer begins goes on: the socket, and the engine's port.
    docker(&scene, "docker run --rm box true").ok();
    scene.run("ssh dev true").ok();
}
