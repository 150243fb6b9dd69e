//! Who has a port of this computer.

use std::net::SocketAddr;

use machine_core::Protocol;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// The program that listens where `address` cannot be taken, as a person knows it; none when this user may not see it.
pub(crate) fn holder(protocol: Protocol, address: SocketAddr) -> Option<String> {
    let wanted = match protocol {
        Protocol::Tcp => listeners::Protocol::TCP,
        Protocol::Udp => listeners::Protocol::UDP,
    };
    let all = listeners::get_all().ok()?;
    let found = all.into_iter().find(|listener| {
        let at = listener.socket;
        listener.protocol == wanted
            && at.port() == address.port()
            && (at.ip() == address.ip() || at.ip().is_unspecified() || address.ip().is_unspecified())
    })?;
    let listeners::Process { pid, name, .. } = found.process;
    Some(supervised(pid).map_or_else(|| format!("{name} (process {pid})"), |machine| format!("machine {machine:?}")))
}

/// The machine whose supervisor the process is.
fn supervised(pid: u32) -> Option<String> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let words: Vec<_> = system.process(pid)?.cmd().iter().map(|word| word.to_string_lossy()).collect();
    let at = words.iter().position(|word| word == "supervise")?;
    words[at + 1..].iter().find(|word| !word.starts_with('-')).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Wine has no table of sockets.
    #[cfg(unix)]
    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = holder(Protocol::Tcp, listener.local_addr().unwrap()).unwrap();
        assert!(found.contains(&format!("(process {})", std::process::id())), "{found}");
    }
}
