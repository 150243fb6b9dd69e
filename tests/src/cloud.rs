//! EC2 that is played: moto in a process of its own, one for all tests of this process, each in a region of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

use crate::scene::Scene;

/// Regions that moto knows; each test takes the next.
const REGIONS: &[&str] = &[
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "sa-east-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "eu-south-1",
    "eu-central-2",
    "me-south-1",
    "af-south-1",
    "me-central-1",
];

/// The process; it ends when its standard input is closed, and that happens at the latest when this process ends.
struct Server {
    port: u16,
    _stdin: Mutex<ChildStdin>,
}

/// A region of the played EC2, where one test is alone.
pub struct PlayedCloud {
    /// The region.
    pub region: &'static str,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ec2");
        let log = std::env::temp_dir().join(format!("played-ec2-{}.log", std::process::id()));
        let mut child = Command::new(python())
            .arg(folder.join("fake_ec2.py"))
            .env("MOTO_AMIS_PATH", folder.join("images.json"))
            .env("MOTO_ENABLE_AMI_VALIDATION", "true")
            .env("MOTO_ENABLE_KEYPAIR_VALIDATION", "true")
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|_| panic!("moto did not start: {}", std::fs::read_to_string(&log).unwrap()));
        let _only_held_a_log = std::fs::remove_file(&log);
        let stdin = Mutex::new(child.stdin.take().unwrap());
        std::thread::spawn(move || child.wait());
        Server { port, _stdin: stdin }
    })
}

/// Python with moto in it.
fn python() -> PathBuf {
    let folder = std::env::var_os("MACHINE_TEST_MOTO").map(PathBuf::from);
    let python = folder.map(|folder| folder.join("bin/python")).filter(|python| python.is_file());
    python.expect("MACHINE_TEST_MOTO names no virtual environment with moto: `cargo xtask test --only e2e` makes one")
}

impl PlayedCloud {
    /// The next region, with nothing in it.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        Self { region: REGIONS.get(next).expect("a region for each test") }
    }

    /// A scene whose programs call this region, and nobody else.
    pub fn scene(&self) -> Scene {
        let mut scene = Scene::new();
        scene.set("AWS_ACCESS_KEY_ID", "played");
        scene.set("AWS_SECRET_ACCESS_KEY", "played");
        scene.set("AWS_EC2_METADATA_DISABLED", "true");
        scene.set("AWS_REGION", self.region);
        scene.set("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", server().port));
        scene
    }

    /// What is there, by moto's own objects.
    pub fn state(&self) -> Value {
        serde_json::from_str(&ask("GET", &format!("/fake/state/{}", self.region), "")).unwrap()
    }

    /// The instances that are not terminated.
    pub fn instances(&self) -> Vec<Value> {
        let all = self.state()["instances"].as_array().unwrap().clone();
        all.into_iter().filter(|instance| instance["state"] != "terminated").collect()
    }

    /// Lets the next `count` calls of an action fail with a code; with `more`, as the fault says of itself.
    pub fn fails(&self, action: &str, code: &str, status: u16, count: u32, more: &Value) {
        let mut fault = serde_json::json!({
            "region": self.region, "action": action, "code": code, "status": status, "count": count,
        });
        fault
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        ask("POST", "/fake/fault", &fault.to_string());
    }

    /// There is room for so many instances more, and no others.
    pub fn has_room_for(&self, count: u32) {
        let room = serde_json::json!({ "region": self.region, "count": count });
        ask("POST", "/fake/room", &room.to_string());
    }

    /// How often an action was called.
    pub fn calls(&self, action: &str) -> usize {
        self.state()["calls"].as_array().unwrap().iter().filter(|call| *call == action).count()
    }

    /// Asserts that nothing of ours is left.
    #[track_caller]
    pub fn has_nothing(&self, when: &str) {
        let state = self.state();
        assert_eq!(self.instances(), Vec::<Value>::new(), "{when}");
        for kind in ["groups", "keys", "volumes"] {
            assert_eq!(state[kind], serde_json::json!([]), "{kind}, {when}");
        }
    }
}

impl Default for PlayedCloud {
    fn default() -> Self {
        Self::new()
    }
}

fn ask(method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server().port)).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
