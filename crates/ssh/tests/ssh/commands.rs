use std::io;
use std::time::{Duration, Instant};

use machine_core::Code;
use machine_ssh::{Account, ExitStatus, Session, Stream};

use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(120);

fn session(server: &Server) -> Session {
    Session::connect(&server.target(), LIMIT).unwrap()
}

/// Bytes without a pattern (xorshift), all values among them.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn exit_codes_and_signals_come_through_on_one_session() {
    let server = Server::start();
    let mut session = session(&server);
    for code in [0, 7, 255] {
        let output = session.exec(&format!("exit {code}"), LIMIT).unwrap();
        assert_eq!(output.status, ExitStatus::Code(code));
    }
    let output = session.exec("kill -KILL $$", LIMIT).unwrap();
    assert_eq!(output.status, ExitStatus::Signal("KILL".into()));
    let output = session.exec("exec no-such-command-here", LIMIT).unwrap();
    assert_eq!(output.status, ExitStatus::Code(127));
    assert!(output.text("cannot run it").unwrap_err().to_string().contains("no-such-command-here"));
}

#[test]
fn the_two_outputs_are_kept_apart() {
    let server = Server::start();
    let output = session(&server).exec("echo out; echo err >&2; echo out2", LIMIT).unwrap();
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\nout2\n"[..], &b"err\n"[..]));
}

#[test]
fn fifty_megabytes_go_both_ways_at_once_intact() {
    let server = Server::start();
    let sent = noise(50 << 20);
    let output = session(&server).exec_with_input("cat", &mut &sent[..], LIMIT).unwrap();
    assert!(output.status.success());
    assert!(output.stdout == sent, "{} bytes of {} came back", output.stdout.len(), sent.len());
}

#[test]
fn both_outputs_may_be_large_at_once_while_input_flows() {
    let server = Server::start();
    let sent = noise(8 << 20);
    let output = session(&server).exec_with_input("tee /dev/stderr", &mut &sent[..], LIMIT).unwrap();
    assert!(output.stdout == sent && output.stderr == sent, "{} {}", output.stdout.len(), output.stderr.len());
}

#[test]
fn a_command_that_does_not_read_its_large_input_ends_all_the_same() {
    let server = Server::start();
    let sent = noise(20 << 20);
    let output = session(&server).exec_with_input("exit 3", &mut &sent[..], LIMIT).unwrap();
    assert_eq!(output.status, ExitStatus::Code(3));
}

#[test]
fn a_command_may_close_its_output_and_read_on() {
    let server = Server::start();
    let path = server.path("read");
    let sent = noise(3 << 20);
    let command = format!("exec >&- 2>&-; cat > {}", path.display());
    let output = session(&server).exec_with_input(&command, &mut &sent[..], LIMIT).unwrap();
    assert!(output.status.success());
    assert!(std::fs::read(path).unwrap() == sent);
}

#[test]
fn output_is_handed_on_as_it_comes() {
    // The command goes on only when its first words have been heard here.
    let server = Server::start();
    let heard = server.path("heard");
    let command = format!("echo first; while [ ! -e {0} ]; do sleep 0.05; done; echo bad >&2", heard.display());
    let mut pieces = Vec::new();
    let status = session(&server)
        .exec_streaming(&command, &mut io::empty(), LIMIT, &mut |stream, bytes| {
            pieces.push((stream, bytes.to_vec()));
            std::fs::write(&heard, b"")
        })
        .unwrap();
    assert!(status.success());
    assert_eq!(pieces, [(Stream::Stdout, b"first\n".to_vec()), (Stream::Stderr, b"bad\n".to_vec())]);
}

#[test]
fn a_limit_ends_a_command_that_does_not_and_the_session_refuses_further_ones() {
    let server = Server::start();
    let mut session = session(&server);
    let began = Instant::now();
    let error = session.exec("sleep 300", Duration::from_millis(300)).unwrap_err();
    assert!(began.elapsed() < LIMIT);
    assert_eq!(error.code(), Code::TimedOut);
    assert!(error.to_string().contains("`sleep 300`"), "{error}");
    let next = session.exec("true", LIMIT).unwrap_err();
    assert!(next.to_string().contains("broken off"), "{next}");
}

#[test]
fn a_limit_holds_for_a_command_that_never_stops_talking() {
    let server = Server::start();
    let mut session = session(&server);
    let error = session.exec_streaming("yes", &mut io::empty(), Duration::from_millis(500), &mut |_, _| Ok(()));
    assert_eq!(error.unwrap_err().code(), Code::TimedOut);
}

#[test]
fn a_connection_that_ends_under_a_command_is_an_error_and_not_an_exit_code() {
    let server = Server::start();
    let mut session = session(&server);
    let error = session
        .exec_streaming("echo started; sleep 300", &mut io::empty(), LIMIT, &mut |_, _| {
            server.kill_connections();
            Ok(())
        })
        .unwrap_err();
    assert!(error.to_string().contains("closed the connection") || error.to_string().contains("was lost"), "{error}");
}

#[test]
fn files_are_copied_whole_with_their_mode_and_come_back_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let mut session = session(&server);
    let path = server.path("it's a file");
    let remote = path.to_str().unwrap();
    for bytes in [noise(3 << 20), Vec::new()] {
        session.upload(&bytes, remote, 0o640, Account::User, LIMIT).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let mut back = Vec::new();
        session.download(remote, &mut back, Account::User, LIMIT).unwrap();
        assert!(back == bytes);
    }
    let local = server.path("local");
    std::fs::write(&local, b"from a file").unwrap();
    session.upload_file(&local, remote, 0o600, Account::User, LIMIT).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"from a file");
}

#[test]
fn a_copy_that_fails_says_why_and_leaves_the_old_file() {
    let server = Server::start();
    let mut session = session(&server);
    let missing = server.path("no/such/folder/file");
    let error = session.upload(b"x", missing.to_str().unwrap(), 0o600, Account::User, LIMIT).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    let error = session.download(missing.to_str().unwrap(), &mut Vec::new(), Account::User, LIMIT).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn an_upload_cut_short_by_a_broken_connection_leaves_the_old_file() {
    let server = Server::start();
    let mut session = session(&server);
    let path = server.path("kept");
    std::fs::write(&path, b"old").unwrap();
    let sending = std::thread::scope(|scope| {
        let sending =
            scope.spawn(|| session.upload(&noise(64 << 20), path.to_str().unwrap(), 0o600, Account::User, LIMIT));
        // Once a part has arrived there, the machine's side of the connection ends.
        let arrived = || {
            let entries = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
            entries
                .filter(|entry| entry.path().extension().is_some_and(|end| end == "new"))
                .any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
        };
        while !arrived() && !sending.is_finished() {
            std::thread::yield_now();
        }
        server.kill_connections();
        sending.join().unwrap()
    });
    sending.unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}
