#![cfg(unix)]

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use super::super::folder::Access;
use super::client::*;

fn folder() -> (tempfile::TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::of(dir.path(), Access::ReadWrite);
    (dir, client)
}

fn attributes(client: &mut Client, path: &str) -> (u64, (u32, u32), u32, (u32, u32)) {
    match client.ask(LSTAT, &[text(path)]) {
        Reply::Attributes { size, owner, mode, times } => (size, owner, mode, times),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn files_come_and_go_and_are_the_same_on_both_sides() {
    let (dir, mut client) = folder();
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    client.write("/s/large", &large);
    assert!(fs::read(dir.path().join("large")).unwrap() == large);
    assert!(client.read("/s/large") == large);
    let handle = client.open("/s/large", "rw", 0);
    client.done(WRITE, &[text(&handle), Long(1_000_000_000), text(b"far")]);
    assert_eq!(attributes(&mut client, "/s/large").0, 1_000_000_003);
    client.done(EXTENDED, &[text("fsync@openssh.com"), text(&handle)]);
    client.done(FSETSTAT, &[text(&handle), Word(1), Long(3)]);
    client.done(CLOSE, &[text(&handle)]);
    assert_eq!(client.read("/s/large"), large[..3]);
    client.done(SETSTAT, &[text("/s/large"), Word(1), Long(1)]);
    assert_eq!(fs::read(dir.path().join("large")).unwrap(), large[..1]);
    client.done(REMOVE, &[text("/s/large")]);
    assert_eq!(client.refused(LSTAT, &[text("/s/large")]), 2);
}

#[test]
fn appended_bytes_land_at_the_end_wherever_the_other_side_thinks_that_is() {
    let (dir, mut client) = folder();
    client.write("/s/log", b"one\n");
    let handle = client.open("/s/log", "wac", 0o644);
    fs::write(dir.path().join("log"), b"one\ntwo\n").unwrap();
    client.done(WRITE, &[text(&handle), Long(4), text(b"three\n")]);
    assert_eq!(client.read("/s/log"), b"one\ntwo\nthree\n");
}

#[test]
fn exclusive_creation_is_refused_for_what_is_there_and_truncation_empties() {
    let (dir, mut client) = folder();
    client.write("/s/lock", b"mine");
    assert_eq!(client.refused(OPEN, &[text("/s/lock"), Word(flags("wcx")), Word(4), Word(0o600)]), 4);
    let handle = client.open("/s/lock", "wct", 0o600);
    client.done(CLOSE, &[text(&handle)]);
    assert_eq!(fs::read(dir.path().join("lock")).unwrap(), b"");
    assert_eq!(client.refused(OPEN, &[text("/s/nothing"), Word(flags("w")), Word(0)]), 2);
}

#[test]
fn a_rename_replaces_when_the_other_side_says_so() {
    let (dir, mut client) = folder();
    client.write("/s/new", b"new");
    client.write("/s/old", b"old");
    assert_eq!(client.refused(RENAME, &[text("/s/new"), text("/s/old")]), 4);
    client.done(EXTENDED, &[text("posix-rename@openssh.com"), text("/s/new"), text("/s/old")]);
    assert_eq!(fs::read(dir.path().join("old")).unwrap(), b"new");
    assert_eq!(client.names("/s"), [".", "..", "old"]);
    client.done(RENAME, &[text("/s/old"), text("/s/again")]);
    client.done(MKDIR, &[text("/s/full"), Word(0)]);
    client.write("/s/full/x", b"");
    client.done(MKDIR, &[text("/s/empty"), Word(0)]);
    client.refused(EXTENDED, &[text("posix-rename@openssh.com"), text("/s/empty"), text("/s/full")]);
    assert_eq!(client.refused(RMDIR, &[text("/s/full")]), 4, "what sshfs takes for: not empty");
    client.done(EXTENDED, &[text("posix-rename@openssh.com"), text("/s/full"), text("/s/empty")]);
}

#[test]
fn links_are_shown_and_made_as_they_are() {
    let (dir, mut client) = folder();
    for target in ["../outside", "/etc/passwd", "dangling", "a b/ü"] {
        client.done(SYMLINK, &[text(target), text("/s/link")]);
        assert_eq!(fs::read_link(dir.path().join("link")).unwrap().to_str(), Some(target));
        assert_eq!(client.ask(READLINK, &[text("/s/link")]), Reply::Names(vec![target.as_bytes().to_vec()]));
        assert_eq!(attributes(&mut client, "/s/link").2 & 0o170_000, 0o120_000);
        // Times of the link, not of what it points to.
        client.done(SETSTAT, &[text("/s/link"), Word(8), Word(1000), Word(2000)]);
        assert_eq!(attributes(&mut client, "/s/link").3, (1000, 2000));
        client.done(REMOVE, &[text("/s/link")]);
    }
    fs::write(dir.path().join("file"), b"x").unwrap();
    client.done(EXTENDED, &[text("hardlink@openssh.com"), text("/s/file"), text("/s/other")]);
    assert_eq!(fs::metadata(dir.path().join("file")).unwrap().nlink(), 2);
}

#[test]
fn permissions_and_times_are_kept_but_nobody_is_given_this_computers_user() {
    let (dir, mut client) = folder();
    let handle = client.open("/s/run", "wc", 0o777);
    client.done(CLOSE, &[text(&handle)]);
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("run"), 0o777, "as was said, whatever the umask here");
    client.done(SETSTAT, &[text("/s/run"), Word(4), Word(0o104_755)]);
    assert_eq!(mode("run"), 0o755, "no set-user-id");
    client.done(MKDIR, &[text("/s/sticky"), Word(4), Word(0o1777)]);
    assert_eq!(mode("sticky"), 0o1777);
    client.done(SETSTAT, &[text("/s/run"), Word(8), Word(1_600_000_000), Word(1_500_000_000)]);
    let (_, _, mode, times) = attributes(&mut client, "/s/run");
    assert_eq!((mode, times), (0o100_755, (1_600_000_000, 1_500_000_000)));
}

#[test]
fn owners_are_this_computers_and_others_are_pretended_for_whoever_asks() {
    let (dir, mut client) = folder();
    client.done(MKDIR, &[text("/s/data"), Word(4), Word(0o700)]);
    let metadata = fs::metadata(dir.path().join("data")).unwrap();
    let real = (metadata.uid(), metadata.gid());
    assert_eq!(attributes(&mut client, "/s/data").1, real);
    client.done(SETSTAT, &[text("/s/data"), Word(2), Word(999), Word(998)]);
    assert_eq!(attributes(&mut client, "/s/data").1, (999, 998));
    // What is made in it looks like that too, and stays so when it moves.
    client.write("/s/data/table", b"rows");
    client.done(EXTENDED, &[text("posix-rename@openssh.com"), text("/s/data/table"), text("/s/table")]);
    assert_eq!(attributes(&mut client, "/s/table").1, (999, 998));
    // One of the two may be left as it is.
    client.done(SETSTAT, &[text("/s/table"), Word(2), Word(u32::MAX), Word(5)]);
    assert_eq!(attributes(&mut client, "/s/table").1, (999, 5));
    client.done(REMOVE, &[text("/s/table")]);
    client.write("/s/fresh", b"");
    assert_eq!(attributes(&mut client, "/s/fresh").1, real);
    let metadata = fs::metadata(dir.path().join("data")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), real);
}

#[test]
fn folders_of_any_size_are_listed_whole_with_any_names() {
    let (dir, mut client) = folder();
    for number in 0..1000 {
        fs::write(dir.path().join(format!("{number:0>250}")), b"").unwrap();
    }
    let odd = std::ffi::OsStr::from_bytes(b"not \xff utf-8");
    fs::write(dir.path().join(odd), b"odd").unwrap();
    fs::write(dir.path().join("grüße 日本"), b"hello").unwrap();
    let Reply::Handle(handle) = client.ask(OPENDIR, &[text("/s")]) else { panic!() };
    let mut names = Vec::new();
    loop {
        let raw = client.raw(READDIR, &[text(&handle)]);
        assert!(raw.len() < 128 * 1024, "what sshfs takes: {}", raw.len());
        match client.ask(READDIR, &[text(&handle)]) {
            Reply::Names(more) => names.extend(more),
            Reply::Status(1, _) => break,
            other => panic!("{other:?}"),
        }
        // The raw answer had others.
        let count = u32::from_be_bytes(raw[9..13].try_into().unwrap());
        names.extend((0..count).map(|_| Vec::new()));
    }
    assert_eq!(names.len(), 1000 + 2 + 2);
    assert_eq!(client.read("/s/grüße 日本"), b"hello");
    assert_eq!(client.raw(LSTAT, &[text(b"/s/not \xff utf-8")])[4], 105);
}

#[test]
fn a_pipe_or_device_of_this_computer_is_shown_and_not_opened() {
    let (dir, mut client) = folder();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(attributes(&mut client, "/s/pipe").2 & 0o170_000, 0o010_000);
    // Neither waits for the other end.
    for how in ["r", "w", "rw"] {
        client.refused(OPEN, &[text("/s/pipe"), Word(flags(how)), Word(0)]);
    }
    symlink("/dev/zero", dir.path().join("zero")).unwrap();
    client.refused(OPEN, &[text("/s/zero"), Word(flags("r")), Word(0)]);
}

#[test]
fn the_folder_itself_and_its_neighbours_are_out_of_reach() {
    let (dir, mut client) = folder();
    let other = tempfile::tempdir().unwrap();
    let second = Client::of(other.path(), Access::ReadWrite);
    client.exports().add("t".into(), second.folder);
    client.write("/s/file", b"x");
    assert_eq!(client.refused(RMDIR, &[text("/s")]), 3);
    assert_eq!(client.refused(RENAME, &[text("/s"), text("/s/x")]), 3);
    assert_eq!(client.refused(RENAME, &[text("/s/file"), text("/t/file")]), 4);
    assert_eq!(client.refused(EXTENDED, &[text("hardlink@openssh.com"), text("/s/file"), text("/t/file")]), 4);
    for path in ["", "/", "/u", "/S", "relative"] {
        assert_eq!(client.refused(LSTAT, &[text(path)]), 2, "{path:?}");
    }
    client.exports().remove("s");
    assert_eq!(client.refused(LSTAT, &[text("/s")]), 2);
    assert!(dir.path().join("file").exists());
}

#[test]
fn space_is_told_and_what_is_not_known_is_said_to_be_so() {
    let (_dir, mut client) = folder();
    let Reply::Other(raw) = client.ask(EXTENDED, &[text("statvfs@openssh.com"), text("/s")]) else { panic!() };
    assert_eq!((raw[4], raw.len()), (201, 4 + 1 + 4 + 11 * 8));
    let field = |index: usize| u64::from_be_bytes(raw[9 + 8 * index..17 + 8 * index].try_into().unwrap());
    assert!(field(2) >= field(3) && field(3) >= field(4) && field(4) > 0, "blocks: all, free, available");
    assert_eq!(client.refused(EXTENDED, &[text("no-such@extension")]), 8);
    assert_eq!(client.refused(READ, &[text("no handle"), Long(0), Word(1)]), 4);
    assert_eq!(client.refused(FSTAT, &[text(b"\0\0\0\x63")]), 4);
}
