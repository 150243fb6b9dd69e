use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use machine_ssh::{ExitStatus, Session, Tunnel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::commands::noise;
use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(120);

fn tunnel(server: &Server) -> Tunnel {
    Tunnel::over(Session::connect(&server.target(), LIMIT).unwrap()).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, work).await.expect("nothing waits for ever") })
}

/// A server on loopback that reads to the end and then says how much it read, and what.
fn counting_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                stream.write_all(format!("{} ", bytes.len()).as_bytes()).unwrap();
                stream.write_all(&bytes).unwrap();
            });
        }
    });
    port
}

#[test]
fn many_streams_run_over_one_session_at_once_and_none_is_mixed_up() {
    let server = Server::start();
    run(async {
        let tunnel = tunnel(&server);
        let mut streams = tokio::task::JoinSet::new();
        for number in 0..8_usize {
            let tunnel = tunnel.clone();
            streams.spawn(async move {
                let mut sent = noise(2 << 20);
                sent[0] = u8::try_from(number).unwrap();
                let (stream, end) = tunnel.exec("cat").await.unwrap().into_parts();
                let (mut reader, mut writer) = tokio::io::split(stream);
                let writing = async {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                };
                let mut back = Vec::new();
                let (_, read) = tokio::join!(writing, reader.read_to_end(&mut back));
                read.unwrap();
                assert!(back == sent, "stream {number}: {} bytes of {}", back.len(), sent.len());
                assert_eq!(end.await.unwrap().status, ExitStatus::Code(0));
            });
        }
        while let Some(result) = streams.join_next().await {
            result.unwrap();
        }
    });
}

#[test]
fn each_direction_of_a_connection_ends_by_itself() {
    let server = Server::start();
    let port = counting_server();
    run(async {
        let tunnel = tunnel(&server);
        let mut stream = tunnel.connect("127.0.0.1", port).await.unwrap();
        let sent = noise(3 << 20);
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        let mut expected = format!("{} ", sent.len()).into_bytes();
        expected.extend_from_slice(&sent);
        assert!(back == expected, "{} bytes", back.len());
    });
}

#[test]
fn a_port_where_nothing_listens_is_refused_and_the_session_goes_on() {
    let server = Server::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    run(async {
        let tunnel = tunnel(&server);
        let error = tunnel.connect("127.0.0.1", closed).await.unwrap_err();
        assert!(error.to_string().contains(&format!("127.0.0.1:{closed}")), "{error}");
        let end = tunnel.exec("echo why >&2; exit 7").await.unwrap().ended().await;
        // To drop the stream closes the channel: the end may then not be told, so it is asked with the stream held.
        let (stream, told) = tunnel.exec("echo why >&2; exit 7").await.unwrap().into_parts();
        let told = told.await.unwrap();
        assert_eq!((told.status, told.stderr.as_str()), (ExitStatus::Code(7), "why"));
        drop((stream, end));
    });
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let server = Server::start();
    run(async {
        let tunnel = tunnel(&server);
        let flood = tunnel.exec("yes").await.unwrap();
        let (mut stream, end) = tunnel.exec("sleep 0.3; echo done").await.unwrap().into_parts();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "done\n");
        end.await.unwrap();
        drop(flood);
        // And the one that was let go of is closed there: its process has ended.
        let (mut stream, _) =
            tunnel.exec("while pgrep -P $PPID -x yes; do sleep 0.05; done; echo gone").await.unwrap().into_parts();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("gone\n"), "{said}");
    });
}

#[test]
fn connections_made_inside_the_machine_arrive_here() {
    let server = Server::start();
    run(async {
        let tunnel = tunnel(&server);
        let mut incoming = tunnel.listen(0).await.unwrap();
        let port = incoming.port;
        let again = tunnel.listen(port).await.unwrap_err();
        assert!(again.to_string().contains(&port.to_string()), "{again}");
        for text in ["first", "second"] {
            let client = std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            let mut stream = incoming.next().await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            stream.write_all(format!("heard {heard}").as_bytes()).await.unwrap();
            drop(stream);
            assert_eq!(client.join().unwrap(), format!("heard {text}"));
        }
        drop(incoming);
        // The port is free again for whoever comes next.
        let free = async {
            while tunnel.listen(port).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        free.await;
    });
}

#[test]
fn a_lost_connection_ends_every_stream_and_says_why() {
    let server = Server::start();
    run(async {
        let tunnel = tunnel(&server);
        let (mut stream, end) = tunnel.exec("cat").await.unwrap().into_parts();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        server.kill_connections();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        assert_eq!(end.await, None);
        let why = tunnel.ended().await;
        assert!(why.to_string().contains("closed the connection") || why.to_string().contains("lost"), "{why}");
        assert!(tunnel.exec("true").await.unwrap_err().to_string().contains("machine \"dev\""));
    });
}

#[test]
fn a_tunnel_at_rest_notices_that_its_connection_is_lost() {
    for listens in [false, true] {
        let server = Server::start();
        run(async {
            let tunnel = tunnel(&server);
            let incoming = if listens { Some(tunnel.listen(0).await.unwrap()) } else { None };
            // Something was carried before, as a rule.
            tunnel.exec("true").await.unwrap().ended().await;
            server.kill_connections();
            let soon = tokio::time::timeout(Duration::from_secs(10), tunnel.ended()).await;
            assert!(soon.is_ok(), "listening: {listens}");
            assert!(tunnel.has_ended());
            drop(incoming);
        });
    }
}

#[test]
fn the_session_ends_with_its_last_handle() {
    let server = Server::start();
    let stream = run(async {
        let tunnel = tunnel(&server);
        tunnel.exec("cat").await.unwrap()
    });
    server.wait_for_connections_to_end();
    drop(stream);
}

#[test]
fn commands_come_to_their_end_while_connections_come_and_go() {
    let server = Server::start();
    run(async {
        let tunnel = tunnel(&server);
        let mut incoming = tunnel.listen(0).await.unwrap();
        let port = incoming.port;
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = ended.clone();
        let client = std::thread::spawn(move || {
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                for round in 0..20_u8 {
                    stream.write_all(&[round; 100]).unwrap();
                    let mut back = [0; 100];
                    stream.read_exact(&mut back).unwrap();
                    assert_eq!(back, [round; 100]);
                }
            }
        });
        let serving = tokio::spawn(async move {
            while let Some(stream) = incoming.next().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        for number in 0..30 {
            let (mut stream, end) = tunnel.exec("exec sh -s").await.unwrap().into_parts();
            stream.write_all(format!("echo {number}; echo err >&2; exit 3\n").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            let end = end.await.unwrap_or_else(|| panic!("the end of {number} is not told"));
            assert_eq!((end.status, end.stderr.as_str()), (ExitStatus::Code(3), "err"));
            assert_eq!(said, format!("{number}\n"));
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        tokio::task::spawn_blocking(|| client.join().unwrap()).await.unwrap();
        serving.abort();
    });
}
