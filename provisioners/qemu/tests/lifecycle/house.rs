//! A store of one machine, with everything that the driver needs from outside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use machine_core::{
    Checkpoint, Driver, Endpoints, EngineSpec, EventKind, MachineName, MachineRecord, MachineRef, MachineSpec,
    Observation, Phase, RECORD_SCHEMA, Reporter, Result, ShareType, SharedFolder, Work,
};
use machine_images::{Arch, Boot, Image, SeedKind};
use machine_qemu::{
    Launcher, ProcessIdentity, QemuConfig, QemuDriver, RunFile, Search, supervise as machine_supervise,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::fake_qemu::{BEHAVIOUR, Behaviour, install};

/// The machine's name: an argument of its supervisor.
const NAME: &str = "dev";
/// The variable with the folder of the house.
const HOUSE: &str = "MACHINE_TEST_HOUSE";
/// How long anything may take here before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct House {
    root: TempDir,
    driver: QemuDriver,
    record: Mutex<MachineRecord>,
    pub said: Arc<Mutex<Vec<String>>>,
}

impl House {
    /// A machine whose disks are made.
    pub async fn with_machine(behaviour: &Behaviour) -> Self {
        let house = Self::empty(behaviour, Value::Null);
        house.create().await;
        house
    }

    pub fn empty(behaviour: &Behaviour, accelerator: Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        install(&root.path().join("bin"));
        for folder in ["m", "r"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        for file in ["disk.qcow2", "vmlinuz", "initrd", "m/seed.img"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let mut options = serde_json::Map::new();
        if !accelerator.is_null() {
            options.insert("accelerator".into(), accelerator);
        }
        let record = MachineRecord {
            schema: RECORD_SCHEMA,
            name: NAME.parse().unwrap(),
            driver: "qemu".into(),
            created: "2026-11-22T00:00:00Z".parse().unwrap(),
            spec: MachineSpec {
                cpus: 1,
                memory_mib: 512,
                disk_mib: 2048,
                image: None,
                ssh_user: "docker".into(),
                tls_san: Vec::new(),
                publish: Default::default(),
                shares: Vec::new(),
                share_type: Default::default(),
                engine: EngineSpec::default(),
                options,
            },
            phase: Phase::Creating,
            certificate_ends: None,
            host_key: Some("ssh-ed25519 AAAA".into()),
            driver_state: Value::Null,
        };
        let driver = driver(root.path(), behaviour);
        Self { root, driver, record: Mutex::new(record), said: Arc::default() }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("m")
    }

    pub fn runtime(&self) -> PathBuf {
        self.root.path().join("r")
    }

    /// The same machine under a QEMU of another kind.
    pub fn change(&mut self, behaviour: &Behaviour) {
        self.driver = driver(self.root.path(), behaviour);
    }

    /// From the next start on 9p carries these folders.
    pub fn share_by_nine_p(&self, folders: &[PathBuf]) {
        let mut record = self.record.lock().unwrap();
        record.spec.share_type = ShareType::NineP;
        let share = |folder: &PathBuf| SharedFolder {
            folder: folder.clone(),
            guest: "/src".into(),
            read_only: false,
            events: false,
        };
        record.spec.shares = folders.iter().map(share).collect();
    }

    pub fn record(&self) -> MachineRecord {
        self.record.lock().unwrap().clone()
    }

    pub fn token(&self) -> String {
        self.record().driver_state["token"].as_str().unwrap().to_owned()
    }

    pub fn run_file(&self) -> RunFile {
        RunFile::read(&self.dir()).unwrap()
    }

    pub fn driver(&self) -> &QemuDriver {
        &self.driver
    }

    pub async fn create(&self) {
        let (record, dir) = (self.record(), self.dir());
        let state = self.driver.create(self.work(&record, &dir, &self.reporter())).await.unwrap();
        self.save("created", &state).unwrap();
    }

    pub async fn start(&self) -> Result<Endpoints> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.start(self.work(&record, &dir, &self.reporter())).await
    }

    pub async fn stop(&self, deadline: Duration) -> Result<bool> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.stop(self.work(&record, &dir, &self.reporter()), deadline).await
    }

    pub async fn kill(&self) -> Result<()> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.kill(self.work(&record, &dir, &self.reporter())).await
    }

    pub async fn suspend(&self) -> Result<()> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.suspend(self.work(&record, &dir, &self.reporter())).await
    }

    pub async fn remove(&self) -> Result<()> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.remove(self.work(&record, &dir, &self.reporter())).await
    }

    pub async fn observe(&self) -> Observation {
        let (record, dir) = (self.record(), self.dir());
        self.driver.observe(MachineRef { record: &record, dir: &dir }).await
    }

    pub fn endpoints(&self) -> Option<Endpoints> {
        let (record, dir) = (self.record(), self.dir());
        self.driver.endpoints(MachineRef { record: &record, dir: &dir })
    }

    pub fn adopt_if_orphaned(&self) -> bool {
        let (record, dir) = (self.record(), self.dir());
        self.driver.adopt_if_orphaned(MachineRef { record: &record, dir: &dir }).unwrap()
    }

    /// Whether anything of the machine is left outside its folder.
    pub fn processes(&self) -> Vec<u32> {
        let token = self.token();
        let listed = Command::new("ps").args(["-axo", "pid="]).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let all = text.split_ascii_whitespace().map(|pid| pid.parse().unwrap());
        all.filter(|pid| ProcessIdentity::of(*pid, &token).is_some()).collect()
    }

    fn work<'a>(&'a self, record: &'a MachineRecord, dir: &'a Path, reporter: &'a Reporter) -> Work<'a> {
        Work { machine: MachineRef { record, dir }, checkpoint: self, reporter }
    }

    fn reporter(&self) -> Reporter {
        let said = self.said.clone();
        Reporter::new(move |kind| {
            if let EventKind::Message { text, .. } = kind {
                said.lock().unwrap().push(text);
            }
        })
    }
}

impl Checkpoint for House {
    fn save(&self, _name: &'static str, driver_state: &Value) -> Result<()> {
        let mut record = self.record.lock().unwrap();
        record.driver_state = driver_state.clone();
        std::fs::write(self.dir().join("machine.json"), serde_json::to_vec(&*record).unwrap()).unwrap();
        Ok(())
    }
}

/// A test that has failed leaves nothing behind.
impl Drop for House {
    fn drop(&mut self) {
        let (driver, record, dir) = (self.driver.clone(), self.record.lock().map(|r| r.clone()), self.dir());
        let Ok(record) = record else { return };
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let machine = MachineRef { record: &record, dir: &dir };
            let work = Work { machine, checkpoint: &Unsaved, reporter: &Reporter::silent() };
            runtime.block_on(driver.remove(work))
        });
        let removed = removal.join();
        assert!(std::thread::panicking() || matches!(removed, Ok(Ok(()))), "{removed:?}");
    }
}

struct Unsaved;

impl Checkpoint for Unsaved {
    fn save(&self, _name: &'static str, _driver_state: &Value) -> Result<()> {
        Ok(())
    }
}

fn driver(root: &Path, behaviour: &Behaviour) -> QemuDriver {
    let launcher = TestLauncher { root: root.to_owned(), behaviour: serde_json::to_string(behaviour).unwrap() };
    let image = Image {
        name: "machine".into(),
        digest: "d1".into(),
        arch: Arch::Amd64,
        disk: root.join("disk.qcow2"),
        format: "qcow2".into(),
        virtual_size: 1 << 30,
        boot: Boot::Direct { kernel: root.join("vmlinuz"), initrd: root.join("initrd"), args: "console=ttyS0".into() },
        seed: SeedKind::Machine,
        engine_version: None,
        channel: None,
        kernel_version: None,
    };
    QemuDriver::new(QemuConfig {
        image: Arc::new(move |_| Ok(image.clone())),
        search: Search { explicit: Some(root.join("bin/qemu-system-x86_64")), ..Search::default() },
        runtime: root.join("r"),
        verdicts: root.join("verdicts.json"),
        launcher: Arc::new(launcher),
    })
}

/// Set for a supervisor that shall start nothing.
const ADOPT_ONLY: &str = "MACHINE_TEST_ADOPT_ONLY";

struct TestLauncher {
    root: PathBuf,
    behaviour: String,
}

impl Launcher for TestLauncher {
    fn launch(&self, name: &MachineName, adopt_only: bool) -> Result<()> {
        let log = std::fs::File::options().append(true).create(true).open(self.root.join("m/supervisor.log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--ignored", "--nocapture", "-q", "--", "the_supervisor", name.as_str()])
            .env(HOUSE, &self.root)
            .env(BEHAVIOUR, &self.behaviour)
            .envs(adopt_only.then_some((ADOPT_ONLY, "1")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

/// What the process of a supervisor does.
pub fn supervise() {
    let root = PathBuf::from(std::env::var_os(HOUSE).unwrap());
    let dir = root.join("m");
    let record = MachineRecord::parse(&std::fs::read(dir.join("machine.json")).unwrap()).unwrap();
    let driver = driver(&root, &Behaviour::default());
    let adopt_only = std::env::var_os(ADOPT_ONLY).is_some();
    let config = driver.supervise_config(MachineRef { record: &record, dir: &dir }, adopt_only, None, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(error) = runtime.block_on(machine_supervise(config)) {
        eprintln!("{error:?}");
    }
}

/// Waits until `done`; what is waited for is an event in another process, which nothing here can await.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "{what} did not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
