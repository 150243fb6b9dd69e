//! A program that behaves like QEMU as far as a supervisor can see: its arguments, monitor, serial console and end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The variable with the [`Behaviour`] of the fake QEMU.
pub const BEHAVIOUR: &str = "FAKE_QEMU";

/// How it behaves; by default as one wishes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// With KVM it aborts at once.
    pub kvm_aborts: bool,
    /// With KVM the guest stays silent after its BIOS.
    pub kvm_is_silent: bool,
    /// It ends at once with this message.
    pub refuses: Option<String>,
    /// The guest does not care for its power button.
    pub ignores_power_button: bool,
    /// It hears the power button only when it is pressed a second time.
    pub hears_second_press: bool,
    /// It does not obey `quit`.
    pub ignores_quit: bool,
    /// It opens its monitor only after this time, milliseconds.
    pub slow_monitor_ms: u64,
    /// The guest powers off by itself after this time, milliseconds.
    pub powers_off_after_ms: Option<u64>,
    /// The guest's kernel panics at once, and QEMU ends.
    pub panics: bool,
}

/// Writes the script that stands for QEMU's programs into `folder`.
pub fn install(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(folder).unwrap();
    let me = std::env::current_exe().unwrap();
    let script = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    script(
        "qemu-img",
        "#!/bin/sh\nfor word in \"$@\"; do case \"$word\" in */os.qcow2|*/data.qcow2) : > \"$word\";; esac; done\n"
            .into(),
    );
    script(
        "qemu-system-x86_64",
        format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             *--version) echo 'QEMU emulator version 10.0.2 (fake)';;\n\
             '-accel help') printf 'Accelerators supported in QEMU binary:\\nkvm\\ntcg\\n';;\n\
             *virtio-9p-pci,help) printf 'virtio-9p-pci options:\\n  mount_tag=<str>\\n';;\n\
             *'-netdev help') printf 'Available netdev backend types:\\nuser\\n';;\n\
             *) exec '{}' --exact --ignored --nocapture -q -- the_fake_qemu \"$@\";;\nesac\n",
            me.display()
        ),
    )
}

/// The accelerators of all starts, one a line, in the machine's folder.
pub fn attempts(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("attempts")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The process of the fake QEMU, from its arguments to its end.
pub fn run() {
    let arguments: Vec<String> = std::env::args().skip_while(|word| word != "the_fake_qemu").skip(1).collect();
    let behaviour: Behaviour = serde_json::from_str(&std::env::var(BEHAVIOUR).unwrap()).unwrap();
    let value = |name: &str| arguments.iter().skip_while(|word| *word != name).nth(1).unwrap().clone();
    let path = |id: &str| -> PathBuf {
        let device = arguments.iter().find(|word| word.contains(&format!("id={id},"))).unwrap();
        device.split(',').find_map(|part| part.strip_prefix("path=")).unwrap().into()
    };
    let accelerator = value("-accel").split(',').next().unwrap().to_owned();
    let kvm = accelerator == "kvm";
    // The working folder is the machine's.
    writeln!(File::options().append(true).create(true).open("attempts").unwrap(), "{accelerator}").unwrap();
    let mut serial = File::options().append(true).create(true).open(path("serial")).unwrap();

    if let Some(message) = &behaviour.refuses {
        eprintln!("qemu-system-x86_64: {message}");
        std::process::exit(1);
    }
    if kvm && behaviour.kvm_aborts {
        eprintln!("error: failed to set MSR 0x10a to 0x0");
        std::process::abort();
    }
    writeln!(serial, "SeaBIOS (version 1.16.3-debian-1.16.3-2)\r").unwrap();
    if !(kvm && behaviour.kvm_is_silent) {
        writeln!(serial, "[    0.000000] Linux version 6.12.48+deb13-amd64\r").unwrap();
    }
    if behaviour.panics {
        writeln!(serial, "[    1.000000] Kernel panic - not syncing: no working init found\r").unwrap();
        std::process::exit(1);
    }
    std::thread::sleep(Duration::from_millis(behaviour.slow_monitor_ms));
    let socket = path("qmp");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let mut monitor = Monitor { behaviour, forwards: BTreeMap::new(), presses: 0 };
    for client in listener.incoming() {
        monitor.serve(client.unwrap());
    }
}

struct Monitor {
    behaviour: Behaviour,
    forwards: BTreeMap<u16, TcpListener>,
    presses: u32,
}

impl Monitor {
    /// One client at a time, as QEMU does.
    fn serve(&mut self, mut client: UnixStream) {
        let mut say = |line: &Value| writeln!(client, "{line}").is_ok();
        if !say(&json!({"QMP": {"version": {}, "capabilities": []}})) {
            return;
        }
        let reader = BufReader::new(client.try_clone().unwrap());
        if let Some(limit) = self.behaviour.powers_off_after_ms {
            let mut client = client.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(limit));
                power_off(&mut client, "guest-shutdown");
            });
        }
        for line in reader.lines() {
            let Ok(line) = line else { return };
            let command: Value = serde_json::from_str(&line).unwrap();
            let name = command["execute"].as_str().unwrap();
            let returned = match name {
                "human-monitor-command" => self.human(command["arguments"]["command-line"].as_str().unwrap()).into(),
                "query-status" => json!({"running": true, "status": "running"}),
                _ => json!({}),
            };
            if writeln!(client, "{}", json!({"return": returned, "id": command["id"]})).is_err() {
                return;
            }
            match name {
                "system_powerdown" => {
                    self.presses += 1;
                    let enough = if self.behaviour.hears_second_press { 2 } else { 1 };
                    if !self.behaviour.ignores_power_button && self.presses >= enough {
                        power_off(&mut client, "guest-shutdown");
                    }
                }
                "quit" if !self.behaviour.ignores_quit => power_off(&mut client, "host-qmp-quit"),
                _ => {}
            }
        }
    }

    fn human(&mut self, line: &str) -> String {
        let Some(rule) = line.strip_prefix("hostfwd_add ") else {
            let lines = self.forwards.iter().map(|(guest, listener)| {
                let port = listener.local_addr().unwrap().port();
                format!("  TCP[HOST_FORWARD]  12       127.0.0.1 {port}       10.0.2.15 {guest}     0     0\r\n")
            });
            return format!(
                "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address\r\n{}",
                lines.collect::<String>()
            );
        };
        let (host, guest) = rule.strip_prefix("tcp:127.0.0.1:").unwrap().split_once("-10.0.2.15:").unwrap();
        match TcpListener::bind(("127.0.0.1", host.parse::<u16>().unwrap())) {
            Ok(listener) => {
                self.forwards.insert(guest.parse().unwrap(), listener);
                String::new()
            }
            Err(_) => format!("Could not set up host forwarding rule '{rule}'\r\n"),
        }
    }
}

fn power_off(client: &mut UnixStream, reason: &str) {
    // The supervisor may have gone.
    let _ = writeln!(client, "{}", json!({"event": "SHUTDOWN", "data": {"guest": true, "reason": reason}}));
    std::process::exit(0);
}
