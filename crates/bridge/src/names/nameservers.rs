//! The name servers that the system uses, for what its resolver cannot be asked: types other than addresses.

use std::net::{IpAddr, SocketAddr};

/// The port of DNS.
const PORT: u16 = 53;

/// The system's name servers now, in its order.
#[cfg(unix)]
pub(super) fn nameservers() -> Vec<SocketAddr> {
    // macOS keeps one of the primary resolver there (resolver(5)).
    parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// The system's name servers now: those of the network adapters that are up.
#[cfg(windows)]
pub(super) fn nameservers() -> Vec<SocketAddr> {
    let adapters = ipconfig::get_adapters().unwrap_or_default();
    let up = adapters.iter().filter(|adapter| adapter.oper_status() == ipconfig::OperStatus::IfOperStatusUp);
    let mut servers: Vec<SocketAddr> = Vec::new();
    for address in up.flat_map(ipconfig::Adapter::dns_servers) {
        // Windows lists these where it knows of none (fec0::/10, RFC 3879).
        let placeholder = matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0);
        let server = SocketAddr::new(*address, PORT);
        if !placeholder && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// The servers of resolv.conf(5). One with a zone (`fe80::1%eth0`) is passed over.
#[cfg(unix)]
fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address: IpAddr = words.next().filter(|word| *word == "nameserver").and(words.next())?.parse().ok()?;
            Some(SocketAddr::new(address, PORT))
        })
        .collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_in_their_order_and_everything_else_is_passed_over() {
        let text = "# nameserver 192.0.2.9\nsearch a.example\nnameserver 127.0.0.53\n\tnameserver  2001:db8::1 # x\n\
                    nameserver fe80::1%eth0\nnameservers 192.0.2.8\nnameserver\n";
        assert_eq!(parse(text), ["127.0.0.53:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
        assert!(parse("").is_empty());
    }
}
