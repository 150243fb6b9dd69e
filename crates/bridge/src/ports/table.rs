//! The published ports of one machine: kept as they are wanted.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_core::{Error, GuestNetwork, Protocol, Publish, Result};
use serde_json::json;
use tokio::sync::OnceCell;
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

/// How often what could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The published ports of one machine.
pub(crate) struct Ports {
    network: Arc<dyn GuestNetwork>,
    shell: GuestShell,
    publish: Publish,
    /// The guest leads an address to its loopback; only when somebody asks for that.
    loopback: OnceCell<()>,
    entries: BTreeMap<Place, Entry>,
    rows: Arc<Mutex<Vec<PortRow>>>,
    events: Events,
}

/// One of them.
struct Entry {
    published: Published,
    inside: Option<SocketAddrV4>,
    gate: std::result::Result<Arc<Gate>, String>,
    here: BTreeMap<SocketAddr, Here>,
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
        publish: Publish,
        rows: Arc<Mutex<Vec<PortRow>>>,
        events: Events,
    ) -> Self {
        Self { network, shell, publish, loopback: OnceCell::new(), entries: BTreeMap::new(), rows, events }
    }

    /// Keeps them as `containers` publish them, until it is dropped.
    pub(crate) async fn run(mut self, mut containers: Containers) {
        let mut host_network = HostNetwork::new(self.shell.clone());
        loop {
            let all_there = self.entries.values().all(Entry::is_there);
            tokio::select! {
                changed = containers.changed() => if changed.is_err() {
                    return;
                },
                () = host_network.changed() => {}
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

    async fn keep(&mut self, wanted: &Wanted) {
        let gone: Vec<Place> = self.entries.keys().filter(|place| !wanted.contains_key(place)).copied().collect();
        for place in gone {
            if let Some(Entry { inside: Some(inside), .. }) = self.entries.remove(&place)
                && let Err(error) = self.network.withdraw(place.protocol, inside).await
            {
                tracing::warn!(%error, "a forward was not removed");
            }
        }
        for (place, published) in wanted {
            let entry = match self.entries.remove(place) {
                Some(entry) if entry.gate.is_ok() => entry,
                _ => self.lead(place, published).await,
            };
            self.entries.insert(*place, self.open(place, Entry { published: published.clone(), ..entry }).await);
        }
    }

    /// Makes the way into the machine.
    async fn lead(&self, place: &Place, published: &Published) -> Entry {
        let led = async {
            let inside = SocketAddrV4::new(self.inside(place.reach).await?, place.port);
            Ok((inside, self.network.forward(place.protocol, inside).await?))
        };
        let led: Result<(SocketAddrV4, u16)> = led.await;
        if let Err(error) = &led {
            tracing::warn!(port = place.port, %error, "a published port does not lead into the machine");
        }
        Entry {
            published: published.clone(),
            inside: led.as_ref().ok().map(|(inside, _)| *inside),
            gate: led.map(|(_, port)| Arc::new(Gate::to(port))).map_err(|error| error.to_string()),
            here: BTreeMap::new(),
        }
    }

    /// The address of the guest at which what has that reach is found.
    async fn inside(&self, reach: Reach) -> Result<Ipv4Addr> {
        match reach {
            Reach::All => Ok(self.network.guest()),
            Reach::Loopback(IpAddr::V4(_)) => {
                self.loopback.get_or_try_init(|| self.lead_to_loopback()).await?;
                Ok(self.network.guest_loopback())
            }
            Reach::Loopback(IpAddr::V6(_)) => Err(Error::other("it is published on the machine's [::1] alone")
                .hint("publish it on 127.0.0.1, or on all addresses")),
        }
    }

    /// The guest answers at one more address, and leads that to its own loopback, where ports published on 127.0.0.1 are. Packets
    /// come there only from this computer.
    async fn lead_to_loopback(&self) -> Result<()> {
        let address = self.network.guest_loopback();
        let script = format!(
            "set -e\n\
             dev=$(ip -o -4 address show to {guest} | sed -n 's/^[0-9]*: \\([^ ]*\\).*/\\1/p')\n\
             ip address replace {address}/32 dev \"$dev\"\n\
             echo 1 >\"/proc/sys/net/ipv4/conf/$dev/route_localnet\"\n\
             rule='PREROUTING -d {address}/32 -j DNAT --to-destination 127.0.0.1'\n\
             iptables -t nat -C $rule 2>/dev/null || iptables -t nat -I $rule\n",
            guest = self.network.guest(),
        );
        self.shell.root("cannot lead ports to the machine's loopback", &script).await.map(drop)
    }

    /// Listens wherever it does not yet.
    async fn open(&self, place: &Place, mut entry: Entry) -> Entry {
        let Ok(gate) = &entry.gate else { return entry };
        for address in place.addresses(self.publish) {
            if !matches!(entry.here.get(&address), Some(Here::Open(_) | Here::Absent)) {
                let here = self.listen(place, address, gate).await;
                entry.here.insert(address, here);
            }
        }
        entry
    }

    async fn listen(&self, place: &Place, address: SocketAddr, gate: &Arc<Gate>) -> Here {
        let local = self.publish == Publish::Loopback || place.reach != Reach::All;
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
        self.gate.is_ok() && self.here.values().all(|here| matches!(here, Here::Open(_) | Here::Absent))
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
            state: match &self.gate {
                Ok(_) => trouble.unwrap_or_else(open),
                Err(reason) => PortState::Refused { reason: reason.clone() },
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
