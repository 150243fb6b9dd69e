//! The system's own resolver: hosts file, VPN, split DNS, mDNS; whatever a program on this computer would be told.

use std::net::{IpAddr, Ipv4Addr};

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};

use super::question::Found;

/// Looks up a name. Blocks: for seconds when a name server does not answer.
pub(super) fn look_up(name: &str) -> Found {
    let hints = AddrInfoHints {
        address: AddrFamily::Inet.into(),
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    match getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => {
            let mut addresses: Vec<Ipv4Addr> = Vec::new();
            for info in found.flatten() {
                if let IpAddr::V4(address) = info.sockaddr.ip()
                    && !addresses.contains(&address)
                {
                    addresses.push(address);
                }
            }
            Found::Addresses(addresses)
        }
        Err(error) => meaning(&error),
    }
}

fn meaning(error: &LookupError) -> Found {
    /// The name has no address of this family (glibc's netdb.h); macOS says [`LookupErrorKind::NoName`].
    const EAI_ADDRFAMILY: i32 = -9;
    match error.kind() {
        LookupErrorKind::NoName => Found::NoName,
        LookupErrorKind::NoData => Found::Addresses(Vec::new()),
        _ if cfg!(target_os = "linux") && error.error_num() == EAI_ADDRFAMILY => Found::Addresses(Vec::new()),
        _ => Found::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_here_and_a_reserved_name_is_not() {
        let Found::Addresses(addresses) = look_up("localhost") else { panic!() };
        assert!(addresses.iter().all(Ipv4Addr::is_loopback) && !addresses.is_empty(), "{addresses:?}");
        // Never a name (RFC 6761, 6.4); without a network it cannot be found out.
        assert!(matches!(look_up("no.such.name.invalid"), Found::NoName | Found::Failed));
    }
}
