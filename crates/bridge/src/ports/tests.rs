//! Published ports of a guest that is played by this process.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use machine_core::{Error, GuestNetwork, Protocol, Publish, Result, SshTarget};
use machine_docker::ContainerSummary;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use super::table::Ports;
use super::wanted::wanted;
use super::{PortRow, PortState};
use crate::guest_shell::GuestShell;
use crate::rules::in_force;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Leads ports of the guest to ports of this computer.
#[derive(Default)]
struct Played {
    leads: Mutex<HashMap<(Protocol, u16), u16>>,
    withdrawn: Mutex<Vec<SocketAddrV4>>,
}

#[async_trait]
impl GuestNetwork for Played {
    fn guest(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 2, 15)
    }

    fn guest_loopback(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 2, 16)
    }

    async fn forward(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<u16> {
        let found = self.leads.lock().unwrap().get(&(protocol, inside.port())).copied();
        found.ok_or_else(|| Error::other("QEMU does not lead there"))
    }

    async fn withdraw(&self, _protocol: Protocol, inside: SocketAddrV4) -> Result<()> {
        self.withdrawn.lock().unwrap().push(inside);
        Ok(())
    }
}

/// The ports of a machine, at work.
struct Scene {
    network: Arc<Played>,
    containers: watch::Sender<Option<Arc<Vec<ContainerSummary>>>>,
    rows: Arc<Mutex<Vec<PortRow>>>,
    events: UnboundedReceiver<(String, Value)>,
}

impl Scene {
    fn new() -> Self {
        let network = Arc::new(Played::default());
        let (containers, seen) = watch::channel(None);
        let rows: Arc<Mutex<Vec<PortRow>>> = Arc::default();
        let (tell, events) = unbounded_channel();
        let nowhere = |endpoints: machine_core::Endpoints| SshTarget {
            address: endpoints.ssh,
            user: "docker".into(),
            key: "/nonexistent".into(),
            host_key: String::new(),
            machine: "dev".into(),
        };
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let shell = GuestShell::new(Arc::new(nowhere), machine_core::Endpoints { ssh: here, engine: here });
        let ports =
            Ports::new(network.clone(), shell, in_force(), watch::channel(Publish::Loopback).1, rows.clone(), tell);
        tokio::spawn(ports.run(seen));
        Self { network, containers, rows, events }
    }

    /// The guest's port `port` is this computer's `led`.
    fn leads(&self, protocol: Protocol, port: u16, led: u16) {
        self.network.leads.lock().unwrap().insert((protocol, port), led);
    }

    fn publish(&self, ports: &[(u16, &str)]) {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(port, kind)| json!({ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": kind }))
            .collect();
        self.containers.send_replace(Some(Arc::new(containers(&json!([{ "Names": ["/web"], "Ports": ports }])))));
    }

    /// Waits until the only row is as `done` wants it.
    async fn row(&self, done: impl Fn(&PortState) -> bool) -> PortRow {
        let deadline = Instant::now() + LIMIT;
        loop {
            let rows = self.rows.lock().unwrap().clone();
            match rows.as_slice() {
                [row] if done(&row.state) => return row.clone(),
                _ => assert!(Instant::now() < deadline, "{rows:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn containers(value: &Value) -> Vec<ContainerSummary> {
    serde_json::from_value(value.clone()).unwrap()
}

fn is_open(state: &PortState) -> bool {
    matches!(state, PortState::Open { .. })
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A guest that says what it heard, once it has heard all of it.
fn echo_at_the_end(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut heard = Vec::new();
            if client.read_to_end(&mut heard).is_ok() {
                let _ = client.write_all(&heard);
            }
        }
    });
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut client = TcpStream::connect_timeout(&address, LIMIT)?;
    client.set_read_timeout(Some(LIMIT))?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).map(|_| answer)
}

#[tokio::test]
async fn a_port_appears_with_its_container_carries_both_ways_and_vanishes_with_it() {
    let mut scene = Scene::new();
    let guest = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    scene.leads(Protocol::Tcp, port, guest.local_addr().unwrap().port());
    echo_at_the_end(guest);
    scene.publish(&[(port, "tcp")]);
    let row = scene.row(is_open).await;
    assert_eq!((row.container.as_str(), row.port, row.container_port), ("web", port, 80));
    let PortState::Open { addresses } = row.state else { unreachable!() };
    assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
    for address in addresses {
        // The guest answers when this side has ended its half.
        assert_eq!(off_thread(move || ask(address)).await.unwrap(), "hello");
    }
    scene.publish(&[]);
    let event = async {
        while let Some((name, fields)) = scene.events.recv().await {
            if name == "port closed" {
                return fields;
            }
        }
        Value::Null
    };
    assert_eq!(tokio::time::timeout(LIMIT, event).await.unwrap()["port"], port);
    // The one for crowds, too.
    let inside =
        [scene.network.guest_loopback(), scene.network.guest()].map(|address| SocketAddrV4::new(address, port));
    assert_eq!(*scene.network.withdrawn.lock().unwrap(), inside);
    let refused = off_thread(move || ask((Ipv4Addr::LOCALHOST, port).into())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_port_that_is_taken_says_so_and_is_taken_up_when_it_is_free() {
    let scene = Scene::new();
    let guest = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    scene.leads(Protocol::Tcp, port, guest.local_addr().unwrap().port());
    echo_at_the_end(guest);
    scene.publish(&[(port, "tcp")]);
    let row = scene.row(|state| matches!(state, PortState::Taken { .. })).await;
    let warning = row.warning().unwrap();
    assert!(warning.contains(&format!("port {port}/tcp of container web is taken")), "{warning}");
    if cfg!(target_os = "linux") {
        assert!(warning.contains(&format!("(process {})", std::process::id())), "{warning}");
    }
    drop(other);
    scene.row(is_open).await;
    assert_eq!(off_thread(move || ask((Ipv4Addr::LOCALHOST, port).into())).await.unwrap(), "hello");
}

#[tokio::test]
async fn connections_to_a_listener_with_a_backlog_of_one_are_not_lost() {
    let scene = Scene::new();
    let guest = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    guest.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    guest.listen(1).unwrap();
    let guest: TcpListener = guest.into();
    let port = free_port();
    scene.leads(Protocol::Tcp, port, guest.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut client in guest.incoming().flatten() {
            std::thread::sleep(Duration::from_millis(1));
            std::thread::spawn(move || client.write_all(b"welcome"));
        }
    });
    scene.publish(&[(port, "tcp")]);
    scene.row(is_open).await;
    let clients: Vec<_> = (0..200)
        .map(|_| {
            tokio::task::spawn_blocking(move || {
                let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                client.set_read_timeout(Some(LIMIT)).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).map(|_| answer)
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap(), "welcome");
    }
}

#[tokio::test]
async fn a_connection_that_finds_nobody_inside_is_broken_off() {
    let scene = Scene::new();
    let port = free_port();
    scene.leads(Protocol::Tcp, port, free_port());
    scene.publish(&[(port, "tcp")]);
    scene.row(is_open).await;
    let outcome = off_thread(move || ask((Ipv4Addr::LOCALHOST, port).into())).await;
    assert!(
        matches!(
            outcome.as_ref().map_err(std::io::Error::kind),
            Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_does_not_lead_inside_is_said() {
    let scene = Scene::new();
    scene.publish(&[(free_port(), "tcp")]);
    let row = scene.row(|state| matches!(state, PortState::Refused { .. })).await;
    assert!(row.warning().unwrap().contains("QEMU does not lead there"), "{row:?}");
}

#[tokio::test]
async fn each_udp_client_gets_its_own_answers() {
    let scene = Scene::new();
    let guest = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    scene.leads(Protocol::Udp, port, guest.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = guest.recv_from(&mut buffer) {
            let _ = guest.send_to(&buffer[..length], peer);
        }
    });
    scene.publish(&[(port, "udp")]);
    scene.row(is_open).await;
    let answers = off_thread(move || {
        let clients: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for (at, client) in clients.iter().enumerate() {
            client.send_to(format!("from {at}").as_bytes(), (Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        let answer = |client: &UdpSocket| {
            client.set_read_timeout(Some(LIMIT)).unwrap();
            let mut buffer = [0; 2048];
            let length = client.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        clients.iter().map(answer).collect::<Vec<_>>()
    })
    .await;
    assert_eq!(answers, ["from 0", "from 1", "from 2"]);
}

#[test]
fn what_containers_publish_decides_which_ports_are_wanted() {
    let list = containers(&json!([
        { "Id": "a", "Names": ["/web"], "Ports": [
            { "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8000, "Type": "tcp" },
            { "IP": "::", "PrivatePort": 80, "PublicPort": 8000, "Type": "tcp" },
            { "IP": "127.0.0.1", "PrivatePort": 81, "PublicPort": 8000, "Type": "tcp" },
            { "IP": "127.0.0.1", "PrivatePort": 82, "PublicPort": 8002, "Type": "udp" },
            { "IP": "172.17.0.1", "PrivatePort": 83, "PublicPort": 8003, "Type": "tcp" },
            { "PrivatePort": 84, "Type": "tcp" },
            { "IP": "0.0.0.0", "PrivatePort": 85, "PublicPort": 8005, "Type": "sctp" },
            { "IP": "somewhere", "PrivatePort": 86, "PublicPort": 8006, "Type": "tcp" },
        ] },
        { "Id": "b", "Names": ["/idle"] },
    ]));
    let shown: Vec<String> = wanted(&list)
        .iter()
        .map(|(place, published)| {
            let at: Vec<String> = place.addresses(Publish::Loopback).iter().map(ToString::to_string).collect();
            format!("{} {} {}:{}", at.join(" "), place.protocol, published.container, published.inside)
        })
        .collect();
    assert_eq!(shown, ["127.0.0.1:8000 [::1]:8000 tcp web:80", "127.0.0.1:8002 udp web:82"]);
    let lan: Vec<_> = wanted(&list).keys().flat_map(|place| place.addresses(Publish::Lan)).collect();
    assert_eq!(
        lan.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["0.0.0.0:8000", "[::]:8000", "127.0.0.1:8002"]
    );
}
