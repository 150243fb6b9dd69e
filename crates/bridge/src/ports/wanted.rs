//! Which ports of this computer the containers of a machine ask for: decided from what the engine lists, without any effect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use machine_core::{Protocol, Publish};
use machine_docker::ContainerSummary;

/// A port that shall listen on this computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) reach: Reach,
}

/// Whom a port is for, which decides on the addresses that are listened on here, and on where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reach {
    /// Published on all addresses of the machine.
    All,
    /// Published on this loopback address of the machine: listened on here at the same one.
    Loopback(IpAddr),
}

/// What a container publishes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    /// The name of the container.
    pub(crate) container: String,
    /// The port inside the container.
    pub(crate) inside: u16,
}

/// The places that are asked for, and by whom.
pub(crate) type Wanted = BTreeMap<Place, Published>;

impl Place {
    /// The addresses to listen on. Whoever asks for all addresses means, unless told otherwise, this computer.
    pub(crate) fn addresses(&self, publish: Publish) -> Vec<SocketAddr> {
        let addresses = match (self.reach, publish) {
            (Reach::All, Publish::Loopback) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            (Reach::All, Publish::Lan) => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            (Reach::Loopback(address), _) => vec![address],
        };
        addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect()
    }
}

/// What running containers publish. Ports that are bound to another address of the machine than its loopback stay inside:
/// that address means nothing on this computer.
pub(crate) fn wanted(containers: &[ContainerSummary]) -> Wanted {
    let mut wanted = Wanted::new();
    for container in containers {
        let name = name_of(container);
        for port in container.ports.iter().flatten() {
            let (Some(public), Some(protocol)) = (port.public_port, protocol(port)) else { continue };
            let Some(reach) = reach(port.ip.as_deref()) else { continue };
            let published = Published { container: name.clone(), inside: port.private_port };
            wanted.entry(Place { protocol, port: public, reach }).or_insert(published);
        }
    }
    // What is published on all addresses is on the loopback as well.
    let all: Vec<Place> = wanted.keys().filter(|place| place.reach == Reach::All).copied().collect();
    wanted.retain(|place, _| place.reach == Reach::All || !all.contains(&Place { reach: Reach::All, ..*place }));
    wanted
}

/// The containers that share the network of the machine: their ports are not listed, but found listening.
pub(crate) fn on_host_network(containers: &[ContainerSummary]) -> BTreeMap<String, String> {
    containers
        .iter()
        .filter(|container| {
            container.host_config.as_ref().and_then(|config| config.network_mode.as_deref()) == Some("host")
        })
        .filter_map(|container| Some((container.id.clone()?, name_of(container))))
        .collect()
}

pub(crate) fn name_of(container: &ContainerSummary) -> String {
    let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned());
    name.or_else(|| container.id.clone()).unwrap_or_default()
}

fn protocol(port: &machine_docker::PortSummary) -> Option<Protocol> {
    match port.typ?.as_ref() {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        // SCTP: QEMU's user network does not carry it.
        _ => None,
    }
}

pub(crate) fn reach(address: Option<&str>) -> Option<Reach> {
    let Some(address) = address.filter(|address| !address.is_empty()) else { return Some(Reach::All) };
    let address: IpAddr = address.parse().ok()?;
    match address {
        _ if address.is_unspecified() => Some(Reach::All),
        _ if address.is_loopback() => Some(Reach::Loopback(address)),
        _ => None,
    }
}
