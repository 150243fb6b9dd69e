//! Ports that containers publish, on this computer, for real.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use machine_tests::{Scene, find_program, page, process, service_image, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::vm_life::{create, docker, slowly};

/// How long anything may take that is not a boot.
const LIMIT: Duration = Duration::from_secs(60);

/// A port of this computer that nobody has, for TCP and UDP.
fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Runs a service in a container of that name.
#[track_caller]
fn serve(scene: &Scene, name: &str, options: &str, services: &str) {
    let line = format!("docker run -d --name {name} -v /usr:/usr:ro {options} service /service {services}");
    docker(scene, "dev", &line).ok();
}

/// What `machine ports` says of a port, once it is open or whatever else is wanted.
#[track_caller]
fn row(scene: &Scene, port: u16, state: &str) -> serde_json::Value {
    until(&format!("port {port} to be {state}"), LIMIT, || {
        let rows = scene.run("ports dev --format json").ok().json();
        rows.as_array().unwrap().iter().find(|row| row["port"] == port && row["state"]["state"] == state).cloned()
    })
}

#[track_caller]
fn is_closed(port: u16) {
    until(&format!("port {port} to be closed"), LIMIT, || {
        TcpStream::connect(here(port)).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
}

#[test]
fn vm_what_containers_publish_is_on_this_computer_as_if_docker_ran_here() {
    let scene = Scene::real();
    create(&scene, "dev");
    let image = service_image(&scene, env!("CARGO_BIN_EXE_service"));
    docker(&scene, "dev", &format!("docker import -c 'EXPOSE 80' {} service >/dev/null", image.display())).ok();

    opens_and_closes_with_its_container(&scene);
    opens_on_the_loopback_alone_and_where_docker_chooses(&scene);
    carries_datagrams_and_both_halves(&scene);
    finds_what_listens_on_the_machines_own_network(&scene);
    breaks_off_what_finds_nobody(&scene);
    says_who_has_a_port_and_takes_it_up_later(&scene);
    loses_none_of_five_hundred(&scene);
    survives(&scene);
}

fn opens_and_closes_with_its_container(scene: &Scene) {
    let (port, second) = (free_port(), free_port());
    serve(scene, "web", &format!("-p {port}:80 -p {second}:80"), "http 0.0.0.0:80 '<h1>shop</h1>'");
    row(scene, port, "open");
    assert_eq!(page(here(port)).unwrap(), "<h1>shop</h1>");
    assert_eq!(page((Ipv6Addr::LOCALHOST, second).into()).unwrap(), "<h1>shop</h1>");
    let text = scene.run("ports dev").ok().text().to_owned();
    assert!(text.contains(&format!("dev       {port}/tcp")) && text.contains("open at 127.0.0.1, ::1"), "{text}");

    let chromium = scene
        .program(find_program("chromium"))
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args([format!("--user-data-dir={}", scene.path("browser").display()), format!("http://localhost:{port}/")])
        // It leaves files of its own there.
        .env("XDG_RUNTIME_DIR", scene.path("browser"))
        .env("HOME", scene.path("browser"))
        .limit(LIMIT)
        .run();
    assert!(chromium.ok().text().contains("<h1>shop</h1>"), "{chromium}");

    docker(scene, "dev", "docker stop -t 0 web").ok();
    is_closed(port);
    docker(scene, "dev", "docker start web").ok();
    row(scene, port, "open");
    docker(scene, "dev", "docker rm -f web").ok();
    is_closed(port);
    is_closed(second);
}

fn opens_on_the_loopback_alone_and_where_docker_chooses(scene: &Scene) {
    let port = free_port();
    let options = format!("-P -p 127.0.0.1:{port}:80 -p 81-83");
    serve(scene, "many", &options, "http 0.0.0.0:80 one http 0.0.0.0:81 two http 0.0.0.0:83 three");
    let open = row(scene, port, "open");
    assert_eq!(open["state"]["addresses"], serde_json::json!([format!("127.0.0.1:{port}")]), "{open}");
    assert_eq!(page(here(port)).unwrap(), "one");
    let chosen = |inside: u16| {
        let line = docker(scene, "dev", &format!("docker port many {inside} | head -1")).ok().line().to_owned();
        line.rsplit(':').next().unwrap().parse::<u16>().unwrap()
    };
    for (inside, text) in [(81, "two"), (83, "three")] {
        let port = chosen(inside);
        row(scene, port, "open");
        assert_eq!(page(here(port)).unwrap(), text);
    }
    docker(scene, "dev", "docker rm -f many").ok();
}

fn carries_datagrams_and_both_halves(scene: &Scene) {
    let port = free_port();
    serve(scene, "echo", &format!("-p {port}:7 -p {port}:7/udp"), "echo 0.0.0.0:7");
    row(scene, port, "open");
    until("both protocols", LIMIT, || {
        let rows = scene.run("ports dev --format json").ok().json();
        let open = |row: &&serde_json::Value| row["port"] == port && row["state"]["state"] == "open";
        (rows.as_array().unwrap().iter().filter(open).count() == 2).then_some(())
    });
    let mut stream = TcpStream::connect(here(port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut writer, bytes) = (stream.try_clone().unwrap(), sent.clone());
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    writing.join().unwrap();
    assert!(heard == sent, "{} of {} bytes came back", heard.len(), sent.len());

    let clients: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind(here(0)).unwrap()).collect();
    for (at, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let word = format!("datagram {at}");
        // Datagrams may be lost, and are where a busy computer emulates.
        let answer = until("an answer", LIMIT, || {
            client.send_to(word.as_bytes(), here(port)).unwrap();
            let mut buffer = [0; 100];
            client.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
        });
        assert_eq!(answer, word);
    }
    docker(scene, "dev", "docker rm -f echo").ok();
}

fn finds_what_listens_on_the_machines_own_network(scene: &Scene) {
    let (port, inner) = (free_port(), free_port());
    serve(scene, "near", "--network host", &format!("http 0.0.0.0:{port} near http 127.0.0.1:{inner} inner"));
    assert_eq!(row(scene, port, "open")["container"], "near");
    row(scene, inner, "open");
    assert_eq!(page(here(port)).unwrap(), "near");
    assert_eq!(page(here(inner)).unwrap(), "inner");
    docker(scene, "dev", "docker rm -f near").ok();
    is_closed(port);
}

fn breaks_off_what_finds_nobody(scene: &Scene) {
    let port = free_port();
    serve(scene, "deaf", &format!("-p {port}:81"), "http 0.0.0.0:80 nothing");
    row(scene, port, "open");
    let error = page(here(port)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
    docker(scene, "dev", "docker rm -f deaf").ok();
}

fn says_who_has_a_port_and_takes_it_up_later(scene: &Scene) {
    let mine = TcpListener::bind(here(0)).unwrap();
    let port = mine.local_addr().unwrap().port();
    serve(scene, "late", &format!("-p {port}:80"), "http 0.0.0.0:80 late");
    let taken = row(scene, port, "taken");
    let holder = taken["state"]["holder"].as_str().unwrap();
    assert!(holder.contains(&format!("(process {})", std::process::id())), "{taken}");
    let warnings = scene.run("ls --format json").ok().json()[0]["warnings"].to_string();
    assert!(warnings.contains(&format!("port {port}/tcp of container late is taken")), "{warnings}");
    drop(mine);
    row(scene, port, "open");
    assert_eq!(page(here(port)).unwrap(), "late");
    let events = scene.run("logs --events -n 5000 dev").ok().text().to_owned();
    assert!(events.contains(&format!("\"port\":{port}")) && events.contains("\"state\":\"taken\""), "{events}");
    docker(scene, "dev", "docker rm -f late").ok();
}

fn loses_none_of_five_hundred(scene: &Scene) {
    let port = free_port();
    serve(scene, "busy", &format!("-p {port}:80"), "http 0.0.0.0:80 served");
    row(scene, port, "open");
    let clients: Vec<_> = (0..500).map(|_| std::thread::spawn(move || page(here(port)))).collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let lost: Vec<_> = answers.iter().filter(|answer| !answer.as_ref().is_ok_and(|page| page == "served")).collect();
    assert!(lost.is_empty(), "{} of 500: {:?}", lost.len(), lost[0]);
}

fn survives(scene: &Scene) {
    // A supervisor that is killed: the next command gives the machine another one, which opens the ports again.
    let port = scene.run("ports dev --format json").ok().json()[0]["port"].as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    let supervisor = scene.supervisor("dev");
    supervisor.kill();
    until("the supervisor to end", LIMIT, || process(supervisor.pid).is_none().then_some(()));
    scene.run("ls").ok();
    row(scene, port, "open");
    assert_eq!(page(here(port)).unwrap(), "served");

    // An engine that is started again, under a container that goes on.
    scene.command(["ssh", "dev", "--", "sudo", "systemctl", "restart", "docker"]).limit(LIMIT).run().ok();
    assert_eq!(page(here(port)).unwrap(), "served");

    // A QEMU that stands still: who comes meanwhile waits, and is served when it goes on.
    let qemu = Pid::from_raw(i32::try_from(scene.qemu("dev").pid).unwrap()).unwrap();
    kill_process(qemu, Signal::STOP).unwrap();
    let clients: Vec<_> = (0..10).map(|_| std::thread::spawn(move || page(here(port)))).collect();
    std::thread::sleep(Duration::from_secs(5));
    kill_process(qemu, Signal::CONT).unwrap();
    for client in clients {
        assert_eq!(client.join().unwrap().unwrap(), "served");
    }

    slowly(scene, "suspend dev").ok();
    is_closed(port);
    slowly(scene, "start dev").ok();
    row(scene, port, "open");
    assert_eq!(page(here(port)).unwrap(), "served");
    slowly(scene, "stop dev").ok();
    is_closed(port);
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
