use std::net::TcpListener;
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};

use machine_core::{Code, SshTarget};
use machine_ssh::{ConnectFailure, KeyPair, Session};

use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_right_keys_on_both_sides_make_a_session() {
    let server = Server::start_logging();
    let mut session = Session::connect(&server.target(), LIMIT).unwrap();
    assert_eq!(session.exec("echo hello", LIMIT).unwrap().stdout, b"hello\n");
    drop(session);
    server.wait_for_connections_to_end();
    // The control of the next test: this is what a login looks like in the log.
    assert!(server.log().contains("userauth-request"), "{}", server.log());
}

#[test]
fn another_host_key_is_refused_before_the_server_hears_of_a_user() {
    let server = Server::start_logging();
    let pinned = KeyPair::generate("another").unwrap().public_openssh;
    let mut target = server.target();
    let real: machine_ssh::HostKey = target.host_key.parse().unwrap();
    target.host_key = pinned.clone();
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::HostKey);
    assert_eq!(refused.error.code(), Code::HostKey);
    let message = refused.error.to_string();
    let pinned: machine_ssh::HostKey = pinned.parse().unwrap();
    for part in ["\"dev\"", &target.address.to_string(), &pinned.fingerprint(), &real.fingerprint()] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(refused.error.hints().iter().any(|hint| hint.contains("machine rm dev")), "{refused:?}");
    assert!(!refused.failure.is_not_yet());
    server.wait_for_connections_to_end();
    assert!(!server.log().contains("userauth"), "{}", server.log());
}

#[test]
fn a_host_key_of_another_type_is_refused_and_named() {
    let server = Server::start();
    let path = server.path("ecdsa");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ecdsa", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    let mut target = server.target();
    target.host_key = std::fs::read_to_string(path.with_extension("pub")).unwrap().trim_end().to_owned();
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::HostKey);
    let message = refused.error.to_string();
    assert!(message.contains("pinned: ecdsa-sha2-nistp256 SHA256:"), "{message}");
    assert!(message.contains("got: ssh-ed25519 SHA256:"), "{message}");
}

#[test]
fn a_key_that_the_server_does_not_know_is_a_refused_login_and_not_a_reason_to_wait() {
    let server = Server::start();
    let mut target = server.target();
    target.key = server.path("stranger");
    KeyPair::generate("stranger").unwrap().save(&target.key).unwrap();
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::Login, "{refused:?}");
    assert!(!refused.failure.is_not_yet());
}

#[test]
fn a_missing_private_key_names_its_file() {
    let server = Server::start();
    let mut target = server.target();
    target.key = server.path("absent");
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::Local);
    assert!(refused.error.to_string().contains("absent"), "{refused}");
}

#[test]
fn a_port_where_nothing_listens_is_not_yet() {
    let server = Server::start();
    let mut target = server.target();
    target.address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::Refused, "{refused:?}");
    assert!(refused.failure.is_not_yet());
}

#[test]
fn a_server_that_accepts_and_says_nothing_ends_within_the_limit() {
    let server = Server::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = server.target();
    target.address = silent.local_addr().unwrap();
    let began = Instant::now();
    let refused = Session::connect(&target, Duration::from_millis(400)).unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(400) && began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert_eq!((refused.failure, refused.error.code()), (ConnectFailure::TimedOut, Code::TimedOut), "{refused:?}");
    assert!(refused.error.to_string().contains("SSH banner"), "{refused}");
    assert!(refused.failure.is_not_yet());
}

#[test]
fn a_server_that_closes_at_once_is_not_yet() {
    let server = Server::start_after(1);
    let refused = Session::connect(&server.target(), LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::Closed, "{refused:?}");
    assert!(refused.failure.is_not_yet());
}

#[test]
fn a_server_that_speaks_another_protocol_never_makes_a_session() {
    use std::io::Write;
    let server = Server::start();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = server.target();
    target.address = other.local_addr().unwrap();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        stream
    });
    let refused = Session::connect(&target, LIMIT).unwrap_err();
    assert_eq!(refused.failure, ConnectFailure::Protocol, "{refused:?}");
    assert!(refused.error.to_string().contains("HTTP/1.1 400"), "{refused}");
    drop(answer);
}

#[test]
fn waiting_for_a_booting_machine_tries_again_until_it_is_up() {
    let server = Server::start_after(3);
    let mut heard = Vec::new();
    let mut session = Session::connect_when_up(&server.target(), LIMIT, |error| {
        heard.push(error.failure);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(heard, [ConnectFailure::Closed; 3]);
    assert_eq!(server.turned_away(), 3);
    assert!(session.exec("true", LIMIT).unwrap().status.success());
}

#[test]
fn waiting_ends_when_the_caller_says_so_and_at_once_for_what_time_does_not_cure() {
    let server = Server::start_after(2);
    let mut attempts = 0;
    let stopped = Session::connect_when_up(&server.target(), LIMIT, |_| {
        attempts += 1;
        ControlFlow::Break(())
    });
    assert_eq!((stopped.unwrap_err().failure, attempts), (ConnectFailure::Closed, 1));

    let server = Server::start();
    let mut target = server.target();
    target.host_key = KeyPair::generate("another").unwrap().public_openssh;
    let refused = Session::connect_when_up(&target, LIMIT, |_| panic!("it must not wait for another host key"));
    assert_eq!(refused.unwrap_err().failure, ConnectFailure::HostKey);
}

#[test]
fn the_key_that_a_server_shows_can_be_pinned_and_nothing_listening_has_none() {
    let server = Server::start();
    let target = server.target();
    let shown = Session::shown_host_key(target.address, LIMIT).unwrap();
    assert!(target.host_key.starts_with(&shown.to_string()), "{shown} of {}", target.host_key);
    Session::connect(&SshTarget { host_key: shown.to_string(), ..target }, LIMIT).unwrap();
    let nobody = Session::shown_host_key("127.0.0.1:9".parse().unwrap(), LIMIT).unwrap_err();
    assert_eq!(nobody.failure, ConnectFailure::Refused);
}
