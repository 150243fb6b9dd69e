//! The rules in the guest: its questions for names go to this computer's name server, and its way to this computer is
//! closed where that was asked for. Set over SSH, by iptables, which every engine needs anyway.
//!
//! Containers ask the guest's own name server (the default network copies `resolv.conf`) or Docker's, which asks that one
//! from within the container's network: both pass `PREROUTING`. What runs in the guest itself passes `OUTPUT`.

/// What the guest's network shall be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestNetworkRules {
    /// Names are asked for at this port of this computer's loopback.
    Names {
        /// The port, for both protocols.
        port: u16,
    },
    /// This computer is not reached at all, and names are those of QEMU's own name server.
    NoHostAccess,
}

impl GuestNetworkRules {
    /// The addresses are those of QEMU's user network: this computer is 10.0.2.2 and every address of 10.0.2.0/24 that is
    /// nothing else (libslirp, `sotranslate_out`), 10.0.2.3 is its name server.
    /// The script that sets them, for root; setting them again changes nothing, or the port.
    ///
    pub(crate) fn script(self) -> String {
        match self {
            // One process where they are set already, two at the first time: a process is dear under emulation. A chain that is
            // declared is emptied (iptables-restore(8), `--noflush`).
            GuestNetworkRules::Names { port } => format!(
                "set -e
jumps=
if ! iptables -w -t nat -C OUTPUT -d 10.0.2.3/32 -j MACHINE-DNS 2>/dev/null; then
    jumps='-I OUTPUT -d 10.0.2.3/32 -j MACHINE-DNS
-I PREROUTING -d 10.0.2.3/32 -j MACHINE-DNS'
fi
iptables-restore -w --noflush <<EOT
*nat
:MACHINE-DNS - [0:0]
-A MACHINE-DNS -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.2.2:{port}
-A MACHINE-DNS -p tcp -m tcp --dport 53 -j DNAT --to-destination 10.0.2.2:{port}
$jumps
COMMIT
EOT
"
            ),
            // In DOCKER-USER, which Docker leaves alone and passes before all of its own. DHCP and names are QEMU's, not this
            // computer's. What this computer begins comes from 10.0.2.2, too: answers pass.
            GuestNetworkRules::NoHostAccess => "set -e
iptables -w -N DOCKER-USER 2>/dev/null || :
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
"
            .to_owned(),
        }
    }
}
