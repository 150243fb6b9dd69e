//! The monitor: QMP on a Unix socket, one client at a time, and ports of this computer that lead into the guest.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::engine::Engine;

/// What is behind the monitor.
pub struct Guest {
    pub engine: Engine,
    pub deaf: bool,
    pub panics: bool,
    pub serial: PathBuf,
    /// Its CPUs are halted; nothing else of it is.
    pub paused: AtomicBool,
}

struct Forward {
    listener: TcpListener,
    guest: SocketAddrV4,
}

/// What every published port of a container answers.
const GREETING: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nplayed\n";

/// Serves clients until one of them, or the guest, ends it.
pub fn serve(socket: &Path, guest: Guest) -> ! {
    // As QEMU does (`unix_listen_saddr` in util/qemu-sockets.c): the socket of a QEMU that died is in the way.
    let _there_is_none_mostly = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let guest = Arc::new(guest);
    let mut forwards: Vec<Forward> = Vec::new();
    loop {
        let (client, _) = listener.accept().unwrap();
        talk(&client, &guest, &mut forwards);
    }
}

fn talk(client: &UnixStream, guest: &Arc<Guest>, forwards: &mut Vec<Forward>) {
    send(
        client,
        &json!({ "QMP": { "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 } }, "capabilities": [] } }),
    );
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { return };
        let command: Value = serde_json::from_str(&line).unwrap();
        let mut end = None;
        let answer = match command["execute"].as_str().unwrap() {
            "query-status" => {
                let paused = guest.paused.load(Ordering::SeqCst);
                json!({ "status": if paused { "paused" } else { "running" }, "running": !paused })
            }
            command @ ("stop" | "cont") => {
                let stop = command == "stop";
                if guest.paused.swap(stop, Ordering::SeqCst) != stop {
                    send(client, &json!({ "event": if stop { "STOP" } else { "RESUME" }, "timestamp": {} }));
                }
                json!({})
            }
            "human-monitor-command" => human(command["arguments"]["command-line"].as_str().unwrap(), guest, forwards),
            "system_powerdown" => {
                if !guest.deaf {
                    end = Some("guest-shutdown");
                }
                json!({})
            }
            "quit" => {
                end = Some("host-qmp-quit");
                json!({})
            }
            _ => json!({}),
        };
        send(client, &json!({ "return": answer, "id": command["id"] }));
        if let Some(reason) = end {
            let data = json!({ "guest": reason == "guest-shutdown", "reason": reason });
            send(client, &json!({ "event": "SHUTDOWN", "data": data, "timestamp": {} }));
            std::process::exit(0);
        }
        if guest.panics && forwards.len() == 2 {
            let mut serial = std::fs::File::options().append(true).open(&guest.serial).unwrap();
            write!(serial, "[    1.000000] Kernel panic - not syncing: played\r\n").unwrap();
            let data = json!({ "guest": true, "reason": "guest-panic" });
            send(client, &json!({ "event": "SHUTDOWN", "data": data, "timestamp": {} }));
            std::process::exit(0);
        }
    }
}

fn send(mut client: &UnixStream, message: &Value) {
    let _the_client_may_have_gone = client.write_all(format!("{message}\r\n").as_bytes());
}

fn human(line: &str, guest: &Arc<Guest>, forwards: &mut Vec<Forward>) -> Value {
    if let Some(rule) = line.strip_prefix("hostfwd_add ") {
        return json!(add(rule, guest, forwards).err().unwrap_or_default());
    }
    if let Some(rule) = line.strip_prefix("hostfwd_remove ") {
        let before = forwards.len();
        forwards.retain(|forward| format!("tcp:{}", forward.listener.local_addr().unwrap()) != rule);
        let done = if forwards.len() < before { "removed" } else { "not found" };
        return json!(format!("host forwarding rule for {rule} {done}\r\n"));
    }
    if line == "info usernet" {
        let mut text =
            "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
                .to_owned();
        for forward in forwards {
            let port = forward.listener.local_addr().unwrap().port();
            write!(
                text,
                "  TCP[HOST_FORWARD]  12       127.0.0.1 {port}       {} {}     0     0\r\n",
                forward.guest.ip(),
                forward.guest.port()
            )
            .unwrap();
        }
        return json!(text);
    }
    json!(format!("unknown command: '{line}'\r\n"))
}

/// `tcp:127.0.0.1:PORT-ADDRESS:GUEST`
fn add(rule: &str, guest: &Arc<Guest>, forwards: &mut Vec<Forward>) -> Result<(), String> {
    let refused = || format!("Could not set up host forwarding rule '{rule}'\r\n");
    let (here, inside) = rule.strip_prefix("tcp:").and_then(|rule| rule.split_once('-')).ok_or_else(refused)?;
    let inside: SocketAddrV4 = inside.parse().map_err(|_| refused())?;
    let listener = TcpListener::bind(here).map_err(|_| refused())?;
    let taking = listener.try_clone().unwrap();
    match inside.port() {
        22 => {}
        2376 => {
            let guest = Arc::clone(guest);
            std::thread::spawn(move || guest.engine.serve(&taking));
        }
        _ => drop(std::thread::spawn(move || {
            for mut client in taking.incoming().flatten() {
                // Else the answer would be broken off for what was not read.
                let _ = client.read(&mut [0; 1024]);
                let _the_client_may_have_gone = client.write_all(GREETING);
            }
        })),
    }
    forwards.push(Forward { listener, guest: inside });
    Ok(())
}
