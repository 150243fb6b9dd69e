//! What runs in containers of the tests: servers of a few bytes, on the machine's own C library (`-v /usr:/usr:ro`).
//!
//! Arguments: `http ADDRESS TEXT` answers every request with TEXT; `echo ADDRESS` sends back what it gets, over TCP and UDP;
//! `source ADDRESS` sends zeros as long as somebody takes them; `watch FOLDER` prints what inotify tells of a folder, and what a file that
//! was modified has in it at that moment.
#![expect(clippy::print_stdout, reason = "a program of the tests: this is how it tells")]
#![expect(clippy::unwrap_used, reason = "a program of the tests: whatever fails ends the container")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words = words.iter().map(String::as_str);
    let mut servers = Vec::new();
    while let Some(word) = words.next() {
        let address = words.next().unwrap().to_owned();
        match word {
            "http" => {
                let text = words.next().unwrap().to_owned();
                servers.push(serve(&address, move |client| answer(client, &text)));
            }
            "echo" => {
                let socket = UdpSocket::bind(&address).unwrap();
                servers.push(thread::spawn(move || echo_datagrams(&socket)));
                servers.push(serve(&address, echo));
            }
            "source" => servers.push(serve(&address, pour)),
            #[cfg(target_os = "linux")]
            "watch" => servers.push(thread::spawn(move || watch(&address))),
            other => panic!("no service {other}"),
        }
    }
    for server in servers {
        server.join().unwrap();
    }
}

fn serve(address: &str, each: impl Fn(TcpStream) + Clone + Send + 'static) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let each = each.clone();
            thread::Builder::new().stack_size(128 << 10).spawn(move || each(client)).unwrap();
        }
    })
}

fn answer(mut client: TcpStream, text: &str) {
    let mut request = [0; 4096];
    let mut length = 0;
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut request[length..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => length += read,
        }
    }
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    let _the_client_may_have_gone = client.write_all(page.as_bytes());
}

fn echo(mut client: TcpStream) {
    let mut back = client.try_clone().unwrap();
    let _the_client_may_have_gone = std::io::copy(&mut client, &mut back);
    let _ = back.shutdown(Shutdown::Write);
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut buffer = [0; 65_536];
    loop {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _datagrams_may_be_lost = socket.send_to(&buffer[..length], peer);
        }
    }
}

fn pour(mut client: TcpStream) {
    let zeros = [0; 65_536];
    while client.write_all(&zeros).is_ok() {}
}

#[cfg(target_os = "linux")]
fn watch(folder: &str) {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    let inotify = init(CreateFlags::CLOEXEC).unwrap();
    let changes = WatchFlags::ATTRIB | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MODIFY | WatchFlags::MOVE;
    add_watch(&inotify, folder, changes).unwrap();
    println!("watching {folder}");
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    loop {
        let event = events.next().unwrap();
        let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = format!("{folder}/{name}");
        let what = match event.events().difference(ReadFlags::ISDIR) {
            ReadFlags::MODIFY if event.events().contains(ReadFlags::ISDIR) => "modified folder".to_owned(),
            ReadFlags::MODIFY => {
                let content = std::fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
                let size = std::fs::metadata(&path).map(|metadata| metadata.len());
                println!("modified {path}: {content} ({})", size.unwrap_or_default());
                continue;
            }
            ReadFlags::MOVED_FROM => "gone".to_owned(),
            other => format!("{other:?}"),
        };
        println!("{what} {path}");
    }
}
