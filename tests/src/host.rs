//! A host that is played: a real sshd whose commands run in a throw-away root, where the tools that matter are scripts.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::Engine;
use crate::program::find_program;

/// What the scripts are: each decides by files in `/play`.
const TOOLS: &[(&str, &str)] = &[
    // The user: root, unless somebody else is played, who becomes root by sudo.
    (
        "id",
        r#"[ -e /play/user ] && [ -z "$PLAYED_ROOT" ] && { uid=1000; name=$(cat /play/user); } || { uid=0; name=root; }
case "$1" in
    -u) echo "$uid" ;;
    -un) echo "$name" ;;
    -Gn) echo "$name" ;;
    -nG) grep "[:,]$2\(,\|\$\)" /etc/group | cut -d: -f1 | tr '\n' ' '; echo "${2:-$name}" ;;
    *) grep -q "^$1:" /etc/passwd ;;
esac"#,
    ),
    ("getent", r#"grep "^$2:" "/etc/$1""#),
    ("groupadd", r#"echo "docker:x:999:" >>/etc/group"#),
    ("usermod", r#"sed -i "s/^docker:x:999:\$/docker:x:999:$3/; t; s/^docker:.*/&,$3/" /etc/group"#),
    // Installing makes the tools of the engine.
    (
        "apt-get",
        r#"echo "apt-get $*" >>/play/log
[ ! -e /play/apt-get ] || . /play/apt-get
case "$*" in *" install "*) cp /play/dockerd /play/docker /usr/local/bin/ ;; esac"#,
    ),
    ("apt-cache", r#"echo " docker.io | 26.1.5+dfsg1-9 | http://d trixie/main amd64 Packages""#),
    (
        "systemctl",
        r#"echo "systemctl $*" >>/play/log
case "$1" in
    show) echo "ExecStart={ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// \$DOCKER_OPTS ; ignore_errors=no ; pid=0 }" ;;
    is-active) [ -e /play/runs ] ;;
    is-enabled) [ -e /play/enabled ] ;;
    enable) : >/play/enabled ;;
    start | restart) [ ! -e /play/does-not-start ] || exit 1; : >/play/runs ;;
esac"#,
    ),
    ("journalctl", r#"echo 'failed to start daemon: error initializing graphdriver: driver not supported'"#),
    (
        "df",
        r#"printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 9 9 %s 9%% /\n' "$(cat /play/free 2>/dev/null || echo 9000000)""#,
    ),
    (
        "date",
        r#"case "$*" in *-s*) echo "date $*" >>/play/log; rm -f /play/clock ;; *) echo $(($(busybox date +%s) + $(cat /play/clock 2>/dev/null || echo 0))) ;; esac"#,
    ),
    ("sleep", "exit 0"),
    (
        "sudo",
        r#"[ "$1" != -n ] || shift
[ ! -e /play/sudo ] || { cat /play/sudo >&2; exit 1; }
PLAYED_ROOT=1 exec "$@""#,
    ),
];

const DOCKERD: &str = r#"#!/bin/sh
case "$1" in --version) echo 'Docker version 26.1.5+dfsg1, build a72d7cd' ;; --help) echo '  --validate' ;; esac
"#;
const DOCKER: &str = r#"#!/bin/sh
case "$1" in
    version) [ -e /play/runs ] || { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }; echo 26.1.5 ;;
    info) echo true ;;
esac
"#;

/// A host that is played.
pub struct PlayedHost {
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// What else is listened at.
    more: Mutex<Vec<SocketAddr>>,
    connections: Arc<Mutex<Vec<Child>>>,
    ended: Arc<AtomicBool>,
}

impl PlayedHost {
    /// A Debian 13 without an engine, whose root logs in.
    pub fn debian() -> Self {
        let folder = tempfile::Builder::new().prefix("host").tempdir_in("/tmp").unwrap();
        let root = folder.path().join("root");
        make_root(&root);
        let at = |name: &str| folder.path().join(name);
        let host_key = root.join(HOST_KEY);
        make_key(&host_key);
        make_key(&at("client_key"));
        let enter = at("enter");
        // In its root, by the one of the two ways that this user may.
        let chroot = if rustix::process::getuid().is_root() { "chroot" } else { "unshare --map-root-user chroot" };
        script(
            &enter,
            &format!(
                "#!/bin/sh\nunset DOCKER_HOST\nexec {chroot} {} /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
                root.display()
            ),
        );
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nForceCommand {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\nLogLevel ERROR\nPrintMotd no\n",
            host_key.display(),
            at("client_key.pub").display(),
            enter.display(),
        );
        fs::write(at("config"), config).unwrap();
        let _as_its_service_would = fs::create_dir_all("/run/sshd");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = Self {
            address: listener.local_addr().unwrap(),
            more: Mutex::default(),
            connections: Arc::default(),
            ended: Arc::default(),
            folder,
        };
        host.accept_at(listener);
        host
    }

    /// Lets whoever connects in to an sshd of its own.
    fn accept_at(&self, listener: TcpListener) {
        let (connections, ended, config) = (self.connections.clone(), self.ended.clone(), self.path("config"));
        let log = File::options().append(true).create(true).open(self.path("log")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                let child = Command::new(find_program("sshd"))
                    .args(["-i", "-e", "-f"])
                    .arg(&config)
                    .stdin(Stdio::from(OwnedFd::from(stream.try_clone().unwrap())))
                    .stdout(Stdio::from(OwnedFd::from(stream)))
                    .stderr(log.try_clone().unwrap())
                    .spawn()
                    .unwrap();
                connections.lock().unwrap().push(child);
            }
        });
    }

    /// Is also reached at this address of the loopback network: sshd at the same port, its engine at 2376 once it runs, with the
    /// certificates that were brought to it.
    pub fn appear_at(&self, address: IpAddr) {
        let ssh = TcpListener::bind((address, self.port())).unwrap();
        let engine = TcpListener::bind((address, 2376)).unwrap();
        self.more.lock().unwrap().extend([ssh.local_addr().unwrap(), engine.local_addr().unwrap()]);
        self.accept_at(ssh);
        let (root, ended) = (self.path("root"), self.ended.clone());
        std::thread::spawn(move || {
            for client in engine.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let file = |name: &str| fs::read(root.join("etc/docker").join(name)).unwrap_or_default();
                if root.join("play/runs").exists() {
                    let engine = Engine::with(
                        &file("ca.pem"),
                        &file("server.pem"),
                        &file("server-key.pem"),
                        crate::containers::Containers::new(0, 8000),
                    );
                    std::thread::spawn(move || engine.serve_one(client));
                }
            }
        });
    }

    /// Does at its first boot what cloud-init would: takes the host key out of the user data, lets the key in.
    pub fn boots_with(&self, user_data: &str, authorized_key: &str) {
        use base64::Engine as _;
        let part = user_data.split("Content-Type: text/cloud-config").nth(1).unwrap();
        let body: String =
            part.split("\n\n").nth(1).unwrap().split("--machine-").next().unwrap().split_whitespace().collect();
        let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(body).unwrap()).unwrap();
        let lines = text.lines().skip_while(|line| !line.contains("ed25519_private")).skip(1);
        let private: String =
            lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
        let public = text.lines().find_map(|line| line.strip_prefix("  ed25519_public: ")).unwrap();
        let host_key = self.root(HOST_KEY);
        fs::write(&host_key, private).unwrap();
        fs::write(host_key.with_extension("pub"), format!("{public}\n")).unwrap();
        fs::write(self.path("client_key.pub"), authorized_key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in its root.
    pub fn root(&self, path: &str) -> PathBuf {
        self.path("root").join(path.trim_start_matches('/'))
    }

    /// Makes the tools behave: writes `/play/NAME`.
    pub fn play(&self, name: &str, text: &str) {
        fs::write(self.root("play").join(name), text).unwrap();
    }

    /// Gives it the tools of every distribution in place of busybox's.
    pub fn has_gnu_tools(&self) {
        for name in ["cp", "find", "gzip", "mkdir", "mv", "rm", "rmdir", "sha256sum", "tar", "xargs"] {
            self.has_program(name);
        }
    }

    /// Gives it this computer's own program of that name.
    pub fn has_program(&self, name: &str) {
        let to = self.root("bin").join(name);
        let _busybox_may_not_have_it = fs::remove_file(&to);
        let program = fs::canonicalize(find_program(name)).unwrap();
        fs::copy(&program, to).unwrap();
        copy_libraries(&program, &self.path("root"));
    }

    /// Plays one of its programs by a script; the real one is `/play/real-NAME`.
    pub fn play_program(&self, name: &str, text: &str) {
        let program = self.root("bin").join(name);
        fs::rename(&program, self.root("play").join(format!("real-{name}"))).unwrap();
        script(&program, &format!("#!/bin/sh\n{text}\n"));
    }

    /// Takes that back.
    pub fn unplay_program(&self, name: &str) {
        fs::rename(self.root("play").join(format!("real-{name}")), self.root("bin").join(name)).unwrap();
    }

    /// Takes that back.
    pub fn unplay(&self, name: &str) {
        fs::remove_file(self.root("play").join(name)).unwrap();
    }

    /// What the tools that change something were told.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root("play/log")).unwrap_or_default()
    }

    /// The private key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.path("client_key")
    }

    /// Its host key.
    pub fn host_key(&self) -> String {
        let text = fs::read_to_string(self.root(HOST_KEY).with_extension("pub")).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// The port of its sshd.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Gives it another host key, as a host made anew has.
    pub fn change_host_key(&self) {
        let host_key = self.root(HOST_KEY);
        fs::remove_file(host_key.with_extension("pub")).unwrap();
        fs::remove_file(&host_key).unwrap();
        make_key(&host_key);
    }

    /// Ends its side of every connection, as a network that goes away.
    pub fn cut_connections(&self) {
        for child in self.connections.lock().unwrap().iter_mut() {
            let _gone_already = child.kill();
            let _reaped = child.wait();
        }
    }

    /// The words that adopt it as `name`; nothing listens at its engine's port.
    pub fn adoption(&self, name: &str) -> Vec<String> {
        let words = [
            "create",
            "-d",
            "generic",
            "--generic-ip-address",
            "127.0.0.1",
            "--generic-ssh-user",
            &login_name(),
            "--generic-ssh-port",
            &self.port().to_string(),
            "--generic-ssh-key",
            &self.key().display().to_string(),
            "--generic-host-key",
            &self.host_key(),
            "--generic-engine-port",
            "9",
            "--engine-source",
            "distro",
            "--timeout",
            "1",
            name,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// Where its host key lies, in its root.
const HOST_KEY: &str = "etc/ssh/ssh_host_ed25519_key";

fn make_key(path: &Path) {
    let made = Command::new(find_program("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// The user that the tests run as: the only one that an unprivileged sshd lets in.
pub fn login_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Drop for PlayedHost {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let more = self.more.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for address in more.into_iter().chain([self.address]) {
            let _wakes_the_listener = TcpStream::connect(address);
        }
        self.cut_connections();
    }
}

/// A small system: a real shell, busybox for most of the rest, scripts for what is played.
fn make_root(root: &Path) {
    for folder in [
        "bin",
        "lib",
        "lib64",
        "etc/ssh",
        "play",
        "tmp",
        "run/systemd/system",
        "usr/local/bin",
        "var/lib",
        "proc",
        "dev",
        "root",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let copy = |from: &Path, to: &str| {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    let (busybox, shell) = (find_program("busybox"), find_program("dash"));
    copy(&busybox, "bin/busybox");
    copy(&shell, "bin/sh");
    let keygen = find_program("ssh-keygen");
    copy(&keygen, "bin/ssh-keygen");
    for program in [&shell, &keygen] {
        copy_libraries(program, root);
    }
    let applets = Command::new(&busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8_lossy(&applets.stdout)
        .lines()
        .filter(|name| !matches!(*name, "sh" | "busybox" | "rpm" | "dpkg"))
    {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    for (name, text) in TOOLS {
        script(&root.join("usr/local/bin").join(name), &format!("#!/bin/sh\n{text}\n"));
    }
    script(&root.join("play/dockerd"), DOCKERD);
    script(&root.join("play/docker"), DOCKER);
    let files = [
        (
            "etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\nID=debian\n",
        ),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
        ("etc/group", "root:x:0:\nann:x:1000:\nwheel:x:10:ann\n"),
        ("etc/fstab", ""),
        ("proc/mounts", "/dev/vda / ext4 rw,relatime 0 0\n"),
        ("dev/null", ""),
    ];
    for (path, text) in files {
        fs::write(root.join(path), text).unwrap();
    }
    fs::set_permissions(root.join("dev/null"), fs::Permissions::from_mode(0o666)).unwrap();
}

/// What a program is linked with.
fn copy_libraries(program: &Path, root: &Path) {
    let libraries = Command::new("ldd").arg(program).output().unwrap();
    for library in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fs::canonicalize(library).unwrap(), to).unwrap();
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
