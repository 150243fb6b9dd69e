//! What QEMU's human monitor says of its user network. The text is no stable interface: whatever it is, nothing panics.

use std::net::{Ipv4Addr, SocketAddrV4};

use machine_core::Protocol;

/// The guest's address in the user network that every machine has.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// A port of this computer that leads into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostForward {
    /// `true` for UDP.
    pub udp: bool,
    /// The address listened on here.
    pub host_address: Ipv4Addr,
    /// The port listened on here.
    pub host_port: u16,
    /// The address inside.
    pub guest_address: Ipv4Addr,
    /// The port inside.
    pub guest_port: u16,
}

/// The host forwards in the answer to `info usernet`:
///
/// ```text
/// Hub -1 (net0):
///   Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
///   TCP[HOST_FORWARD]  12       127.0.0.1 46837       10.0.2.15    22     0     0
/// ```
///
/// An address of all interfaces is printed as `*`. Lines of another form are passed over.
pub fn parse_usernet(text: &str) -> Vec<HostForward> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<HostForward> {
    let mut words = line.split_ascii_whitespace();
    let udp = match words.next()? {
        "TCP[HOST_FORWARD]" => false,
        "UDP[HOST_FORWARD]" => true,
        _ => return None,
    };
    let mut words = words.skip(1);
    let host_address = match words.next()? {
        "*" => Ipv4Addr::UNSPECIFIED,
        address => address.parse().ok()?,
    };
    let host_port = words.next()?.parse().ok()?;
    let guest_address = words.next()?.parse().ok()?;
    let guest_port = words.next()?.parse().ok()?;
    Some(HostForward { udp, host_address, host_port, guest_address, guest_port })
}

/// The command that leads a port of this computer's loopback (0: a free one) to `inside`. No netdev is named: a machine has one
/// user network, and QEMU takes the first.
pub fn forward_command(protocol: Protocol, host_port: u16, inside: SocketAddrV4) -> String {
    format!("hostfwd_add {protocol}:127.0.0.1:{host_port}-{inside}")
}

/// The command that takes a forward back.
pub fn withdraw_command(forward: &HostForward) -> String {
    let protocol = if forward.udp { Protocol::Udp } else { Protocol::Tcp };
    format!("hostfwd_remove {protocol}:{}:{}", forward.host_address, forward.host_port)
}

/// What `hostfwd_add` answered: it says nothing when it worked, and its complaints come as text of a success.
///
/// # Errors
/// The complaint.
pub fn hostfwd_added(answer: &str) -> Result<(), String> {
    match answer.trim() {
        "" => Ok(()),
        complaint => Err(complaint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forwards_are_found_among_connections() {
        let text = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
            TCP[ESTABLISHED]   15       127.0.0.1 46837       10.0.2.15    22     0     0\r\n  \
            TCP[HOST_FORWARD]  12       127.0.0.1 46837       10.0.2.15    22     0     0\r\n  \
            UDP[HOST_FORWARD]  13               *    53       10.0.2.15   153     0     0\r\n";
        assert_eq!(
            parse_usernet(text),
            [
                HostForward {
                    udp: false,
                    host_address: Ipv4Addr::LOCALHOST,
                    host_port: 46837,
                    guest_address: GUEST,
                    guest_port: 22
                },
                HostForward {
                    udp: true,
                    host_address: Ipv4Addr::UNSPECIFIED,
                    host_port: 53,
                    guest_address: GUEST,
                    guest_port: 153
                },
            ]
        );
    }

    #[test]
    fn an_empty_answer_is_success_and_any_other_text_is_a_complaint() {
        assert_eq!(hostfwd_added("\r\n"), Ok(()));
        let complaint = "Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'\r\n";
        assert_eq!(hostfwd_added(complaint).unwrap_err(), complaint.trim());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(\\PC|[\r\n\t ]|TCP\\[HOST_FORWARD\\]){0,200}") {
            let _ = parse_usernet(&text);
        }

        #[test]
        fn what_qemu_prints_of_a_forward_is_read_back(udp: bool, address: [u8; 4], host_port: u16, guest_port: u16, fd in 3..99) {
            let host_address = Ipv4Addr::from(address);
            let protocol = if udp { "UDP" } else { "TCP" };
            let line = format!("  {protocol}[HOST_FORWARD]  {fd} {host_address} {host_port} 10.0.2.15 {guest_port} 0 0");
            let forward = HostForward { udp, host_address, host_port, guest_address: GUEST, guest_port };
            prop_assert_eq!(parse_usernet(&line), [forward]);
        }
    }
}
