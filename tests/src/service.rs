//! An image of one program of ours that serves, and what one needs to talk to it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scene::Scene;

/// How long a service may take to answer: machines emulate, and share this computer.
const LIMIT: Duration = Duration::from_secs(60);

/// The image as a tar archive, for `docker import`. Its program (`service`, see `src/bin/service.rs`) uses the libraries of the
/// machine: containers need `-v /usr:/usr:ro`.
pub fn service_image(scene: &Scene, program: &str) -> PathBuf {
    let path = scene.path("service.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    archive.append_path_with_name(Path::new(program), "service").unwrap();
    for (name, to) in [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, name, to).unwrap();
    }
    archive.into_inner().unwrap().flush().unwrap();
    path
}

/// What a service answers to a request for a page.
///
/// # Errors
/// Nobody listens, or the connection is broken off.
pub fn page(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((_, page)) => Ok(page.to_owned()),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}
