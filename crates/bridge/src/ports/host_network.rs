//! Ports of containers that use the machine's own network (`--network host`): the engine lists none, so what listens is looked up
//! in the guest, once a second and only while there are such containers.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use machine_core::Protocol;
use machine_docker::ContainerSummary;
use machine_ssh::{Session, Stream};
use tokio::sync::watch;

use super::wanted::{Place, Published, Wanted, on_host_network, reach};
use crate::guest_shell::GuestShell;

/// Prints the sockets of containers that listen, with the control group of each, whenever they are others than before. The other
/// line each second is for this side, to end it.
const SCRIPT: &str = r#"old=
while :; do
    new=$(ss -Hlntu --cgroup | grep docker)
    if [ "$new" != "$old" ]; then printf '%s\n=\n' "$new"; old=$new; else echo .; fi
    sleep 1
done"#;
/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(30);
/// How long a watch goes on; then another one begins.
const SHIFT: Duration = Duration::from_secs(24 * 3600);
/// The longest answer that is listened to, bytes.
const LONGEST: usize = 1 << 20;
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(3);

/// Sockets that listen in the guest, with the identifier of the container that has each.
type Sockets = Vec<(Place, String)>;

/// What containers on the machine's own network listen on.
pub(crate) struct HostNetwork {
    shell: GuestShell,
    containers: BTreeMap<String, String>,
    watching: Option<watch::Receiver<Sockets>>,
}

impl HostNetwork {
    pub(crate) fn new(shell: GuestShell) -> Self {
        Self { shell, containers: BTreeMap::new(), watching: None }
    }

    /// Begins or ends to look, as there are such containers or not.
    pub(crate) fn watch(&mut self, list: &[ContainerSummary]) {
        self.containers = on_host_network(list);
        if self.containers.is_empty() {
            self.watching = None;
        } else if self.watching.is_none() {
            let (found, watching) = watch::channel(Sockets::new());
            tokio::spawn(look(self.shell.clone(), Arc::new(found)));
            self.watching = Some(watching);
        }
    }

    /// Returns when they listen on other ports than before.
    pub(crate) async fn changed(&mut self) {
        if let Some(watching) = &mut self.watching
            && watching.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Where they listen.
    pub(crate) fn found(&self) -> Wanted {
        let sockets = self.watching.as_ref().map(|watching| watching.borrow().clone()).unwrap_or_default();
        let published = |(place, id): (Place, String)| {
            let container = self.containers.get(&id)?.clone();
            Some((place, Published { container, inside: place.port }))
        };
        sockets.into_iter().filter_map(published).collect()
    }
}

async fn look(shell: GuestShell, found: Arc<watch::Sender<Sockets>>) {
    while !found.is_closed() {
        let (target, told) = (shell.target(), Arc::clone(&found));
        let outcome = machine_ssh::blocking(move || {
            let mut session = Session::connect(&target, LOGIN)?;
            let mut text = Vec::new();
            let mut sink = |stream: Stream, bytes: &[u8]| {
                if stream == Stream::Stdout {
                    text.extend_from_slice(bytes);
                }
                if told.is_closed() || text.len() > LONGEST {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                while let Some(end) = text.windows(2).position(|pair| pair == b"=\n" || pair == b".\n") {
                    let block: Vec<u8> = text.drain(..end + 2).collect();
                    if block.ends_with(b"=\n") {
                        told.send_replace(sockets(&String::from_utf8_lossy(&block)));
                    }
                }
                Ok(())
            };
            session.exec_streaming("sudo -n sh -s", &mut SCRIPT.as_bytes(), SHIFT, &mut sink)
        });
        let outcome = outcome.await;
        if found.is_closed() {
            return;
        }
        tracing::info!(?outcome, "ports of containers on the machine's network are not seen");
        tokio::time::sleep(AGAIN).await;
    }
}

/// What `ss -Hlntu --cgroup` says: `tcp LISTEN 0 511 0.0.0.0:80 0.0.0.0:* cgroup:/system.slice/docker-ID.scope`.
fn sockets(text: &str) -> Sockets {
    text.lines().filter_map(socket).collect()
}

fn socket(line: &str) -> Option<(Place, String)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let protocol = match *words.first()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let group = words.iter().find_map(|word| word.strip_prefix("cgroup:"))?;
    // systemd's `docker-ID.scope`, cgroupfs' `/docker/ID`.
    let id =
        group.split(['/', '-', '.']).find(|part| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let (address, port) = words.get(4)?.rsplit_once(':')?;
    let address = address.trim_matches(['[', ']']).split('%').next()?;
    let reach = if address == "*" { reach(None)? } else { reach(Some(address))? };
    Some((Place { protocol, port: port.parse().ok()?, reach }, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::wanted::Reach;
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn sockets_are_found_with_their_containers() {
        let text = format!(
            "tcp   LISTEN 0      511          0.0.0.0:8080       0.0.0.0:*    cgroup:/system.slice/docker-{ID}.scope\n\
             tcp   LISTEN 0      511             [::]:8080          [::]:*    cgroup:/system.slice/docker-{ID}.scope\n\
             tcp   LISTEN 0      4096               *:9090             *:*    cgroup:/docker/{ID}\n\
             udp   UNCONN 0      0       127.0.0.1%lo:53         0.0.0.0:*    cgroup:/system.slice/docker-{ID}.scope\n\
             tcp   LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    cgroup:/system.slice/docker.service\n"
        );
        let place = |protocol, port, reach| (Place { protocol, port, reach }, ID.to_owned());
        let loopback = Reach::Loopback(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(
            sockets(&text),
            [
                place(Protocol::Tcp, 8080, Reach::All),
                place(Protocol::Tcp, 8080, Reach::All),
                place(Protocol::Tcp, 9090, Reach::All),
                place(Protocol::Udp, 53, loopback),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "(\\PC|[ \n:%*]|tcp |udp |cgroup:){0,200}") {
            sockets(&text);
        }
    }
}
