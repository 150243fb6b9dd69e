//! Where this program finds itself: folders, variables, the shell above. The only file that reads the environment.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use machine_core::{Code, Error, Result};

use crate::shell::Shell;

/// Proxies of this computer, as addresses (`http://user:password@proxy.example:3128/`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostProxies {
    /// For addresses that begin with `http:`.
    pub http: Option<String>,
    /// For addresses that begin with `https:`.
    pub https: Option<String>,
    /// What is reached without.
    pub no_proxy: Option<String>,
}

impl HostProxies {
    fn read(no_proxy: Option<String>) -> Self {
        let said = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let all = said(&["all_proxy", "ALL_PROXY"]);
        Self {
            http: said(&["http_proxy", "HTTP_PROXY"]).or_else(|| all.clone()),
            https: said(&["https_proxy", "HTTPS_PROXY"]).or(all),
            no_proxy,
        }
    }

    /// These, or where there are none those of the system's settings, which it takes longer to ask for.
    pub(crate) fn or_of_the_system(&self) -> Self {
        // Elsewhere the variables are all there is.
        if self.http.is_some() || self.https.is_some() || !cfg!(any(windows, target_os = "macos")) {
            return self.clone();
        }
        let system = hyper_util::client::proxy::matcher::Matcher::from_system();
        // An address that nobody excepts.
        let of = |address| system.intercept(&hyper::Uri::from_static(address)).map(|proxy| proxy.uri().to_string());
        let (http, https) = (of("http://registry.machine.example/"), of("https://registry.machine.example/"));
        Self { http, https, no_proxy: self.no_proxy.clone() }
    }
}

/// docker-machine's variables of its driver `amazonec2`, and AWS's own for endpoints and profiles.
const AWS: &[&str] = &[
    "AWS_AMI",
    "AWS_DEVICE_NAME",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_INSECURE_TRANSPORT",
    "AWS_INSTANCE_PROFILE",
    "AWS_INSTANCE_TYPE",
    "AWS_KEYPAIR_NAME",
    "AWS_PROFILE",
    "AWS_ROOT_SIZE",
    "AWS_SECURITY_GROUP",
    "AWS_SSH_KEYPATH",
    "AWS_SSH_PORT",
    "AWS_SSH_USER",
    "AWS_SUBNET_ID",
    "AWS_TAGS",
    "AWS_USERDATA",
    "AWS_VOLUME_TYPE",
    "AWS_VPC_ID",
    "AWS_ZONE",
];

/// Everything that comes from outside: read once, at the start, and handed on as data.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The store: records, keys, certificates, disks (`MACHINE_STORAGE_PATH`).
    pub store: PathBuf,
    /// Base images (`MACHINE_IMAGE_PATH`, else `images` in the store).
    pub images: PathBuf,
    /// A catalog that replaces the built-in one (`MACHINE_IMAGE_CATALOG`).
    pub catalog: Option<PathBuf>,
    /// A short folder for sockets.
    pub runtime: PathBuf,
    /// The Docker CLI's configuration (`DOCKER_CONFIG`, else `~/.docker`).
    pub docker_config: PathBuf,
    /// `DOCKER_HOST`, which says what machine is active.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`, which the `docker` command prefers to its current context.
    pub docker_context: Option<String>,
    /// Where programs look for Docker's own socket.
    pub default_sockets: Vec<PathBuf>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The folder that relative paths are of, as the shell calls it.
    pub current: PathBuf,
    /// `PATH`.
    pub path: Option<OsString>,
    /// `%ProgramFiles%`, on Windows.
    pub program_files: Option<PathBuf>,
    /// QEMU named by the user (`MACHINE_QEMU`).
    pub qemu: Option<PathBuf>,
    /// The proxy exceptions present, with the name of the variable that holds them.
    pub no_proxy: Option<(&'static str, String)>,
    /// The proxies that the variables name (`http_proxy` and so on).
    pub proxies: HostProxies,
    /// `MACHINE_DRIVER`.
    pub driver: Option<String>,
    /// `GENERIC_IP_ADDRESS`, `GENERIC_SSH_USER`, `GENERIC_SSH_PORT`, `GENERIC_SSH_KEY`, `GENERIC_ENGINE_PORT`, as
    /// docker-machine reads them; those that are set.
    pub generic: std::collections::BTreeMap<&'static str, String>,
    /// AWS's and docker-machine's `AWS_...` variables that say what and where; those that are set. Credentials are not among
    /// them: AWS's own chain reads those.
    pub aws: std::collections::BTreeMap<&'static str, String>,
    /// Whether AWS's chain finds keys in the environment (`AWS_ACCESS_KEY_ID`).
    pub aws_keys: bool,
    /// `MACHINE_DOCKER_INSTALL_URL`.
    pub install_url: Option<String>,
    /// `ENGINE_REGISTRY_MIRROR`.
    pub registry_mirror: Option<String>,
    /// The login name, for certificates and labels.
    pub user: Option<String>,
    /// The program that supervises machines (`PROGRAM supervise NAME`); this one itself when it is `None`.
    pub supervisor: Option<PathBuf>,
    /// Ends this process after the checkpoint of that name, as a crash would: for the tests, and in debug builds alone.
    pub crash_after: Option<String>,
}

impl Environment {
    /// Reads the environment. `storage_path` is the command line's word for the store.
    ///
    /// # Errors
    /// When no home folder is known and none of the variables says where to keep things.
    pub fn read(storage_path: Option<&Path>) -> Result<Self> {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let store = match storage_path.map(Path::to_owned).or_else(|| path_variable("MACHINE_STORAGE_PATH")) {
            Some(path) => std::path::absolute(path)
                .map_err(|e| Error::other("cannot make an absolute path of the storage path").because(e))?,
            None => directories::ProjectDirs::from("", "", "machine")
                .map(|dirs| dirs.data_local_dir().to_owned())
                .ok_or_else(|| {
                    Error::other("no home folder is known, so there is no place for machines")
                        .hint("set HOME, or say where with --storage-path or MACHINE_STORAGE_PATH")
                })?,
        };
        let docker_config = path_variable("DOCKER_CONFIG")
            .or_else(|| home.as_ref().map(|home| home.join(".docker")))
            .unwrap_or_else(|| store.join("docker"));
        let no_proxy = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| variable(name).map(|value| (name, value)));
        Ok(Self {
            images: path_variable("MACHINE_IMAGE_PATH").unwrap_or_else(|| store.join("images")),
            catalog: path_variable("MACHINE_IMAGE_CATALOG"),
            runtime: runtime_folder(&store),
            docker_config,
            docker_host: variable("DOCKER_HOST"),
            docker_context: variable("DOCKER_CONTEXT"),
            default_sockets: default_sockets(home.as_deref()),
            current: current_folder(),
            path: env::var_os("PATH"),
            program_files: path_variable("ProgramFiles"),
            qemu: path_variable("MACHINE_QEMU"),
            proxies: HostProxies::read(no_proxy.as_ref().map(|(_, value)| value.clone())),
            no_proxy,
            driver: variable("MACHINE_DRIVER"),
            generic: ["IP_ADDRESS", "SSH_USER", "SSH_PORT", "SSH_KEY", "ENGINE_PORT"]
                .into_iter()
                .filter_map(|name| Some((name, variable(&format!("GENERIC_{name}"))?)))
                .collect(),
            aws: AWS.iter().filter_map(|name| Some((*name, variable(name)?))).collect(),
            aws_keys: variable("AWS_ACCESS_KEY_ID").is_some(),
            install_url: variable("MACHINE_DOCKER_INSTALL_URL"),
            registry_mirror: variable("ENGINE_REGISTRY_MIRROR"),
            user: variable("USER").or_else(|| variable("USERNAME")),
            supervisor: None,
            crash_after: if cfg!(debug_assertions) { variable("MACHINE_TEST_CRASH_AFTER") } else { None },
            home,
            store,
        })
    }

    /// The environment of a program that is not `machine` itself: machines are supervised by the `machine` that lies beside
    /// it (they are installed together), so that no window system is loaded into a process that outlives the window.
    ///
    /// # Errors
    /// As [`read`](Self::read), or when there is no `machine` beside this program.
    pub fn read_beside_machine() -> Result<Self> {
        let program = env::current_exe().map_err(|e| Error::other("cannot find this program's own file").because(e))?;
        let machine = program.with_file_name(format!("machine{}", env::consts::EXE_SUFFIX));
        if !machine.is_file() {
            return Err(Error::new(Code::NotFound, format!("{} is not there", machine.display()))
                .hint("the app comes with the command line `machine` and needs it: install both again"));
        }
        Ok(Self { supervisor: Some(machine), ..Self::read(None)? })
    }

    /// How a person calls `machine` in a terminal: by its name where `PATH` leads to it, else by its path.
    pub(crate) fn machine_word(&self, shell: Shell) -> String {
        let name = format!("machine{}", env::consts::EXE_SUFFIX);
        let on_path =
            self.path.as_deref().is_some_and(|path| env::split_paths(path).any(|folder| folder.join(&name).is_file()));
        match &self.supervisor {
            Some(program) if !on_path => shell.word(&program.display().to_string()),
            _ => "machine".to_owned(),
        }
    }

    /// The shell that runs this program: the parent process when it is one, else `$SHELL`.
    pub fn shell() -> Option<Shell> {
        parent_process_name().and_then(|name| Shell::from_program(&name)).or_else(|| {
            let login = variable("SHELL")?;
            Shell::from_program(&login)
        })
    }

    /// Whether the user asked for plain output (`NO_COLOR`, <https://no-color.org>).
    pub fn no_color() -> bool {
        variable("NO_COLOR").is_some()
    }

    /// Whether docker-machine's `MACHINE_DEBUG` asks for everything.
    pub fn debug() -> bool {
        variable("MACHINE_DEBUG").is_some_and(|value| says_yes(&value))
    }

    /// Whether there is a screen that a window could open on (`DISPLAY`, `WAYLAND_DISPLAY`; elsewhere than on Linux always).
    pub fn has_display() -> bool {
        !cfg!(target_os = "linux") || variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some()
    }

    /// `TERM`, for terminals made on a machine.
    pub fn term() -> Option<String> {
        variable("TERM")
    }
}

/// Whether a variable that is a switch is on, as docker-machine reads it.
pub(crate) fn says_yes(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false" | "f")
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `PWD` where it is true: `docker run -v $PWD:...` says it like that too, with the links that were followed.
fn current_folder() -> PathBuf {
    let real = env::current_dir().unwrap_or_default();
    match path_variable("PWD") {
        Some(said) if said.is_absolute() && said.canonicalize().ok() == real.canonicalize().ok() => said,
        _ => real,
    }
}

fn path_variable(name: &str) -> Option<PathBuf> {
    let path = env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    // A supervisor runs in another folder: what is relative to this one must not stay so. A bare name is looked up on PATH.
    if path.components().count() == 1 && path.is_relative() && !path.exists() {
        return Some(path);
    }
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Where programs look for Docker's own socket. Debug builds may be told another place, for the tests.
fn default_sockets(home: Option<&Path>) -> Vec<PathBuf> {
    if cfg!(debug_assertions)
        && let Some(place) = path_variable("MACHINE_TEST_DEFAULT_SOCKET")
    {
        return vec![place];
    }
    if cfg!(windows) {
        return vec![PathBuf::from(r"\\.\pipe\docker_engine")];
    }
    let mut places = vec![PathBuf::from("/var/run/docker.sock")];
    if cfg!(target_os = "macos") {
        // Docker Desktop's own, where the other one needs root.
        places.extend(home.map(|home| home.join(".docker/run/docker.sock")));
    }
    places
}

/// A folder for sockets: short, because a socket's path has 104 bytes on macOS and 108 on Linux, and one per store, so that
/// two stores never meet.
fn runtime_folder(store: &Path) -> PathBuf {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(store.as_os_str().as_encoded_bytes());
    let of_store: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    runtime_base().join(of_store)
}

#[cfg(unix)]
fn runtime_base() -> PathBuf {
    match path_variable("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir() && folder.as_os_str().len() <= 50) {
        Some(folder) => folder.join("machine"),
        // macOS: the per-user folder under /var/folders (49 bytes). Linux without a session: /tmp, so the user is in the name.
        None => env::temp_dir().join(format!("machine-{}", rustix::process::getuid().as_raw())),
    }
}

#[cfg(not(unix))]
fn runtime_base() -> PathBuf {
    env::temp_dir().join("machine")
}

#[cfg(target_os = "linux")]
fn parent_process_name() -> Option<String> {
    // `comm` is what `ps` shows: cut to 15 characters, enough for every shell.
    let parent = rustix::process::getppid()?;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn parent_process_name() -> Option<String> {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
    let mut system = System::new().ok()?;
    let mut look = |pid: Pid| {
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
        system.process(pid).map(|process| (process.name().to_string_lossy().into_owned(), process.parent()))
    };
    let (_, parent) = look(sysinfo::get_current_pid().ok()?)?;
    look(parent?).map(|(name, _)| name)
}
