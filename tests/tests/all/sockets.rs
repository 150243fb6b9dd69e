//! The machine's Docker socket, and the place of Docker's own. The engine is played, the client is Docker's own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use machine_tests::{Scene, until};

const VERSION: &str = "docker version --format '{{.Server.Version}}'";

/// The socket of a machine, as `env --socket` names it.
fn socket(scene: &Scene, name: &str) -> PathBuf {
    let env = scene.machine(["env", "--socket", "--shell", "bash", name]);
    let host = env.ok().text().lines().find_map(|line| line.strip_prefix("export DOCKER_HOST=\"unix://")).unwrap();
    PathBuf::from(host.trim_end_matches('"'))
}

#[test]
fn the_socket_is_this_users_alone_and_speaks_plain_api() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let path = socket(&scene, "dev");
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.permissions().mode() & 0o777, facts.uid()), (0o600, rustix::process::getuid().as_raw()));
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let script = format!(
        "export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/nowhere; eval \"$(machine env --socket dev)\" && {VERSION} && machine active && machine ls"
    );
    let run = scene.shell("bash", &script).run();
    let text = run.ok().text();
    assert!(text.starts_with("26.1.5\ndev\n") && text.contains("dev    *"), "{run}");
    let context = scene.shell("bash", "docker context inspect dev --format '{{.Endpoints.docker.Host}}'").run();
    assert_eq!(context.ok().line(), format!("unix://{}", path.display()));

    // Two hundred at once, each with its own answer.
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            client
        })
        .collect();
    for mut client in clients {
        let mut answer = [0; 15];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    scene.run("stop dev").ok();
    assert!(!path.exists());
}

#[test]
fn another_supervisor_makes_the_socket_again_in_place_of_the_dead_one() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let path = socket(&scene, "dev");
    scene.supervisor("dev").kill();
    assert!(path.exists(), "it is left");
    let limit = std::time::Duration::from_secs(20);
    until("it to listen no more", limit, || UnixStream::connect(&path).is_err().then_some(()));
    scene.run("ls").ok();
    until("the socket to be served", limit, || UnixStream::connect(&path).ok().map(drop));
    assert_eq!(scene.shell("bash", &format!("docker --context dev {}", &VERSION[7..])).run().ok().line(), "26.1.5");
}

#[test]
fn an_engine_that_hangs_up_on_a_client_that_goes_on_ends_that_client_alone() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let supervisor = scene.supervisor("dev");
    for _ in 0..10 {
        let mut client = UnixStream::connect(socket(&scene, "dev")).unwrap();
        // No request: the engine breaks off. What goes on coming then meets a connection that is closed.
        client.write_all(b"\xff\xff\n").unwrap();
        until("the client to be let go", std::time::Duration::from_secs(20), || {
            std::thread::sleep(std::time::Duration::from_millis(5));
            client.write_all(&[b'x'; 65536]).is_err().then_some(())
        });
    }
    assert_eq!(scene.supervisor("dev").pid, supervisor.pid);
    assert_eq!(scene.shell("bash", &format!("docker --context dev {}", &VERSION[7..])).run().ok().line(), "26.1.5");
}

#[test]
fn use_makes_a_machine_the_one_that_docker_talks_to() {
    let scene = Scene::new();
    scene.run("create one").ok();
    scene.run("create two").ok();
    let current = || scene.shell("bash", "docker context show").run().ok().line().to_owned();
    scene.run("use one").ok().prints_nothing().says("`docker` now talks to machine \"one\"");
    assert_eq!(current(), "one");
    assert_eq!(scene.shell("bash", VERSION).run().ok().line(), "26.1.5");
    let run = scene.command(["use", "two"]).env("DOCKER_HOST", "tcp://192.0.2.1:1").run();
    run.ok().says("DOCKER_HOST=tcp://192.0.2.1:1");
    assert_eq!(current(), "two");
    scene.run("use -u").ok();
    assert_eq!(current(), "default");
    scene.run("use nope").exits(1).says("does not exist");
    scene.run("use two").ok();
    scene.run("rm -y two").ok();
    assert_eq!(current(), "default", "it is given back with the machine");
}

#[test]
fn the_place_of_dockers_own_socket_is_taken_when_free_and_given_back() {
    let mut scene = Scene::new();
    let place = scene.path("docker.sock");
    scene.set("MACHINE_TEST_DEFAULT_SOCKET", &place);
    scene.run("create one").ok();
    scene.run("create two").ok();
    // Somebody else's engine: never.
    let theirs = UnixListener::bind(&place).unwrap();
    scene.run("use one --default-socket").exits(1).says("an engine listens there").fails_clearly();
    drop(theirs);
    scene.run("use one --default-socket").exits(1).says("is not free");
    fs::remove_file(&place).unwrap();

    scene.run("use one --default-socket").ok().says("is now the socket of machine \"one\"");
    scene.run("use one --default-socket").ok().says("is already the socket of machine \"one\"");
    let by_place = || scene.shell("bash", &format!("DOCKER_HOST=unix://{} {VERSION}", place.display())).run();
    assert_eq!(by_place().ok().line(), "26.1.5");
    scene.run("use two --default-socket").ok();
    assert_eq!(fs::read_link(&place).unwrap(), socket(&scene, "two"));
    scene.run("rm -y one").ok();
    assert_eq!(by_place().ok().line(), "26.1.5", "the machine that has it no more takes nothing away");
    scene.run("restart two").ok();
    assert_eq!(by_place().ok().line(), "26.1.5", "the place survives a restart");
    scene.run("use --no-default-socket").ok().says("is free again");
    assert!(!place.is_symlink());
    scene.run("use --no-default-socket").ok().says("No machine had");
    scene.run("use two --default-socket").ok();
    scene.run("rm -y two").ok();
    assert!(!place.is_symlink());
}

#[test]
fn the_hosts_proxies_reach_the_engines_environment_when_asked_for() {
    let mut scene = Scene::new();
    scene.set("HTTPS_PROXY", "http://127.0.0.1:3128");
    scene.set("no_proxy", "localhost,.example");
    let env = |scene: &Scene, name: &str| scene.record(name)["spec"]["engine"]["env"].clone();
    scene.run("create --no-wait plain").ok();
    assert!(env(&scene, "plain").is_null(), "not unasked");
    scene.run("create --no-wait --engine-proxy-from-host --engine-env NO_PROXY=mine dev").ok();
    let inside = "http://host.docker.internal:3128";
    assert_eq!(env(&scene, "dev"), serde_json::json!({ "HTTPS_PROXY": inside, "NO_PROXY": "mine" }));
    scene.run("create --no-host-access --engine-proxy-from-host other").exits(2).says("this computer alone");
    scene.run("stop dev").ok();
    scene.unset("HTTPS_PROXY");
    scene.run("set dev --engine-proxy-from-host").ok();
    assert!(env(&scene, "dev").is_null(), "there is none any more");
}
