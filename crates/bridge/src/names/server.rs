//! The name server: on this computer's loopback, where QEMU's user network lets the guest reach it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::question::{Asked, Found, Plan, plan};
use super::{nameservers, system, upstream};

/// How many queries are looked up at once; more wait.
const AT_ONCE: usize = 64;
/// How many may wait: what comes beyond is not answered, and the guest asks again.
const WAITING: usize = 1024;
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(20);
/// How often a port is tried that is free for both protocols.
const TRIES: usize = 16;
/// How long to wait when a socket has trouble.
const PAUSE: Duration = Duration::from_millis(200);

/// Where answers come from.
#[derive(Clone)]
pub(crate) struct Names {
    look_up: Arc<dyn Fn(&str) -> Found + Send + Sync>,
    nameservers: Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>,
}

impl Names {
    /// From this computer's system.
    pub(crate) fn of_this_computer() -> Self {
        Self { look_up: Arc::new(system::look_up), nameservers: Arc::new(nameservers::nameservers) }
    }
}

/// The sockets of a name server; it serves when it is told to.
#[derive(Debug)]
pub(crate) struct NameServer {
    datagrams: UdpSocket,
    streams: TcpListener,
    port: u16,
}

impl NameServer {
    /// Takes a port of loopback for both protocols.
    ///
    /// # Errors
    /// When none can be had.
    pub(crate) async fn bind() -> Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            match Self::bind_both().await {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        let last = last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        Err(Error::other("no port of 127.0.0.1 can be had for names")).context(|| last.to_string())
    }

    async fn bind_both() -> io::Result<Self> {
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = datagrams.local_addr()?.port();
        let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self { datagrams, streams, port })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Answers for ever.
    pub(crate) async fn serve(self, names: Names) {
        let work = Arc::new(Work { names, room: Semaphore::new(AT_ONCE) });
        let datagrams = Arc::new(self.datagrams);
        let mut tasks = JoinSet::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            tokio::select! {
                received = datagrams.recv_from(&mut buffer) => match received {
                    Ok((count, from)) if tasks.len() < WAITING => {
                        let (work, socket, query) = (Arc::clone(&work), Arc::clone(&datagrams), buffer[..count].to_vec());
                        tasks.spawn(async move {
                            if let Some(answer) = work.answer(&query, true).await {
                                // It asks again if it does not arrive.
                                let _ = socket.send_to(&answer, from).await;
                            }
                        });
                    }
                    Ok(_) => {}
                    // Windows reports here that an earlier answer did not arrive (WSAECONNRESET).
                    Err(error) => {
                        tracing::debug!(%error, "a query was not received");
                        sleep(Duration::from_millis(1)).await;
                    }
                },
                accepted = self.streams.accept() => match accepted {
                    Ok((stream, _)) if tasks.len() < WAITING => drop(tasks.spawn(converse(stream, Arc::clone(&work)))),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a client of the name server");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

async fn converse(mut stream: TcpStream, work: Arc<Work>) {
    while let Ok(Ok(query)) = timeout(SILENCE, upstream::read_message(&mut stream)).await {
        let Some(answer) = work.answer(&query, false).await else { return };
        if !matches!(timeout(SILENCE, upstream::write_message(&mut stream, &answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}

struct Work {
    names: Names,
    room: Semaphore,
}

impl Work {
    async fn answer(&self, query: &[u8], datagram: bool) -> Option<Vec<u8>> {
        match plan(query, datagram) {
            Plan::Answer(answer) => Some(answer),
            Plan::LookUp(asked) => {
                let _room = self.room.acquire().await.ok()?;
                let found = self.look_up(&asked).await;
                asked.answer(&found)
            }
            Plan::Forward(asked) => {
                let _room = self.room.acquire().await.ok()?;
                let servers = (self.names.nameservers)();
                match upstream::ask(&servers, query, datagram).await {
                    Some(answer) => Some(answer),
                    None => asked.answer(&Found::Failed),
                }
            }
            Plan::Ignore => None,
        }
    }

    async fn look_up(&self, asked: &Asked) -> Found {
        let name = asked.name();
        // The root, and what no hosts file and no server of addresses knows.
        if name.is_empty() || name.contains('\\') {
            return Found::NoName;
        }
        let look_up = Arc::clone(&self.names.look_up);
        tokio::task::spawn_blocking(move || look_up(&name)).await.unwrap_or(Found::Failed)
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, Query, ResponseCode};
    use hickory_proto::rr::rdata::{A, TXT};
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = id;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    async fn by_datagram(port: u16, query: &[u8]) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", port)).await.unwrap();
        socket.send(query).await.unwrap();
        let mut buffer = [0; 4096];
        let count = timeout(Duration::from_secs(20), socket.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..count]).unwrap()
    }

    async fn by_stream(port: u16, queries: &[Vec<u8>]) -> Vec<Message> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut answers = Vec::new();
        for query in queries {
            upstream::write_message(&mut stream, query).await.unwrap();
            let answer = timeout(Duration::from_secs(20), upstream::read_message(&mut stream)).await.unwrap().unwrap();
            answers.push(Message::from_vec(&answer).unwrap());
        }
        answers
    }

    async fn start(names: Names) -> u16 {
        let server = NameServer::bind().await.unwrap();
        let port = server.port();
        tokio::spawn(server.serve(names));
        port
    }

    fn hosts(name: &str) -> Found {
        match name {
            "a.example" => Found::Addresses(vec![Ipv4Addr::new(192, 0, 2, 7)]),
            "slow.example" => {
                std::thread::sleep(Duration::from_millis(300));
                Found::Failed
            }
            _ => Found::NoName,
        }
    }

    fn names(nameservers: Vec<SocketAddr>) -> Names {
        Names { look_up: Arc::new(hosts), nameservers: Arc::new(move || nameservers.clone()) }
    }

    #[tokio::test]
    async fn names_are_answered_over_datagrams_and_streams() {
        let port = start(names(Vec::new())).await;
        let answer = by_datagram(port, &query(1, "a.example.", RecordType::A)).await;
        assert_eq!(answer.answers[0].data, RData::A(A(Ipv4Addr::new(192, 0, 2, 7))));
        let both = [query(2, "A.Example.", RecordType::A), query(3, "b.example.", RecordType::A)];
        let answers = by_stream(port, &both).await;
        assert_eq!((answers[0].metadata.id, answers[0].answers.len()), (2, 1));
        assert_eq!((answers[1].metadata.id, answers[1].metadata.response_code), (3, ResponseCode::NXDomain));
        let unreached = by_datagram(port, &query(4, "a.example.", RecordType::TXT)).await;
        assert_eq!(unreached.metadata.response_code, ResponseCode::ServFail);
    }

    #[tokio::test]
    async fn a_slow_name_does_not_hold_up_another() {
        let port = start(names(Vec::new())).await;
        let slow = tokio::spawn(async move { by_datagram(port, &query(1, "slow.example.", RecordType::A)).await });
        tokio::task::yield_now().await;
        by_datagram(port, &query(2, "a.example.", RecordType::A)).await;
        assert!(!slow.is_finished());
        assert_eq!(slow.await.unwrap().metadata.response_code, ResponseCode::ServFail);
    }

    #[tokio::test]
    async fn other_types_are_asked_of_the_next_server_that_answers() {
        let text = RData::TXT(TXT::new(vec!["hello".to_owned()]));
        let record = Record::from_rdata(Name::from_ascii("a.example.").unwrap(), 60, text.clone());
        let upstream_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let upstream_address = upstream_socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (count, from) = upstream_socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = Message::from_vec(&buffer[..count]).unwrap().into_response();
            answer.add_answer(record);
            // What was not asked for comes first.
            upstream_socket.send_to(&[0; 40], from).await.unwrap();
            upstream_socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        });
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let port = start(names(vec![nobody, upstream_address])).await;
        let answer = by_datagram(port, &query(0x1234, "a.example.", RecordType::TXT)).await;
        assert_eq!((answer.metadata.id, &answer.answers[0].data), (0x1234, &text));
    }
}
