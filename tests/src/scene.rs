//! The place of one test: folders of its own, the environment of its own, and a look at what it leaves.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::image::import_real;
use crate::process::{Process, processes_about};
use crate::program::{fake_qemu, find_program, kept, machine_program};
use crate::run::{Invocation, Run};
use crate::wait::until;
use crate::{bare_images, fake_images, real_images};

/// How long processes may take to go once they were told.
const GOING: Duration = Duration::from_secs(10);

/// Folders and variables of one test. Nothing of the user's own environment gets in but `PATH`.
///
/// When it is dropped, its machines are removed; a process, a socket, or a file outside the named folders that is left then
/// fails the test.
pub struct Scene {
    root: tempfile::TempDir,
    environment: BTreeMap<OsString, OsString>,
}

impl Scene {
    /// A scene whose QEMU is played by a program of ours.
    pub fn new() -> Self {
        Self::with_store("store")
    }

    /// The same, with its store in a folder called `name`.
    pub fn with_store(name: &str) -> Self {
        let mut scene = Self::bare(name);
        scene.set("MACHINE_IMAGE_PATH", fake_images());
        scene.set("MACHINE_QEMU", fake_qemu());
        scene
    }

    /// A scene in which real machines run.
    pub fn real() -> Self {
        Self::real_with(real_images())
    }

    /// The same, with an image store of its own: nothing that another test keeps there is in its way.
    pub fn real_apart() -> Self {
        let mut scene = Self::bare("store");
        let store = scene.path("images");
        import_real(&store);
        scene.set("MACHINE_IMAGE_PATH", store);
        scene.knows_this_computer();
        scene
    }

    /// The same, with a vendor's image in place of ours.
    pub fn real_bare() -> Self {
        Self::real_with(bare_images())
    }

    fn real_with(images: PathBuf) -> Self {
        let mut scene = Self::bare("store");
        scene.set("MACHINE_IMAGE_PATH", images);
        scene.knows_this_computer();
        scene
    }

    /// What hardware acceleration does on this computer is learnt once in a build, not once in a test.
    fn knows_this_computer(&self) {
        let (learnt, store) = (kept().join("verdicts.json"), self.store());
        if learnt.is_file() {
            fs::create_dir(&store).unwrap();
            fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
            fs::copy(learnt, store.join("verdicts.json")).unwrap();
        }
    }

    fn bare(store: &str) -> Self {
        // Short: the paths of sockets are. Not in TMPDIR, which may be anything.
        let root = tempfile::Builder::new().prefix("m").rand_bytes(5).tempdir_in("/tmp").unwrap();
        let mut scene = Self { environment: BTreeMap::new(), root };
        for (variable, folder) in
            [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("DOCKER_CONFIG", "docker"), ("TMPDIR", "tmp")]
        {
            let path = scene.path(folder);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            scene.set(variable, path);
        }
        scene.set("MACHINE_STORAGE_PATH", scene.path(store));
        scene.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        scene.set("LANG", "C.UTF-8");
        scene.set("TERM", "xterm");
        scene.set("USER", "tester");
        scene
    }

    /// Sets a variable of the scene.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    /// Takes a variable out of the scene.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(OsStr::new(name));
    }

    /// Something in the scene's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        PathBuf::from(&self.environment[OsStr::new("MACHINE_STORAGE_PATH")])
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        PathBuf::from(&self.environment[OsStr::new("MACHINE_IMAGE_PATH")])
    }

    /// The folder of a machine.
    pub fn folder(&self, machine: &str) -> PathBuf {
        self.store().join("machines").join(machine)
    }

    /// A program that is about to be run in the scene.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Invocation {
        Invocation::new(self.plain_command(program))
    }

    /// The same, for one who starts it in a way of his own.
    pub(crate) fn plain_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).current_dir(self.root.path());
        command
    }

    /// `machine` with these words, about to be run.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Invocation {
        self.program(machine_program()).args(words)
    }

    /// Runs `machine` with these words.
    #[track_caller]
    pub fn machine<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        self.command(words).run()
    }

    /// Runs the words of a line, without quoting: `scene.run("create dev --no-wait")`.
    #[track_caller]
    pub fn run(&self, line: &str) -> Run {
        self.machine(line.split(' '))
    }

    /// A script of a shell in which `machine` is on `PATH`, about to be run. Its home is a folder apart: shells fill theirs.
    pub fn shell(&self, shell: &str, script: &str) -> Invocation {
        self.shell_at(&find_program(shell), &["-c", script])
    }

    /// The same, with a shell that lies anywhere and takes its script in a way of its own.
    pub fn shell_at(&self, shell: &Path, words: &[&str]) -> Invocation {
        let home = self.path("shell-home");
        fs::create_dir_all(&home).unwrap();
        let folders = std::iter::once(machine_program().parent().unwrap().to_owned())
            .chain(std::env::split_paths(&self.environment[OsStr::new("PATH")]));
        let path = std::env::join_paths(folders).unwrap();
        self.program(shell).args(words).env("HOME", home).env("PATH", path)
    }

    /// The state that `status` prints.
    #[track_caller]
    pub fn status(&self, machine: &str) -> String {
        self.machine(["status", machine]).ok().line().to_owned()
    }

    /// A machine's record.
    pub fn record(&self, machine: &str) -> serde_json::Value {
        self.json(machine, "machine.json").unwrap()
    }

    /// A JSON file in a machine's folder.
    pub fn json(&self, machine: &str, file: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(&fs::read(self.folder(machine).join(file)).ok()?).ok()
    }

    /// The processes of the scene: supervisors, QEMU, whatever was started in it and still runs.
    pub fn processes(&self) -> Vec<Process> {
        processes_about(self.root.path())
    }

    /// QEMU of a machine that runs, as its run file names it.
    pub fn qemu(&self, machine: &str) -> Process {
        self.in_run_file(machine, "qemu")
    }

    /// The supervisor of a machine that runs.
    pub fn supervisor(&self, machine: &str) -> Process {
        self.in_run_file(machine, "supervisor")
    }

    fn in_run_file(&self, machine: &str, who: &str) -> Process {
        let run = self.json(machine, "run.json").unwrap_or_else(|| panic!("{machine} has no run.json"));
        let pid = u32::try_from(run[who]["pid"].as_u64().unwrap()).unwrap();
        crate::process(pid).unwrap_or_else(|| panic!("{who} of {machine} (process {pid}) does not run"))
    }

    /// Asserts that nothing of a machine is left: no folder, no Docker context, no socket, no process.
    #[track_caller]
    pub fn nothing_is_left_of(&self, machine: &str) {
        assert!(!self.folder(machine).exists(), "{} is left", self.folder(machine).display());
        let left = files_below(&self.store().join("machines"));
        assert!(left.iter().all(|file| !file.starts_with('.')), "half-removed folders: {left:?}");
        for file in files_below(&self.path("docker/contexts/meta")) {
            let text = fs::read_to_string(self.path("docker/contexts/meta").join(&file)).unwrap_or_default();
            assert!(!text.contains(&format!("\"Name\":\"{machine}\"")), "the Docker context is left: {text}");
        }
        if fs::read_dir(self.store().join("machines")).map_or(0, Iterator::count) == 0 {
            let sockets = files_below(&self.path("run"));
            assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
            self.no_processes();
        }
    }

    #[track_caller]
    fn no_processes(&self) {
        until(&format!("processes to go: {:?}", self.processes()), GOING, || self.processes().is_empty().then_some(()));
    }

    /// The ends of what the machines of the scene wrote.
    fn logs(&self) -> String {
        let mut text = String::new();
        for machine in fs::read_dir(self.store().join("machines")).into_iter().flatten().flatten() {
            for log in ["supervisor.log", "qemu.log", "events.jsonl", "serial.log", "last_exit.json", "machine.json"] {
                let Ok(bytes) = fs::read(machine.path().join(log)) else { continue };
                let all = String::from_utf8_lossy(&bytes).into_owned();
                let lines: Vec<&str> = all.lines().collect();
                text.push_str(&format!("--- {}/{log}\n", machine.file_name().display()));
                let last = &lines[lines.len().saturating_sub(25)..];
                last.iter().for_each(|line| text.extend(line.chars().take(300).chain(['\n'])));
            }
        }
        text
    }

    fn remove_machines(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for machine in fs::read_dir(self.store().join("machines")).into_iter().flatten().flatten() {
            let name = machine.file_name();
            let removed = Command::new(machine_program())
                .args([OsStr::new("rm"), OsStr::new("-f"), OsStr::new("-y"), &name])
                .env_clear()
                .envs(&self.environment)
                .current_dir(self.root.path())
                .output();
            match removed {
                Ok(output) if output.status.success() => {}
                Ok(output) => {
                    failures.push(format!("rm {}: {}", name.display(), String::from_utf8_lossy(&output.stderr)));
                }
                Err(error) => failures.push(format!("rm {}: {error}", name.display())),
            }
        }
        failures
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything below a folder but folders, relative to it.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_below(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files
}

impl Drop for Scene {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if failing {
            eprintln!("{}", self.logs());
        }
        let verdicts = self.store().join("verdicts.json");
        if self.environment.contains_key(OsStr::new("MACHINE_QEMU")) || !verdicts.is_file() {
            // A played QEMU tells nothing of this computer.
        } else {
            let _only_saves_time = fs::copy(verdicts, kept().join("verdicts.json"));
        }
        let mut left = self.remove_machines();
        let begun = std::time::Instant::now();
        while begun.elapsed() < GOING && !self.processes().is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        for process in self.processes() {
            left.push(format!("process {} ({})", process.pid, process.command));
            process.kill();
        }
        for folder in ["home", "tmp", "run"] {
            left.extend(files_below(&self.path(folder)).into_iter().map(|file| format!("the file {folder}/{file}")));
        }
        if failing {
            eprintln!("left behind: {left:?}");
        } else {
            assert!(left.is_empty(), "left behind: {left:#?}");
        }
    }
}
