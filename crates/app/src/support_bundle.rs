//! `support-bundle`: what somebody else needs to see to help, and nothing that only its owner may see.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use machine_core::{Code, Error, MachineName, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::{App, DRIVERS};
use crate::redact::Redactor;
use crate::{files, store};

/// So much of each log's end, bytes.
const TAIL: u64 = 256 << 10;
/// Logs of a machine.
const LOGS: [&str; 5] = ["supervisor.log", "serial.log", "qemu.log", "events.jsonl", "provision.log"];
/// Facts of a machine, JSON.
const FACTS: [&str; 4] = ["machine.json", "run.json", "last_exit.json", "suspended.json"];
/// Keys, whose text must not come up anywhere; what else is secret in a folder has these in it.
const SECRETS: [&str; 6] = ["id_ed25519", "id_generic", "id_ec2", "ssh_host_ed25519_key", "key.pem", "server-key.pem"];

/// What was put together.
#[derive(Clone, Debug, Serialize)]
pub struct SupportBundle {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size, bytes.
    pub bytes: u64,
    /// What is in it, with the size of each before it was packed.
    pub files: Vec<(String, u64)>,
}

impl App {
    /// Puts versions, checks, records and the ends of logs of `names` (of all machines when there are none) into a new file at
    /// `path`, with keys, tokens and passwords taken out; with `hide_home` the home folder is `~`.
    ///
    /// # Errors
    /// A machine that does not exist, or a file that is there or cannot be written: nothing is left then.
    pub async fn support_bundle(&self, names: &[MachineName], path: &Path, hide_home: bool) -> Result<SupportBundle> {
        if let Some(name) = names.iter().find(|name| !self.store.exists(name)) {
            return Err(store::does_not_exist(name));
        }
        let chosen: Vec<String> = match names {
            [] => self.names().unwrap_or_default(),
            names => names.iter().map(MachineName::to_string).collect(),
        };
        let redactor = self.redactor(hide_home);
        let mut parts = vec![
            ("versions.json".to_owned(), self.versions()),
            ("environment.json".to_owned(), self.variables()),
            ("store.txt".to_owned(), listing(&self.environment.store).into()),
        ];
        // A check that cannot be made is a finding, too.
        let checks = match self.doctor().await {
            Ok(checks) => serde_json::to_value(checks).unwrap_or_default(),
            Err(error) => json!({ "error": error.to_string() }),
        };
        parts.push(("doctor.json".to_owned(), checks));
        let images = self.images().map_or_else(|error| json!({ "error": error.to_string() }), |all| json!(all));
        parts.push(("images.json".to_owned(), images));
        parts.extend(json_file(&self.store.verdicts()).map(|value| ("verdicts.json".to_owned(), value)));
        for name in &chosen {
            parts.extend(of_machine(&self.environment.store.join("machines").join(name), name));
        }
        let mut all: Vec<(String, Vec<u8>)> = parts
            .into_iter()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => redactor.text(&text).into_bytes(),
                    // Once more as a text, for what only stands out there.
                    other => redactor.text(&String::from_utf8_lossy(&store::json(&redactor.json(&other)))).into_bytes(),
                };
                (name, text)
            })
            .collect();
        all.insert(0, ("README.txt".to_owned(), README.as_bytes().to_vec()));
        write(path, &all)
    }

    fn redactor(&self, hide_home: bool) -> Redactor {
        let mut redactor = Redactor::hiding(self.environment.home.as_deref().filter(|_| hide_home));
        let mut learn = |path: &Path| {
            if let Ok(text) = fs::read_to_string(path) {
                redactor.learn(&text);
            }
        };
        for file in ["ca-key.pem", "key.pem"] {
            learn(&self.store.certificates().join(file));
        }
        for name in self.names().unwrap_or_default() {
            let folder = self.environment.store.join("machines").join(name);
            SECRETS.iter().for_each(|file| learn(&folder.join(file)));
            for user in fs::read_dir(folder.join("users")).into_iter().flatten().flatten() {
                learn(&user.path());
            }
        }
        redactor
    }

    fn versions(&self) -> Value {
        let host = machine_qemu::probe_host();
        let qemu = machine_qemu::probe_qemu(&self.qemu_search(), crate::image_use_cases::host_arch(), &host);
        json!({
            "machine": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "drivers": DRIVERS,
            "store": self.environment.store,
            "images": self.environment.images,
            "host": format!("{host:?}"),
            "qemu": match qemu {
                Ok(Some(facts)) => format!("{facts:?}"),
                Ok(None) => "not found".to_owned(),
                Err(error) => error.to_string(),
            },
        })
    }

    fn variables(&self) -> Value {
        let environment = &self.environment;
        json!({
            "docker_host": environment.docker_host,
            "docker_context": environment.docker_context,
            "docker_config": environment.docker_config,
            "http_proxy": environment.proxies.http,
            "https_proxy": environment.proxies.https,
            "no_proxy": environment.proxies.no_proxy,
            "machine_qemu": environment.qemu,
            "machine_driver": environment.driver,
            "path": environment.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
        })
    }
}

fn of_machine(folder: &Path, name: &str) -> Vec<(String, Value)> {
    let mut parts = Vec::new();
    let at = |file: &str| format!("machines/{name}/{file}");
    for file in FACTS {
        let path = folder.join(file);
        match json_file(&path) {
            Some(value) => parts.push((at(file), value)),
            // A record that is broken is what one wants to see.
            None if path.exists() => parts.push((at(file), store::tail(&path, TAIL).into())),
            None => {}
        }
    }
    for file in LOGS {
        let path = folder.join(file);
        if path.exists() {
            parts.push((at(file), store::tail(&path, TAIL).into()));
        }
    }
    parts
}

fn json_file(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Names, sizes and permissions of all files of the store, without what is in them.
fn listing(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(facts) = entry.path().symlink_metadata() else { continue };
            let name = entry.path().strip_prefix(root).map(Path::to_owned).unwrap_or_default();
            lines.push(format!("{:>14} {} {}", facts.len(), mode(&facts), name.display()));
            if facts.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    lines.sort_by(|a, b| a[15..].cmp(&b[15..]));
    lines.join("\n") + "\n"
}

#[cfg(unix)]
fn mode(facts: &fs::Metadata) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    format!("{:o}", facts.permissions().mode())
}

#[cfg(not(unix))]
fn mode(facts: &fs::Metadata) -> String {
    if facts.is_dir() { "folder" } else { "file" }.to_owned()
}

const README: &str = "\
What `machine support-bundle` has put together, for somebody who helps.

versions.json, environment.json   this program, this computer, QEMU
doctor.json                       the checks of `machine doctor`
images.json, verdicts.json        images that are here; what acceleration did
store.txt                         names and sizes of the files in the store
machines/NAME/                    the record, and the ends of the logs

Keys, certificates, tokens, passwords and the variables of engines were taken out.
Names, addresses and what programs wrote into their logs are in here: read it
before you hand it on.
";

fn write(path: &Path, all: &[(String, Vec<u8>)]) -> Result<SupportBundle> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::new(Code::AlreadyExists, format!("{} is there already", path.display())).hint("name another with -o")
        }
        _ => files::explain(error, "cannot write", path),
    };
    let file = machine_files::create_new(path, machine_files::PRIVATE).map_err(failed)?;
    let packed = pack(file, all).and_then(|file| {
        file.sync_all()?;
        Ok(file.metadata()?.len())
    });
    match packed {
        Ok(bytes) => {
            let files = all.iter().map(|(name, text)| (name.clone(), text.len() as u64)).collect();
            Ok(SupportBundle { path: path.to_owned(), bytes, files })
        }
        Err(error) => {
            let _half_of_one_helps_nobody = fs::remove_file(path);
            Err(failed(error))
        }
    }
}

fn pack(file: File, all: &[(String, Vec<u8>)]) -> io::Result<File> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in all {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
        archive.append_data(&mut header, format!("machine-support/{name}"), text.as_slice())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    Ok(file)
}
