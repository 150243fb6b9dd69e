//! The published ports of one machine: kept as they are wanted.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_core::{GuestNetwork, Protocol, Publish};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::gate::Gate;
use super::holder::holder;
use super::host_network::HostNetwork;
use super::row::{PortRow, PortState};
use super::wanted::{Place, Published, Reach, Wanted, wanted};
use super::{datagrams, listener};
use crate::bridge::{Containers, Events};
use crate::guest_shell::GuestShell;
use crate::rules::Rules;

/// How often what could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The published ports of one machine.
pub(crate) struct Ports {
    network: Arc<dyn GuestNetwork>,
    shell: GuestShell,
    publish: watch::Receiver<Publish>,
    /// Those that lead to the guest's loopback.
    rules: watch::Receiver<Rules>,
    entries: BTreeMap<Place, Entry>,
    rows: Arc<Mutex<Vec<PortRow>>>,
    events: Events,
}

/// One of them.
struct Entry {
    published: Published,
    inside: Option<SocketAddrV4>,
    way: Way,
    here: BTreeMap<SocketAddr, Here>,
}

/// The way from this computer into the machine.
#[derive(Clone)]
enum Way {
    There(Arc<Gate>),
    /// It is being made.
    Coming,
    /// Why there is none.
    None(String),
}

/// What became of one address of this computer.
enum Here {
    Open(#[expect(dead_code, reason = "held until the port is closed")] Serving),
    Taken(Option<String>),
    Refused(String),
    /// This computer has no such address (IPv6 is off).
    Absent,
}

/// A port that listens. Dropping it ends that, and its connections.
struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ports {
    /// None yet; `rows` tells of them.
    pub(crate) fn new(
        network: Arc<dyn GuestNetwork>,
        shell: GuestShell,
        rules: watch::Receiver<Rules>,
        publish: watch::Receiver<Publish>,
        rows: Arc<Mutex<Vec<PortRow>>>,
        events: Events,
    ) -> Self {
        Self { network, shell, rules, publish, entries: BTreeMap::new(), rows, events }
    }

    /// Keeps them as `containers` publish them, until it is dropped.
    pub(crate) async fn run(mut self, mut containers: Containers) {
        let mut host_network = HostNetwork::new(self.shell.clone());
        let mut led = false;
        loop {
            let all_there = self.entries.values().all(Entry::is_there);
            tokio::select! {
                changed = containers.changed() => if changed.is_err() {
                    return;
                },
                () = host_network.changed() => {}
                Ok(_) = async { self.rules.wait_for(|rules| rules.set).await.map(drop) }, if !led => led = true,
                Ok(()) = self.publish.changed() => self.listen_anew(),
                () = sleep(AGAIN), if !all_there => {}
            }
            // Before the engine's first answer nothing is known, which is not the same as no containers.
            let Some(list) = containers.borrow_and_update().clone() else { continue };
            host_network.watch(&list);
            let mut wanted = wanted(&list);
            for (place, published) in host_network.found() {
                wanted.entry(place).or_insert(published);
            }
            self.keep(&wanted).await;
            self.tell();
        }
    }

    /// Gives up what listens for all, as that means others now.
    fn listen_anew(&mut self) {
        for (_, entry) in self.entries.iter_mut().filter(|(place, _)| place.reach == Reach::All) {
            entry.here.clear();
        }
    }

    async fn keep(&mut self, wanted: &Wanted) {
        let gone: Vec<Place> = self.entries.keys().filter(|place| !wanted.contains_key(place)).copied().collect();
        for place in gone {
            let Some(Entry { inside: Some(inside), way, .. }) = self.entries.remove(&place) else { continue };
            let beside = matches!(way, Way::There(gate) if gate.is_wide()).then(|| self.beside(&place));
            for inside in beside.into_iter().chain([inside]) {
                if let Err(error) = self.network.withdraw(place.protocol, inside).await {
                    tracing::warn!(%error, "a forward was not removed");
                }
            }
        }
        for (place, published) in wanted {
            let entry = match self.entries.remove(place) {
                Some(entry) if matches!(entry.way, Way::There(_)) => entry,
                _ => self.lead(place, published).await,
            };
            let entry = self.open(place, Entry { published: published.clone(), ..entry }).await;
            self.widen(place, &entry).await;
            self.entries.insert(*place, entry);
        }
    }

    /// Makes the way into the machine.
    async fn lead(&self, place: &Place, published: &Published) -> Entry {
        let address = self.inside(place.reach);
        let inside = address.as_ref().ok().copied().flatten().map(|address| SocketAddrV4::new(address, place.port));
        let way = match (inside, address) {
            (Some(inside), _) => match self.network.forward(place.protocol, inside).await {
                Ok(port) => Way::There(Arc::new(Gate::to(port))),
                Err(error) => {
                    tracing::warn!(port = place.port, %error, "a published port does not lead into the machine");
                    Way::None(error.to_string())
                }
            },
            (None, Ok(_)) => Way::Coming,
            (None, Err(reason)) => Way::None(reason),
        };
        Entry { published: published.clone(), inside, way, here: BTreeMap::new() }
    }

    /// The address of the guest at which what has that reach is found; none while the way there is being made.
    fn inside(&self, reach: Reach) -> std::result::Result<Option<Ipv4Addr>, String> {
        match reach {
            Reach::All => Ok(Some(self.network.guest())),
            Reach::Loopback(IpAddr::V4(Ipv4Addr::LOCALHOST)) => {
                Ok(self.rules.borrow().set.then(|| self.network.guest_loopback()))
            }
            Reach::Loopback(other) => Err(format!(
                "it is published on the machine's {other} alone; publish it on 127.0.0.1, or on all addresses"
            )),
        }
    }

    /// Gives crowds a way of their own, once there is one.
    async fn widen(&self, place: &Place, entry: &Entry) {
        let Way::There(gate) = &entry.way else { return };
        let crowded = place.protocol == Protocol::Tcp && place.reach == Reach::All && !gate.is_wide();
        if !crowded || self.network.guest() == self.network.guest_loopback() {
            return;
        }
        if self.rules.borrow().set {
            match self.network.forward(place.protocol, self.beside(place)).await {
                Ok(port) => gate.widen(port),
                Err(error) => tracing::warn!(port = place.port, %error, "a published port has no way for crowds"),
            }
        }
    }

    /// Where Docker's own proxy listens for a port that is published on all addresses.
    fn beside(&self, place: &Place) -> SocketAddrV4 {
        SocketAddrV4::new(self.network.guest_loopback(), place.port)
    }

    /// Listens wherever it does not yet.
    async fn open(&self, place: &Place, mut entry: Entry) -> Entry {
        let Way::There(gate) = &entry.way else { return entry };
        let publish = *self.publish.borrow();
        for address in place.addresses(publish) {
            let before = entry.here.remove(&address);
            let here = match before {
                Some(here @ (Here::Open(_) | Here::Absent)) => here,
                before => self.listen(place, address, gate, before).await,
            };
            entry.here.insert(address, here);
        }
        entry
    }

    async fn listen(&self, place: &Place, address: SocketAddr, gate: &Arc<Gate>, before: Option<Here>) -> Here {
        let local = *self.publish.borrow() == Publish::Loopback || place.reach != Reach::All;
        // macOS gives ports below 1024 to everybody, but only on all addresses (since 10.14; Lima's documentation, "Port forwarding").
        let all = match address {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let at = if cfg!(target_os = "macos") && place.port < 1024 { (all, place.port).into() } else { address };
        let task = match place.protocol {
            Protocol::Tcp => {
                listener::listen(at).map(|listener| tokio::spawn(listener::serve(listener, Arc::clone(gate), local)))
            }
            Protocol::Udp => {
                datagrams::listen(at).map(|socket| tokio::spawn(datagrams::serve(socket, gate.address(), local)))
            }
        };
        match task {
            Ok(task) => Here::Open(Serving(task)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // To look for the holder takes a look at every socket of the computer.
                if let Some(taken @ Here::Taken(_)) = before {
                    return taken;
                }
                let protocol = place.protocol;
                let found = tokio::task::spawn_blocking(move || holder(protocol, at)).await;
                Here::Taken(found.ok().flatten())
            }
            Err(error) if address.is_ipv6() && place.reach == Reach::All && is_absent(&error) => Here::Absent,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Here::Refused(low_port(place.port)),
            Err(error) => Here::Refused(error.to_string()),
        }
    }

    fn tell(&self) {
        let rows: Vec<PortRow> = self.entries.iter().map(|(place, entry)| entry.row(place)).collect();
        let mut told = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.iter().filter(|row| !told.contains(row)) {
            // The machine may be at its end.
            let _ = self.events.send(("port".to_owned(), json!(row)));
        }
        for row in
            told.iter().filter(|old| !rows.iter().any(|row| (row.port, row.protocol) == (old.port, old.protocol)))
        {
            let _ = self.events.send(("port closed".to_owned(), json!({ "port": row.port, "protocol": row.protocol })));
        }
        *told = rows;
    }
}

impl Entry {
    fn is_there(&self) -> bool {
        match self.way {
            Way::There(_) => self.here.values().all(|here| matches!(here, Here::Open(_) | Here::Absent)),
            // Whoever makes it says when it is there.
            Way::Coming => true,
            Way::None(_) => false,
        }
    }

    fn row(&self, place: &Place) -> PortRow {
        let open = || {
            let open = self.here.iter().filter(|(_, here)| matches!(here, Here::Open(_)));
            PortState::Open { addresses: open.map(|(address, _)| *address).collect() }
        };
        let trouble = self.here.iter().find_map(|(address, here)| match here {
            Here::Taken(holder) => Some(PortState::Taken { address: *address, holder: holder.clone() }),
            Here::Refused(reason) => Some(PortState::Refused { reason: reason.clone() }),
            Here::Open(_) | Here::Absent => None,
        });
        PortRow {
            protocol: place.protocol,
            port: place.port,
            container: self.published.container.clone(),
            container_port: self.published.inside,
            state: match &self.way {
                Way::There(_) => trouble.unwrap_or_else(open),
                Way::Coming => PortState::Opening,
                Way::None(reason) => PortState::Refused { reason: reason.clone() },
            },
        }
    }
}

/// Whether the system has no such address, or none of its kind.
fn is_absent(error: &IoError) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        // EAFNOSUPPORT (Linux, macOS), WSAEAFNOSUPPORT.
        || matches!(error.raw_os_error(), Some(97 | 47 | 10047))
}

fn low_port(port: u16) -> String {
    if cfg!(target_os = "linux") && port < 1024 {
        return format!(
            "ports below 1024 are root's on this computer; `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` opens \
             them to everybody"
        );
    }
    "the system does not allow it".to_owned()
}
