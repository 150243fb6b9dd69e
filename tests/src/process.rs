//! Processes and listening ports, as `/proc` shows them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its identifier.
    pub pid: u32,
    /// Its command line, joined by spaces.
    pub command: String,
}

/// The living process `pid`; none when it has ended, waited for or not.
pub fn process(pid: u32) -> Option<Process> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|words| !words.is_empty())?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    if stat.rsplit_once(") ")?.1.starts_with(['Z', 'X']) {
        return None;
    }
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    Some(Process { pid, command })
}

impl Process {
    /// Ends it at once.
    pub fn kill(&self) {
        let _it_may_have_ended = kill_process(Pid::from_raw(self.pid.cast_signed()).unwrap(), Signal::KILL);
    }

    /// The addresses that it listens on (TCP).
    pub fn listens_on(&self) -> BTreeSet<SocketAddr> {
        let Ok(files) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return BTreeSet::new() };
        let sockets: BTreeSet<String> = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        all_listeners().into_iter().filter(|(_, inode)| sockets.contains(inode)).map(|(address, _)| address).collect()
    }
}

/// All processes of this computer that have `folder` in their command line or their environment: those of one scene.
pub(crate) fn processes_about(folder: &Path) -> Vec<Process> {
    let needle = folder.as_os_str();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            mentions(&format!("/proc/{pid}/cmdline"), needle) || mentions(&format!("/proc/{pid}/environ"), needle)
        })
        .filter_map(process)
        .collect()
}

fn mentions(file: &str, needle: &OsStr) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

/// Every TCP address that somebody on this computer listens on.
pub fn listeners() -> BTreeSet<SocketAddr> {
    all_listeners().into_iter().map(|(address, _)| address).collect()
}

/// Addresses with the inode of their socket: proc(5), `/proc/net/tcp`; state 0A is LISTEN.
fn all_listeners() -> Vec<(SocketAddr, String)> {
    let mut found = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if words.get(3) == Some(&"0A") {
                found.push((address(words[1]).unwrap_or_else(|| panic!("{file}: {line}")), words[9].to_owned()));
            }
        }
    }
    found
}

/// `0100007F:0948`: the address in words of this computer's byte order, the port in the network's.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words =
        (0..address.len() / 8).map(|n| u32::from_str_radix(&address[n * 8..n * 8 + 8], 16).map(u32::to_ne_bytes));
    let bytes: Vec<u8> = words.collect::<Result<Vec<_>, _>>().ok()?.concat();
    let address = match <[u8; 4]>::try_from(&*bytes) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?)),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}
