//! From a QEMU that has just been started, or found, to a machine that can be reached.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use machine_core::{Error, Protocol, Result};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::facts::Accelerator;
use crate::log_tail;
use crate::qmp::Qmp;
use crate::qmp_message::QmpEvent;
use crate::run_file::Ports;
use crate::usernet::{GUEST, HostForward, forward_command, hostfwd_added, parse_usernet};
use crate::verdict::{Decision, FirstSeconds, watch};

/// Where sshd listens inside.
const SSH: u16 = 22;
/// Where the engine listens inside (Docker's registered port for TLS).
const ENGINE: u16 = 2376;
/// How long QEMU may take to open its monitor.
const MONITOR: Duration = Duration::from_secs(30);
/// How often the serial console is looked at while an accelerator is on trial.
const GLANCE: Duration = Duration::from_millis(100);

/// How long an sshd may take to greet; QEMU's user network accepts connections for whoever is not there yet.
const GREETING: Duration = Duration::from_millis(500);

/// A monitor and what comes out of it.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) qmp: Arc<Qmp>,
    pub(crate) events: mpsc::UnboundedReceiver<QmpEvent>,
}

impl Monitor {
    /// Connects to the monitor at `socket`.
    ///
    /// # Errors
    /// When it does not answer within 30 s.
    pub(crate) async fn connect(socket: &Path) -> Result<Self> {
        let (qmp, events) = Qmp::connect(socket, MONITOR).await?;
        Ok(Self { qmp: Arc::new(qmp), events })
    }
}

/// The trial of a hardware accelerator of which nothing is known yet.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) accelerator: Accelerator,
    pub(crate) direct_boot: bool,
    pub(crate) serial_log: PathBuf,
    pub(crate) serial_from: u64,
    pub(crate) began: Instant,
}

impl Trial {
    /// Waits for the guest's kernel to speak; behind firmware, which may leave the serial console to nobody, sshd's greeting
    /// on this computer's port `ssh` is as good.
    ///
    /// # Errors
    /// What speaks against the accelerator.
    pub(crate) async fn run(self, ssh: u16) -> Result<(), String> {
        loop {
            let serial = log_tail::since(&self.serial_log, self.serial_from);
            let decision = watch(&FirstSeconds {
                accelerator: self.accelerator,
                direct_boot: self.direct_boot,
                elapsed: self.began.elapsed(),
                exit: None,
                serial: &serial,
                answered: !self.direct_boot && greets(ssh).await,
            });
            match decision {
                Decision::Works => return Ok(()),
                Decision::Bad(reason) => return Err(reason),
                Decision::Wait => sleep(GLANCE).await,
            }
        }
    }
}

/// Whether an sshd behind the port `ssh` of this computer's loopback says who it is (RFC 4253, 4.2) within half a second.
async fn greets(ssh: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ssh)).await?;
        let mut first = [0; 4];
        stream.read_exact(&mut first).await.map(|_| first)
    };
    matches!(timeout(GREETING, greeting).await, Ok(Ok(first)) if &first == b"SSH-")
}

/// The ports that lead into the machine: those that do already, else the remembered ones, else free ones. With the
/// second value, those remembered ones that were taken.
///
/// # Errors
/// When QEMU forwards nothing at all.
pub(crate) async fn forward_ports(qmp: &Qmp, remembered: Option<Ports>) -> Result<(Ports, Vec<u16>)> {
    let present = parse_usernet(&qmp.human("info usernet").await?);
    let mut taken = Vec::new();
    let ssh = forward(qmp, &present, SSH, remembered.map(|ports| ports.ssh), &mut taken).await?;
    let engine = forward(qmp, &present, ENGINE, remembered.map(|ports| ports.engine), &mut taken).await?;
    Ok((Ports { ssh, engine }, taken))
}

async fn forward(
    qmp: &Qmp,
    present: &[HostForward],
    guest_port: u16,
    remembered: Option<u16>,
    taken: &mut Vec<u16>,
) -> Result<u16> {
    if let Some(port) = leading_to(guest_port, present) {
        return Ok(port);
    }
    let inside = SocketAddrV4::new(GUEST, guest_port);
    if let Some(port) = remembered {
        match hostfwd_added(&qmp.human(&forward_command(Protocol::Tcp, port, inside)).await?) {
            Ok(()) => return Ok(port),
            Err(complaint) => {
                tracing::info!(port, complaint, "a remembered port is taken");
                taken.push(port);
            }
        }
    }
    // Port 0: the system chooses and QEMU keeps it, so nobody can take it in between.
    let refused = |complaint: String| {
        Error::other(format!("QEMU cannot forward a port of this computer to port {guest_port} of the machine"))
            .because(complaint)
            .hint("QEMU's user network is missing or broken: see `machine doctor`")
    };
    hostfwd_added(&qmp.human(&forward_command(Protocol::Tcp, 0, inside)).await?).map_err(refused)?;
    let text = qmp.human("info usernet").await?;
    leading_to(guest_port, &parse_usernet(&text)).ok_or_else(|| refused(format!("it lists none: {text}")))
}

fn leading_to(guest_port: u16, forwards: &[HostForward]) -> Option<u16> {
    let ours = |forward: &&HostForward| {
        !forward.udp
            && (forward.guest_address, forward.guest_port) == (GUEST, guest_port)
            && forward.host_address.is_loopback()
            && forward.host_port != 0
    };
    forwards.iter().find(ours).map(|forward| forward.host_port)
}

/// Whether the guest's CPUs are halted.
///
/// # Errors
/// When QEMU does not answer.
pub(crate) async fn is_paused(qmp: &Qmp) -> Result<bool> {
    let status = qmp.execute("query-status", json!({})).await?;
    // `paused`, and what QEMU itself halts: `io-error` when this computer's disk is full.
    Ok(status.get("running").and_then(Value::as_bool) == Some(false))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_what_speaks_ssh_counts_as_an_answer() {
        for (says, greeted) in [("SSH-2.0-OpenSSH_10.0\r\n", true), ("HTTP/1.1 400\r\n", false), ("", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move {
                let (mut client, _) = listener.accept().await.unwrap();
                client.write_all(says.as_bytes()).await.unwrap();
                // A guest whose sshd is not there yet leaves the connection open.
                let _ = client.read(&mut [0]).await;
            });
            assert_eq!(greets(port).await, greeted, "{says}");
            server.await.unwrap();
        }
    }
}
