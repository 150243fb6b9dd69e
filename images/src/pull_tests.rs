use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use machine_core::{Code, EventKind};
use sha2::Sha512;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::checksum_file::Checksum;
use crate::test_disk::{QCOW2_SIZE, qcow2};
use crate::{Arch, SeedKind};

/// What the server does with one request for the disk.
#[derive(Clone)]
enum Answer {
    /// Head lines behind the status line, then a body; the connection ends after it.
    Reply { status: &'static str, head: String, body: Vec<u8> },
    /// As a reply, but nothing more comes and the connection stays open.
    Stall { head: String, body: Vec<u8> },
}

struct Server {
    address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves `sums` under `/SUMS`, and for every other request the next of `answers`.
async fn serve(sums: String, answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, answers) = (requests.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(one(stream, sums.clone(), answers.clone(), seen.clone()));
        }
    });
    Server { address, requests }
}

async fn one(
    mut stream: TcpStream,
    sums: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    let answer = if request.starts_with("get /sums ") {
        reply("200 OK", &[], sums.into_bytes())
    } else {
        seen.lock().unwrap().push(request);
        answers.lock().unwrap().pop_front().unwrap_or_else(|| reply("404 Not Found", &[], Vec::new()))
    };
    let (status, head, body, stall) = match answer {
        Answer::Reply { status, head, body } => (status, head, body, false),
        Answer::Stall { head, body } => ("200 OK", head, body, true),
    };
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{head}\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.flush().await;
    if stall {
        std::future::pending::<()>().await;
    }
}

fn reply(status: &'static str, head: &[&str], body: Vec<u8>) -> Answer {
    let mut lines = format!("content-length: {}\r\n", body.len());
    for line in head {
        lines.push_str(&format!("{line}\r\n"));
    }
    Answer::Reply { status, head: lines, body }
}

/// The first half of `disk`, cut off although all of it was promised.
fn cut_off(disk: &[u8], head: &str) -> Answer {
    let head = format!("content-length: {}\r\n{head}\r\n", disk.len());
    Answer::Reply { status: "200 OK", head, body: disk[..disk.len() / 2].to_vec() }
}

fn rest(disk: &[u8], from: usize) -> Answer {
    let range = format!("content-range: bytes {from}-{}/{}", disk.len() - 1, disk.len());
    reply("206 Partial Content", &["etag: \"v1\"", &range], disk[from..].to_vec())
}

fn sums(disk: &[u8]) -> String {
    format!("{}  disk.img\n", hex(&Sha512::digest(disk)))
}

fn entry(server: &Server) -> CatalogEntry {
    CatalogEntry {
        name: "debian-13".into(),
        title: "a test".into(),
        arch: Arch::Amd64,
        url: format!("http://{}/disk.img", server.address),
        checksum_url: format!("http://{}/SUMS", server.address),
        checksum: Checksum::Sha512,
        seed: SeedKind::NoCloud,
        user: "debian".into(),
        kernel: Some("6.12".into()),
    }
}

fn patience() -> Patience {
    Patience { stall: Duration::from_millis(400), pause: Duration::from_millis(5), attempts: 2 }
}

struct Place {
    folder: tempfile::TempDir,
    store: ImageStore,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(folder.path().into()).unwrap();
    Place { folder, store }
}

impl Place {
    async fn pull(&self, server: &Server) -> Result<Image> {
        self.store.pull(&entry(server), &patience(), &Reporter::silent(), &Cancel::new()).await
    }

    fn parts(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join(".incoming/downloads")) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".part")).collect()
    }
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    let range = |request: &String| request.lines().find_map(|line| line.strip_prefix("range: ").map(str::to_owned));
    server.requests.lock().unwrap().iter().map(range).collect()
}

#[tokio::test]
async fn a_complete_download_becomes_an_image_and_is_not_downloaded_again() {
    let disk = qcow2(1);
    let server = serve(sums(&disk), vec![reply("200 OK", &[], disk.clone())]).await;
    let place = place();
    let image = place.pull(&server).await.unwrap();
    assert_eq!(fs::read(&image.disk).unwrap(), disk);
    assert_eq!((image.name.as_str(), image.digest), ("debian-13", hex(&Sha256::digest(&disk))));
    assert_eq!((image.kernel_version.as_deref(), image.virtual_size), (Some("6.12"), 8 << 30));
    assert!(place.parts().is_empty());
    assert_eq!(place.pull(&server).await.unwrap().disk, image.disk);
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_download_that_was_cut_off_is_carried_on_where_it_ended() {
    let disk = qcow2(2);
    let half = disk.len() / 2;
    let server = serve(sums(&disk), vec![cut_off(&disk, "etag: \"v1\""), rest(&disk, half)]).await;
    let place = place();
    let image = place.pull(&server).await.unwrap();
    assert_eq!(fs::read(image.disk).unwrap(), disk);
    assert_eq!(ranges(&server), [None, Some(format!("bytes={half}-"))]);
    assert!(server.requests.lock().unwrap()[1].contains("if-range: \"v1\""));
}

#[tokio::test]
async fn what_an_earlier_process_downloaded_is_checked_and_carried_on() {
    let disk = qcow2(3);
    let half = disk.len() / 2;
    let last_modified = "last-modified: Sat, 22 Nov 2025 10:00:00 GMT";
    let failing = || reply("500 Oops", &[], Vec::new());
    let server = serve(sums(&disk), vec![cut_off(&disk, last_modified), failing(), failing(), rest(&disk, half)]).await;
    let place = place();
    let error = place.pull(&server).await.unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    assert_eq!(place.parts().len(), 1);

    let again = ImageStore::open(place.folder.path().into()).unwrap();
    let image = again.pull(&entry(&server), &patience(), &Reporter::silent(), &Cancel::new()).await.unwrap();
    assert_eq!(fs::read(image.disk).unwrap(), disk);
    assert_eq!(ranges(&server).last().unwrap().as_deref(), Some(format!("bytes={half}-").as_str()));
    assert!(place.parts().is_empty());
}

#[tokio::test]
async fn a_server_without_ranges_and_one_with_a_newer_file_begin_anew() {
    let (old, disk) = (qcow2(4), qcow2(5));
    for tag in ["etag: \"v1\"", "x-no: tag"] {
        let server =
            serve(sums(&disk), vec![cut_off(&old, tag), reply("200 OK", &["etag: \"v2\""], disk.clone())]).await;
        let image = place().pull(&server).await.unwrap();
        assert_eq!(image.digest, hex(&Sha256::digest(&disk)), "{tag}");
    }
    // A range that the new file does not have.
    let gone = reply("416 Range Not Satisfiable", &["content-range: bytes */7"], Vec::new());
    let server =
        serve(sums(&disk), vec![cut_off(&old, "etag: \"v1\""), gone, reply("200 OK", &[], disk.clone())]).await;
    place().pull(&server).await.unwrap();
    assert_eq!(ranges(&server)[2], None);
}

#[tokio::test]
async fn a_wrong_digest_is_named_with_both_and_nothing_is_kept() {
    let (disk, other) = (qcow2(6), qcow2(7));
    let server = serve(sums(&disk), vec![reply("200 OK", &["etag: \"v1\""], other.clone())]).await;
    let place = place();
    let error = place.pull(&server).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("expected sha512 {}", hex(&Sha512::digest(&disk)))), "{text}");
    assert!(
        text.contains(&format!("got {}", hex(&Sha512::digest(&other)))) && text.contains("nothing was kept"),
        "{text}"
    );
    assert!(error.hints().iter().any(|hint| hint.contains("machine image build")), "{error:?}");
    assert!(place.parts().is_empty() && place.store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_web_page_instead_of_the_image_is_called_one() {
    let page = b"<!DOCTYPE html><title>Please log in</title>".to_vec();
    for head in ["content-type: text/html; charset=utf-8", "content-type: application/octet-stream"] {
        let server = serve(sums(&qcow2(1)), vec![reply("200 OK", &[head], page.clone())]).await;
        let place = place();
        let error = place.pull(&server).await.unwrap_err();
        assert!(error.to_string().contains("a web page"), "{error}");
        assert!(place.store.list().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_absent_file_is_not_asked_for_twice_and_a_silent_server_is_given_up() {
    let server = serve(sums(&qcow2(1)), vec![]).await;
    let error = place().pull(&server).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.to_string().contains("404"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("machine image build")));
    assert_eq!(server.requests.lock().unwrap().len(), 1);

    let disk = qcow2(1);
    let head = format!("content-length: {QCOW2_SIZE}\r\n");
    let stall = Answer::Stall { head, body: disk[..100].to_vec() };
    let server = serve(sums(&disk), vec![stall.clone(), stall.clone(), stall]).await;
    let error = place().pull(&server).await.unwrap_err();
    assert_eq!(error.code(), Code::TimedOut, "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_with_a_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { address: listener.local_addr().unwrap(), requests: Arc::default() };
    drop(listener);
    let warnings = Arc::new(Mutex::new(0));
    let counted = warnings.clone();
    let reporter = Reporter::new(move |event| {
        if matches!(event, EventKind::Message { .. }) {
            *counted.lock().unwrap() += 1;
        }
    });
    let error = place().store.pull(&entry(&server), &patience(), &reporter, &Cancel::new()).await.unwrap_err();
    assert!(error.to_string().contains("cannot pull image debian-13 for amd64: cannot download http://"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("machine image build")));
    assert_eq!(*warnings.lock().unwrap(), patience().attempts);
}

#[tokio::test]
async fn a_checksum_file_that_is_none_or_lacks_the_image_stops_before_any_download() {
    for (text, why) in [
        ("<html>not here</html>".to_owned(), "line 1 of the checksum file"),
        (sums(b"x").replace("disk.img", "other.img"), "no digest of disk.img"),
        ("x".repeat(LARGEST_CHECKSUM_FILE + 1), "larger than"),
    ] {
        let server = serve(text, vec![]).await;
        let error = place().pull(&server).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(server.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_image_with_a_backing_file_is_refused_whatever_its_vendor_published() {
    let mut disk = qcow2(1);
    disk[15] = 104;
    disk[19] = 9;
    let server = serve(sums(&disk), vec![reply("200 OK", &[], disk)]).await;
    let place = place();
    let error = place.pull(&server).await.unwrap_err();
    assert!(error.to_string().contains("backing file") && error.to_string().contains("nothing was kept"), "{error}");
    assert!(place.parts().is_empty() && place.store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirection_away_from_this_computer_without_tls_is_not_followed() {
    let away = reply("302 Found", &["location: http://a.invalid/disk.img"], Vec::new());
    let server = serve(sums(&qcow2(1)), vec![away]).await;
    let error = place().pull(&server).await.unwrap_err();
    assert!(error.to_string().contains("not https"), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_interrupted_download_says_so_and_is_carried_on_later() {
    let disk = qcow2(8);
    let half = disk.len() / 2;
    let head = format!("content-length: {QCOW2_SIZE}\r\netag: \"v1\"\r\n");
    let stall = Answer::Stall { head, body: disk[..half].to_vec() };
    let server = serve(sums(&disk), vec![stall, rest(&disk, half)]).await;
    let place = place();
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let reporter = Reporter::new(move |event| {
        if matches!(event, EventKind::Progress { done, .. } if done == half as u64) {
            asked.cancel();
        }
    });
    let patience = Patience { stall: Duration::from_secs(20), ..patience() };
    let error = place.store.pull(&entry(&server), &patience, &reporter, &cancel).await.unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    assert_eq!(place.parts().len(), 1);
    let image = place.pull(&server).await.unwrap();
    assert_eq!(fs::read(image.disk).unwrap(), disk);
    assert_eq!(ranges(&server)[1].as_deref(), Some(format!("bytes={half}-").as_str()));
}

#[tokio::test]
async fn two_pulls_at_once_download_once_and_the_second_says_that_it_waits() {
    let disk = qcow2(9);
    let server = serve(sums(&disk), vec![reply("200 OK", &[], disk.clone())]).await;
    let place = place();
    let url = entry(&server).url;
    let part = place.store.incoming.downloads().unwrap().join(format!("{}.part", hex(&Sha256::digest(url.as_bytes()))));
    let elsewhere = open_lock(&part.with_extension("lock")).unwrap();
    elsewhere.lock().unwrap();
    let elsewhere = Mutex::new(Some(elsewhere));
    let reporter = Reporter::new(move |event| {
        if matches!(event, EventKind::Stage(stage) if stage.id == "wait") {
            elsewhere.lock().unwrap().take();
        }
    });
    let silent = Reporter::silent();
    let (entry, patience, cancel) = (entry(&server), patience(), Cancel::new());
    let (first, second) = tokio::join!(
        place.store.pull(&entry, &patience, &reporter, &cancel),
        place.store.pull(&entry, &patience, &silent, &cancel)
    );
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}
