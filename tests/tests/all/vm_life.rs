//! From nothing to a running Docker host, for real.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use machine_tests::{Run, Scene, Terminal, busybox, listeners, process, until};

/// How long a machine may take to boot where other work goes on and QEMU emulates.
pub const BOOT: Duration = Duration::from_secs(240);

/// Creates `dev` and waits for its engine.
#[track_caller]
pub fn create(scene: &Scene, name: &str) -> Run {
    let run = scene.command(["create", "--cpus", "2", "--memory", "1g", name]).limit(BOOT).run();
    run.ok().prints_nothing();
    run
}

/// Runs `machine` with these words, which may boot something.
#[track_caller]
pub fn slowly(scene: &Scene, line: &str) -> Run {
    scene.command(line.split(' ')).limit(BOOT).run()
}

/// Runs a line of bash with Docker's variables of `name` set.
#[track_caller]
pub fn docker(scene: &Scene, name: &str, line: &str) -> Run {
    let script = format!("eval \"$(machine env {name})\" || exit 99\n{line}");
    scene.shell("bash", &script).env("DOCKER_BUILDKIT", "0").limit(Duration::from_secs(120)).run()
}

/// Brings the image `box` into a machine's engine.
#[track_caller]
pub fn import_busybox(scene: &Scene, name: &str) {
    docker(scene, name, &format!("docker import -c 'CMD [\"sh\"]' {} box >/dev/null", busybox(scene).display())).ok();
}

#[test]
fn vm_a_machine_from_nothing_runs_builds_and_keeps_what_docker_users_expect() {
    let scene = Scene::real();
    let created = slowly(&scene, "create --no-warm --cpus 2 --memory 1g dev");
    created.ok().prints_nothing();
    created.says("Docker is up and running!");
    let url = scene.run("url dev").ok().line().to_owned();

    looks(&scene, &url);
    runs_and_builds(&scene);
    logs_in(&scene);
    sits_at_a_terminal(&scene);
    is_a_guest_and_not_a_neighbour(&scene);
    refuses_another_host_key(&scene);
    renews_certificates_under_running_containers(&scene);
    loses_nothing_with_its_supervisor(&scene);
    survives_stop_and_start(&scene, &url);
    loses_nothing_with_qemu(&scene);
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

fn looks(scene: &Scene, url: &str) {
    let row = &scene.run("ls --format json").ok().json()[0];
    assert_eq!(
        (row["state"].as_str(), row["url"].as_str(), row["memory_mib"].as_u64()),
        (Some("Running"), Some(url), Some(1024))
    );
    let version = scene.run("version dev").ok().line().to_owned();
    assert_eq!(row["docker_version"], format!("v{version}"), "{row}");
    assert!(scene.run("ls").ok().text().contains(&version));
    let inspected = scene.run("inspect dev").ok().json();
    assert_eq!((inspected["phase"].as_str(), inspected["url"].as_str()), (Some("ready"), Some(url)), "{inspected}");
    assert!(scene.run("logs --serial -n 5000 dev").ok().text().contains("Linux version "));
    scene.run("start dev").exits(1).says("Machine \"dev\" is already running.");
}

fn runs_and_builds(scene: &Scene) {
    import_busybox(scene, "dev");
    assert!(docker(scene, "dev", "docker version").ok().text().contains("Server:"));
    let run = docker(scene, "dev", "docker run --rm box echo hello; docker run --rm box sh -c 'exit 7'");
    assert_eq!((run.text(), run.code()), ("hello\n", 7), "{run}");
    let piped = docker(scene, "dev", "echo through | docker run --rm -i box cat");
    assert_eq!(piped.ok().line(), "through");

    let context = scene.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("hello"), "built here\n").unwrap();
    let file = "FROM box\nCOPY hello /hello\nRUN cat /hello /hello > /twice\nCMD [\"cat\", \"/twice\"]\n";
    fs::write(context.join("Dockerfile"), file).unwrap();
    docker(scene, "dev", &format!("docker build -t built {}", context.display())).ok();
    assert_eq!(docker(scene, "dev", "docker run --rm built").ok().text(), "built here\nbuilt here\n");

    docker(scene, "dev", "docker volume create keep && docker run --rm -v keep:/v box sh -c 'echo kept > /v/file'")
        .ok();
    let context = scene
        .shell("sh", "docker --context dev ps --format '{{.Names}}' && docker --context dev info --format '{{.Name}}'")
        .run();
    assert_eq!(context.ok().line(), "dev", "no containers; the host's name");
}

fn logs_in(scene: &Scene) {
    let ssh = |words: &[&str]| scene.machine(["ssh", "dev"].iter().chain(words));
    ssh(&["--", "exit 7"]).exits(7).prints_nothing();
    ssh(&["exit", "7"]).exits(7);
    ssh(&["nosuchcommand"]).exits(127);
    assert_eq!(ssh(&["id", "-un"]).ok().line(), "docker");
    ssh(&["docker", "ps"]).ok();
    ssh(&["docker", "compose", "version"]).ok();
    ssh(&["sudo", "-n", "true"]).ok();
    let both = ssh(&["echo out; echo err >&2"]);
    assert_eq!((both.ok().text(), both.stderr.as_str()), ("out\n", "err\n"), "{both}");

    let mut bytes = vec![0; 5 << 20];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    let through = scene.command(["ssh", "dev", "cat"]).stdin(bytes.clone()).run();
    assert!(through.ok().stdout == bytes, "5 MiB came back as {} other bytes", through.stdout.len());
}

fn sits_at_a_terminal(scene: &Scene) {
    let mut terminal = Terminal::open(scene, 33, 101, "machine ssh dev; echo left=$?");
    terminal.shows("docker@dev:~$ ");
    terminal.types("stty size; tty\n");
    terminal.shows("33 101");
    terminal.shows("/dev/pts/");
    terminal.shows("docker@dev:~$ ");
    // Ctrl-C ends what runs there, and neither the shell there nor the command here.
    // (Said by the process that is to be interrupted: it has the terminal by then, the shell does not any more.)
    terminal.types("sh -c \"echo be\\gun; exec sleep 1000\"\n");
    terminal.shows("begun");
    terminal.types("\x03");
    terminal.shows("docker@dev:~$ ");
    terminal.types("echo still=$((40+2))\n");
    terminal.shows("still=42");
    terminal.types("exit 5\n");
    terminal.shows("left=5");
    terminal.ends().ok();
}

fn is_a_guest_and_not_a_neighbour(scene: &Scene) {
    let ssh = |line: &str| scene.machine(["ssh", "dev", line]);
    // The metadata service of a cloud host would answer here.
    let link_local = ssh("curl --silent --show-error --max-time 20 http://169.254.169.254/");
    assert_eq!(link_local.code(), 7, "refused, not waited for: {link_local}");
    assert!(link_local.elapsed < Duration::from_secs(15), "{link_local}");

    let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = here.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || {
        let (mut client, _) = here.accept().unwrap();
        client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    });
    let found = ssh(&format!("curl --silent --show-error --max-time 20 http://host.docker.internal:{port}/"));
    assert_eq!(found.ok().text(), "hello", "this computer is host.docker.internal");
    answer.join().unwrap();

    let open = scene.qemu("dev").listens_on();
    assert_eq!(open.len(), 2, "sshd and the engine: {open:?}");
    assert!(open.iter().all(|address| address.ip().is_loopback()), "{open:?}");
    let supervisor = scene.supervisor("dev").listens_on();
    assert!(supervisor.iter().all(|address| address.ip().is_loopback()), "{supervisor:?}");
}

fn refuses_another_host_key(scene: &Scene) {
    let path = scene.folder("dev").join("machine.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut record = scene.record("dev");
    // Another valid key: that of RFC 8709's form, made for this test.
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    assert_ne!(record["host_key"], other);
    record["host_key"] = other.into();
    fs::write(&path, record.to_string()).unwrap();
    let run = scene.run("ssh dev true");
    fs::write(&path, text).unwrap();
    run.exits(1).prints_nothing().says("host key").fails_clearly();
    scene.run("ssh dev true").ok();
}

fn renews_certificates_under_running_containers(scene: &Scene) {
    docker(scene, "dev", "docker run -d --name stays --restart always box sleep 100000").ok();
    let started = || {
        docker(scene, "dev", "docker inspect stays --format '{{.State.Pid}} {{.State.StartedAt}}'")
            .ok()
            .line()
            .to_owned()
    };
    let served = || scene.machine(["ssh", "dev", "sudo cat /etc/docker/server.pem"]).ok().text().to_owned();
    let (container, certificate) = (started(), served());
    slowly(scene, "regenerate-certs -f dev").ok().prints_nothing();
    assert_ne!(served(), certificate);
    assert_eq!(started(), container, "the container went on");
}

/// `kill -9` of the supervisor: the machine does not notice, and the next command brings another one.
fn loses_nothing_with_its_supervisor(scene: &Scene) {
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    supervisor.kill();
    until("the supervisor to end", Duration::from_secs(5), || process(supervisor.pid).is_none().then_some(()));
    assert_eq!(scene.run("ls --format json").ok().json()[0]["state"], "Running");
    assert_eq!(docker(scene, "dev", "docker ps --format '{{.Names}}'").ok().line(), "stays");
    scene.run("ssh dev true").ok();
    assert_eq!(scene.qemu("dev"), qemu);
    assert_ne!(scene.supervisor("dev"), supervisor);
}

fn survives_stop_and_start(scene: &Scene, url: &str) {
    let address: std::net::SocketAddr = url.strip_prefix("tcp://").unwrap().parse().unwrap();
    let qemu = scene.qemu("dev");
    scene.command(["stop", "dev"]).limit(BOOT).run().ok().does_not_say("by force");
    assert_eq!((process(qemu.pid), scene.status("dev")), (None, "Stopped".into()));
    assert!(!listeners().contains(&address));
    scene.run("ssh dev true").exits(1).says("Host \"dev\" is not running");

    slowly(scene, "start dev").ok();
    assert_eq!(scene.run("url dev").ok().line(), url, "the port stays");
    assert_eq!(docker(scene, "dev", "docker run --rm -v keep:/v box cat /v/file").ok().line(), "kept");
    assert_eq!(
        docker(scene, "dev", "docker ps --format '{{.Names}}'").ok().line(),
        "stays",
        "it restarts with its machine"
    );
    // A file system that was not unmounted says so at its next mount.
    let unclean = "sudo dmesg | grep -iE 'ext4.*(recover|orphan)' || true";
    assert_eq!(scene.machine(["ssh", "dev", unclean]).ok().text(), "", "the last shutdown was clean");
}

/// `kill -9` of QEMU: as a power cut. What was written and synced is there afterwards.
fn loses_nothing_with_qemu(scene: &Scene) {
    docker(scene, "dev", "docker run --rm -v keep:/v box sh -c 'echo after > /v/second; sync'").ok();
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    qemu.kill();
    until("the supervisor to end", Duration::from_secs(10), || process(supervisor.pid).is_none().then_some(()));
    let status = scene.run("status dev");
    assert!(matches!(status.ok().line(), "Stopped" | "Error"), "{status}");
    status.says("SIGKILL");
    scene.run("url dev").exits(1).says("Host is not running");
    slowly(scene, "start dev").ok();
    let read = docker(scene, "dev", "docker run --rm -v keep:/v box cat /v/file /v/second");
    assert_eq!(read.ok().text(), "kept\nafter\n");
}
