//! A real OpenSSH server on loopback: our listener starts `sshd -i` per connection, so that no port is raced for.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use machine_core::SshTarget;
use machine_ssh::KeyPair;

const SSHD: &str = "/usr/sbin/sshd";

/// A server with a host key and one authorized key of its own.
pub struct Server {
    dir: tempfile::TempDir,
    address: SocketAddr,
    host_key: String,
    children: Arc<Mutex<Vec<Child>>>,
    ended: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
}

impl Server {
    pub fn start() -> Self {
        Self::new(0, "ERROR")
    }

    /// A server whose log holds every step of a login. (sshd mixes this log into the error output of commands.)
    pub fn start_logging() -> Self {
        Self::new(0, "DEBUG1")
    }

    /// A server that closes the first `closed` connections at once, as a machine does that is not up yet.
    pub fn start_after(closed: usize) -> Self {
        Self::new(closed, "ERROR")
    }

    fn new(closed: usize, log_level: &str) -> Self {
        assert!(
            std::path::Path::new(SSHD).exists(),
            "these tests need OpenSSH's server: install `openssh-server` (it need not be started)"
        );
        let dir = tempfile::tempdir().unwrap();
        let host = KeyPair::generate("host").unwrap();
        host.save(&dir.path().join("host")).unwrap();
        let client = KeyPair::generate("client").unwrap();
        client.save(&dir.path().join("client")).unwrap();
        std::fs::write(dir.path().join("authorized_keys"), &client.public_openssh).unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\nLogLevel {log_level}\nPrintMotd no\n",
            at("host"),
            at("authorized_keys")
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        // As root, sshd wants its folder for privilege separation, which its service would make.
        let _ = std::fs::create_dir_all("/run/sshd");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            host_key: host.public_openssh.clone(),
            children: Arc::default(),
            ended: Arc::default(),
            turned_away: Arc::default(),
            dir,
        };
        let (children, ended, turned_away) =
            (server.children.clone(), server.ended.clone(), server.turned_away.clone());
        let (config, log) = (server.path("config"), server.path("log"));
        File::create(&log).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                if turned_away.load(Ordering::SeqCst) < closed {
                    turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let child = Command::new(SSHD)
                    .args(["-i", "-e", "-f"])
                    .arg(&config)
                    .stdin(Stdio::from(OwnedFd::from(stream.try_clone().unwrap())))
                    .stdout(Stdio::from(OwnedFd::from(stream)))
                    .stderr(OpenOptions::new().append(true).open(&log).unwrap())
                    .spawn()
                    .unwrap();
                children.lock().unwrap().push(child);
            }
        });
        server
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn target(&self) -> SshTarget {
        SshTarget {
            address: self.address,
            user: user(),
            key: self.path("client"),
            host_key: self.host_key.clone(),
            machine: "dev".into(),
        }
    }

    /// What the server has logged so far, at its debug level.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::SeqCst)
    }

    /// Ends the server's side of every connection, as a machine whose plug is pulled.
    pub fn kill_connections(&self) {
        for child in self.children.lock().unwrap().iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until the server's processes have ended by themselves, so that its log is complete.
    pub fn wait_for_connections_to_end(&self) {
        for child in self.children.lock().unwrap().iter_mut() {
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
        self.kill_connections();
    }
}

/// The user that the tests run as: the only one that an unprivileged sshd lets in.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
