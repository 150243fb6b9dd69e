//! Whether the QEMU of this computer accepts what is planned for it: without that, snapshots prove little.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use machine_core::SharedFolder;
use machine_images::{Arch, Boot, Image};
use serde_json::{Value, json};

use super::tests::{TOKEN, files, ours, vendors};
use super::{AcceleratorChoice, MachinePaths, PlanInput, plan};
use crate::facts::{Accelerator, HostFacts};
use crate::probe::{Search, probe};
use crate::verdict::Verdicts;

const LIMIT: Duration = Duration::from_secs(60);

/// The computer's own QEMU; these tests are nothing without it.
fn host() -> HostFacts {
    let search = Search::default();
    let facts = probe(&search, Arch::Amd64).unwrap();
    assert!(facts.qemu.is_some(), "these tests need QEMU: {}", crate::install_hint(&facts));
    facts
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A QMP conversation: one line a message.
struct Monitor {
    stream: BufReader<UnixStream>,
    log: PathBuf,
}

impl Monitor {
    /// Connects as soon as QEMU listens; panics with QEMU's own words if it ended instead.
    fn connect(running: &mut Running, socket: &Path, log: &Path) -> Self {
        let started = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(socket) {
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let mut monitor = Self { stream: BufReader::new(stream), log: log.to_owned() };
                assert!(monitor.line().get("QMP").is_some());
                monitor.call("qmp_capabilities", &json!({}));
                return monitor;
            }
            if let Some(status) = running.0.try_wait().unwrap() {
                panic!("QEMU refused the plan ({status}): {}", std::fs::read_to_string(log).unwrap());
            }
            assert!(started.elapsed() < LIMIT, "QEMU does not listen on {}", socket.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(&self.log).unwrap();
            panic!("QEMU is gone ({read:?}, {error}): {log}")
        })
    }

    fn call(&mut self, command: &str, arguments: &Value) -> Value {
        writeln!(self.stream.get_mut(), "{}", json!({ "execute": command, "arguments": arguments })).unwrap();
        loop {
            let answer = self.line();
            assert!(answer.get("error").is_none(), "{command}: {answer}");
            if let Some(result) = answer.get("return") {
                return result.clone();
            }
        }
    }
}

fn disk(facts: &HostFacts, path: &Path) {
    let img = &facts.qemu.as_ref().unwrap().img;
    // `qemu-img` would take a path with a colon before the first slash for a protocol; these are absolute.
    let made = Command::new(img).args(["create", "-q", "-f", "qcow2"]).arg(path).arg("64M").status().unwrap();
    assert!(made.success());
}

/// Starts what is planned, halted before the first instruction, and hands over the monitor.
fn start(
    facts: &HostFacts,
    folder: &Path,
    image: &Image,
    paths: &MachinePaths,
    folders: &[SharedFolder],
) -> (Running, Monitor) {
    disk(facts, &paths.os_disk);
    disk(facts, &paths.data_disk);
    std::fs::write(&paths.seed, vec![0; 1 << 20]).unwrap();
    let plan = plan(&PlanInput {
        facts,
        machine: "dev",
        cpus: 2,
        memory_mib: 512,
        image,
        paths,
        token: TOKEN,
        accelerator: AcceleratorChoice::Only(Accelerator::Tcg),
        verdicts: &Verdicts::default(),
        extra_arguments: &[],
        folders,
        carrier: machine_core::Carrier::NineP,
    })
    .unwrap();
    let log = folder.join("stderr.log");
    let child = crate::qemu_command::command(&plan.program, &plan.arguments)
        .arg("-S")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let monitor = Monitor::connect(&mut running, &paths.qmp_socket, &log);
    (running, monitor)
}

fn quit(mut running: Running, mut monitor: Monitor, folder: &Path) {
    monitor.call("quit", &json!({}));
    let started = Instant::now();
    while running.0.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < LIMIT, "QEMU does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let complaints = std::fs::read_to_string(folder.join("stderr.log")).unwrap();
    let complaints: Vec<&str> = complaints.lines().filter(|line| !line.contains("terminating on signal")).collect();
    assert!(complaints.is_empty(), "QEMU took the plan with complaints: {complaints:#?}");
}

#[test]
fn qemu_takes_every_option_with_any_path_and_shows_the_disks_as_planned() {
    let facts = host();
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join(r#"Ünal, "J" =\x 機"#);
    std::fs::create_dir(&folder).unwrap();
    // A kernel in name only (the boot protocol's magic and version): QEMU loads it, and it never runs.
    let mut pretended = vec![0; 1 << 16];
    pretended[0x202..0x208].copy_from_slice(b"HdrS\x00\x02");
    let mut image = ours(Arch::Amd64, folder.to_str().unwrap());
    if let Boot::Direct { kernel, initrd, .. } = &image.boot {
        std::fs::write(kernel, &pretended).unwrap();
        std::fs::write(initrd, vec![0; 1 << 12]).unwrap();
    }
    image.kernel_version = None;
    let paths = files(folder.to_str().unwrap(), "/");
    let share =
        |read_only| SharedFolder { folder: folder.clone(), guest: format!("/{read_only}"), read_only, events: false };
    let (running, mut monitor) = start(&facts, temp.path(), &image, &paths, &[share(false), share(true)]);

    assert_eq!(monitor.call("query-status", &json!({}))["running"], false);
    assert_eq!(monitor.call("query-uuid", &json!({}))["UUID"], TOKEN);
    assert_eq!(monitor.call("query-name", &json!({}))["name"], "dev");
    let blocks = monitor.call("query-named-block-nodes", &json!({"flat": true}));
    let file_of = |node: &str| {
        let node = blocks.as_array().unwrap().iter().find(|block| block["node-name"] == node).unwrap();
        (
            node["file"].as_str().unwrap().to_owned(),
            node["ro"].as_bool().unwrap(),
            node["detect_zeroes"].as_str().unwrap().to_owned(),
        )
    };
    let path = |file: &Path| file.to_str().unwrap().to_owned();
    assert_eq!(file_of("os"), (path(&paths.os_disk), false, "off".into()));
    assert_eq!(file_of("data"), (path(&paths.data_disk), false, "unmap".into()));
    assert_eq!(file_of("seed"), (path(&paths.seed), true, "off".into()));

    // Folders are devices, with the tags by which the guest knows them.
    let devices = monitor.call("human-monitor-command", &json!({"command-line": "info qtree"}));
    for tag in [share(false).tag(), share(true).tag()] {
        assert!(devices.as_str().unwrap().contains(&tag), "{devices}");
    }

    // Ports are forwarded like this after the start; the sandbox must not stand in the way.
    let forward = json!({"command-line": "hostfwd_add net0 tcp:127.0.0.1:0-:22"});
    assert_eq!(monitor.call("human-monitor-command", &forward), "");
    let network = monitor.call("human-monitor-command", &json!({"command-line": "info usernet"}));
    assert!(network.as_str().unwrap().contains("TCP[HOST_FORWARD]"), "{network}");
    assert!(paths.serial_log.is_file());
    quit(running, monitor, temp.path());
}

#[test]
fn qemu_takes_the_plan_for_a_vendors_image_that_brings_its_boot_loader() {
    let facts = host();
    let temp = tempfile::tempdir().unwrap();
    let paths = files(temp.path().to_str().unwrap(), "/");
    let (running, mut monitor) = start(&facts, temp.path(), &vendors(Arch::Amd64), &paths, &[]);
    assert_eq!(monitor.call("query-status", &json!({}))["status"], "prelaunch");
    quit(running, monitor, temp.path());
}
