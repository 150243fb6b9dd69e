//! The script that sets the rules, over SSH and by iptables, which every engine needs anyway.

use std::net::Ipv4Addr;

/// What the guest's network shall be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestRules {
    /// The guest's own address.
    pub(crate) guest: Ipv4Addr,
    /// One more address of the guest, which leads to its loopback: ports that are published on 127.0.0.1 are there, and Docker's own
    /// proxies. Packets come to it only from this computer.
    pub(crate) loopback: Ipv4Addr,
    /// The port of this computer's loopback, for both protocols, at which names are asked for; none: names are those of QEMU's own
    /// name server.
    pub(crate) names: Option<u16>,
    /// The guest and its containers may reach this computer.
    pub(crate) host_access: bool,
}

impl GuestRules {
    /// The script, for root. To run it again changes nothing, or the port of names.
    ///
    /// The addresses are those of QEMU's user network: this computer is 10.0.2.2 and every address of 10.0.2.0/24 that is nothing
    /// else (libslirp, `sotranslate_out`), 10.0.2.3 is its name server. Containers ask the guest's own name server (the default
    /// network copies `resolv.conf`) or Docker's, which asks that one from within the container's network: both pass `PREROUTING`.
    /// What runs in the guest itself passes `OUTPUT`.
    ///
    /// A process is dear under emulation: hence few of them, and one `iptables-restore` for many rules, in which a chain that is
    /// declared is emptied (iptables-restore(8), `--noflush`).
    pub(crate) fn script(self) -> String {
        let Self { guest, loopback, names, host_access } = self;
        let ours = format!("-d {loopback}/32 -j DNAT --to-destination 127.0.0.1");
        let led = match names {
            Some(port) => format!(
                ":MACHINE-DNS - [0:0]
-A MACHINE-DNS -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.2.2:{port}
-A MACHINE-DNS -p tcp -m tcp --dport 53 -j DNAT --to-destination 10.0.2.2:{port}
"
            ),
            None => String::new(),
        };
        let jumps = match names {
            Some(_) => {
                "
-I OUTPUT -d 10.0.2.3/32 -j MACHINE-DNS
-I PREROUTING -d 10.0.2.3/32 -j MACHINE-DNS"
            }
            None => "",
        };
        let closed = if host_access { "" } else { NO_HOST_ACCESS };
        format!(
            "set -e
set -- $(ip -o -4 address show to {guest})
ip address replace {loopback}/32 dev \"$2\"
echo 1 >\"/proc/sys/net/ipv4/conf/$2/route_localnet\"
first=
iptables -w -t nat -C PREROUTING {ours} 2>/dev/null || first='-I PREROUTING {ours}{jumps}'
iptables-restore -w --noflush <<EOT
*nat
{led}$first
COMMIT
EOT
{closed}"
        )
    }
}

/// In DOCKER-USER, which Docker leaves alone and passes before all of its own. DHCP and names are QEMU's, not this computer's. What
/// this computer begins comes from 10.0.2.2, too: answers pass.
const NO_HOST_ACCESS: &str = "iptables -w -N DOCKER-USER 2>/dev/null || :
iptables-restore -w --noflush <<EOT
*filter
:MACHINE-HOST - [0:0]
-A MACHINE-HOST -d 10.0.2.3/32 -p udp -m udp --dport 53 -j RETURN
-A MACHINE-HOST -d 10.0.2.3/32 -p tcp -m tcp --dport 53 -j RETURN
-A MACHINE-HOST -d 10.0.2.2/32 -p udp -m udp --dport 67 -j RETURN
-A MACHINE-HOST -p tcp -j REJECT --reject-with tcp-reset
-A MACHINE-HOST -j REJECT --reject-with icmp-port-unreachable
COMMIT
EOT
rule='-d 10.0.2.0/24 -m conntrack --ctstate NEW -j MACHINE-HOST'
iptables -w -C DOCKER-USER $rule 2>/dev/null || iptables -w -I DOCKER-USER $rule
iptables -w -C OUTPUT ! -o lo $rule 2>/dev/null || iptables -w -I OUTPUT ! -o lo $rule
";

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(names: Option<u16>) -> String {
        let (guest, loopback) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 16));
        GuestRules { guest, loopback, names, host_access: names.is_some() }.script()
    }

    #[test]
    fn the_scripts_are_these() {
        insta::assert_snapshot!("names", rules(Some(5353)));
        insta::assert_snapshot!("no_host_access", rules(None));
    }
}
