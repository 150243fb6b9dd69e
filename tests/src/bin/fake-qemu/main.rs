//! Plays QEMU for the tests: answers the questions that a probe asks, opens the monitor, forwards ports, and behind the
//! port of the engine speaks Docker's API over TLS with the certificates that it finds on the seed disk, as the guest would.
//!
//! What it does badly on purpose is in `FAKE_QEMU`, words separated by spaces:
//!
//! - `containers=N`: not bad at all: the engine has as many containers
//! - `first-port=N`: and they publish ports from there on
//! - `deaf`: the guest ignores the power button
//! - `mute`: the engine never answers
//! - `dies`: QEMU ends with a message before it opens its monitor
//! - `panics`: the guest's kernel panics and QEMU ends, once the ports are there
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a program of the tests: it prints as QEMU does, and whatever fails shows in the machine's qemu.log"
)]

#[cfg(target_os = "linux")]
mod containers;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(target_os = "linux")]
mod monitor;

/// The line that QEMU answers `--version` with.
const VERSION: &str = "QEMU emulator version 10.0.2 (played by a test)";

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    match () {
        () if has("--version") => {
            println!("{VERSION}\nCopyright (c) 2003-2025 Fabrice Bellard and the QEMU Project developers");
        }
        () if has("-accel") && has("help") => println!("Accelerators supported in QEMU binary:\ntcg"),
        () if has("-netdev") && has("help") => println!("Available netdev backend types:\nsocket\nhubport\ntap\nuser"),
        () => run(&Line(&arguments)),
    }
}

/// A QEMU command line.
#[cfg(target_os = "linux")]
struct Line<'a>(&'a [String]);

#[cfg(target_os = "linux")]
impl Line<'_> {
    /// The value of the option `name` that `wanted` accepts.
    fn value(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let values = self.0.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone());
        values.into_iter().find(|value| wanted(value)).unwrap_or_else(|| panic!("no fitting {name} among {:?}", self.0))
    }

    /// The `path=` of the character device `id`, in QEMU's syntax: a comma within a value is written twice.
    fn path(&self, id: &str) -> std::path::PathBuf {
        let value = self.value("-chardev", |value| value.split(',').any(|word| word == format!("id={id}")));
        let escaped = value.replace(",,", "\0");
        let path = escaped.split(',').find_map(|word| word.strip_prefix("path=")).unwrap();
        path.replace('\0', ",").into()
    }

    /// The file of every disk by node name. QEMU does not start without them.
    fn disks(&self) -> std::collections::BTreeMap<String, std::path::PathBuf> {
        let values = self.0.windows(2).filter(|pair| pair[0] == "-blockdev").map(|pair| &pair[1]);
        values
            .map(|value| {
                let disk: serde_json::Value = serde_json::from_str(value).unwrap();
                let file = disk["file"]["filename"].as_str().unwrap();
                if let Err(error) = std::fs::File::open(file) {
                    eprintln!("qemu-system: Could not open '{file}': {error}");
                    std::process::exit(1);
                }
                (disk["node-name"].as_str().unwrap().to_owned(), file.into())
            })
            .collect()
    }
}

#[cfg(target_os = "linux")]
fn run(line: &Line<'_>) {
    use std::io::Write as _;

    use containers::Containers;

    let faults = std::env::var("FAKE_QEMU").unwrap_or_default();
    let fault = |word: &str| faults.split(' ').any(|other| other == word);
    let disks = line.disks();
    let mut serial = std::fs::File::options().append(true).create(true).open(line.path("serial")).unwrap();
    if fault("dies") {
        eprintln!("qemu-system: played: it cannot start today");
        std::process::exit(1);
    }
    let number = |name: &str| faults.split(' ').find_map(|word| word.strip_prefix(name)?.parse::<u16>().ok());
    let containers = Containers::new(number("containers=").unwrap_or(0), number("first-port=").unwrap_or(8000));
    let engine = engine::Engine::new(&disks["seed"], fault("mute"), containers);
    let guest = monitor::Guest {
        engine,
        deaf: fault("deaf"),
        panics: fault("panics"),
        serial: line.path("serial"),
        paused: false.into(),
    };
    write!(serial, "[    0.000000] Linux version 6.12.1-played\r\nmachine-guest: seed applied\r\n").unwrap();
    write!(serial, "machine-guest: engine listening\r\n").unwrap();
    monitor::serve(&line.path("qmp"), guest);
}
