//! A registry of the tests' own, in Docker Hub's place: Debian's `docker-registry` on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::find_program;
use crate::wait::until;

/// A running registry.
pub struct Registry {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// One that lets everybody in.
    pub fn open() -> Self {
        Self::start("")
    }

    /// One that lets in `ann` with the password `secret`.
    pub fn private() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: tests\n    path: HTPASSWD\n")
    }

    fn start(auth: &str) -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let passwords = folder.path().join("htpasswd");
        // bcrypt of `secret`, as htpasswd(1) writes it.
        fs::write(&passwords, "ann:$2y$05$VD.uA/GxiY..wCcC3czQpuXRcCPnFPkdiB/GickcJxRbUWBp0PsAa\n").unwrap();
        // Free a moment ago; it cannot be told to choose one itself.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{}",
            folder.path().join("data").display(),
            auth.replace("HTPASSWD", &passwords.display().to_string()),
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let child = Command::new(find_program("docker-registry"))
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let registry = Self { child, port, _folder: folder };
        until("the registry to listen", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        registry
    }

    /// Its address as a machine under QEMU sees it.
    pub fn seen_from_a_machine(&self) -> String {
        format!("10.0.2.2:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
