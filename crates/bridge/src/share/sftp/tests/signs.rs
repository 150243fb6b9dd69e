#![cfg(unix)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::super::folder::{Access, Folder};
use super::super::signs::{AWAY, SIGN};
use super::client::*;

fn folder(events: bool) -> (tempfile::TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::of(dir.path(), Access::ReadWrite);
    let folder = Arc::new(Folder::open(dir.path(), Access::ReadWrite).unwrap().with_events(events));
    client.exports().add("s".into(), Arc::clone(&folder));
    client.folder = folder;
    (dir, client)
}

#[test]
fn a_sign_is_answered_as_done_and_leaves_the_times_as_they_are() {
    for events in [true, false] {
        let (dir, mut client) = folder(events);
        fs::write(dir.path().join("file"), "x").unwrap();
        let times = |path: &Path| {
            let at = path.metadata().unwrap();
            (at.atime(), at.atime_nsec(), at.mtime(), at.mtime_nsec())
        };
        let before = times(&dir.path().join("file"));
        client.done(SETSTAT, &[text("/s/file"), Word(8), Word(0), Word(SIGN)]);
        let handle = client.open("/s/file", "r", 0);
        client.done(FSETSTAT, &[text(&handle), Word(8), Word(0), Word(SIGN)]);
        assert_eq!(times(&dir.path().join("file")), before);
        client.done(SETSTAT, &[text("/s/file"), Word(8), Word(5), Word(SIGN + 1)]);
        assert_eq!(times(&dir.path().join("file")), (5, 0, i64::from(SIGN) + 1, 0));
    }
}

#[test]
fn what_is_gone_can_be_moved_away_and_what_is_there_stays() {
    let (dir, mut client) = folder(true);
    let away = format!("/s/{AWAY}/1.0/gone");
    assert_eq!(client.refused(LSTAT, &[text("/s/gone")]), 2);
    client.folder.seems_there(Path::new("gone"));
    assert!(matches!(client.ask(LSTAT, &[text("/s/gone")]), Reply::Attributes { size: 0, mode: 0o100_600, .. }));
    for folder in [AWAY, &format!("{AWAY}/1.0")] {
        let shown = client.ask(LSTAT, &[text(format!("/s/{folder}"))]);
        assert!(matches!(shown, Reply::Attributes { mode: 0o040_700, .. }), "{folder}");
    }
    assert_eq!(client.refused(LSTAT, &[text(&away)]), 2);
    client.done(EXTENDED, &[text("posix-rename@openssh.com"), text("/s/gone"), text(&away)]);
    assert_eq!(client.refused(LSTAT, &[text("/s/gone")]), 2, "it seems to be there no longer");

    // It has come back meanwhile, or a move comes that nobody asked for.
    fs::write(dir.path().join("back"), "precious").unwrap();
    client.folder.seems_there(Path::new("back"));
    assert!(matches!(client.ask(LSTAT, &[text("/s/back")]), Reply::Attributes { size: 8, .. }));
    for kind in [RENAME, EXTENDED] {
        let mut fields = vec![text("/s/back"), text(&away)];
        if kind == EXTENDED {
            fields.insert(0, text("posix-rename@openssh.com"));
        }
        client.done(kind, &fields);
        assert_eq!(fs::read_to_string(dir.path().join("back")).unwrap(), "precious");
    }
    assert_eq!(client.names("/s"), [".", "..", "back"]);
}

#[test]
fn nothing_seems_to_be_there_without_events() {
    let (_dir, mut client) = folder(false);
    client.folder.seems_there(Path::new("gone"));
    assert_eq!(client.refused(LSTAT, &[text("/s/gone")]), 2);
    assert_eq!(client.refused(LSTAT, &[text(format!("/s/{AWAY}"))]), 2);
}

#[test]
fn what_the_guest_changes_is_known_to_be_its_own() {
    let (dir, mut client) = folder(true);
    fs::write(dir.path().join("old"), "x").unwrap();
    let own = |client: &Client, place: &str| client.folder.is_change_of_guest(Path::new(place));
    assert!(!own(&client, "old"));
    let handle = client.open("/s/old", "rw", 0);
    assert!(!own(&client, "old"), "to open it changes nothing");
    client.done(WRITE, &[text(&handle), Long(0), text("y")]);
    client.done(MKDIR, &[text("/s/d"), Word(0)]);
    client.write("/s/d/new", b"x");
    client.done(RENAME, &[text("/s/d/new"), text("/s/moved")]);
    client.done(SYMLINK, &[text("x"), text("/s/link")]);
    client.done(REMOVE, &[text("/s/link")]);
    for place in ["old", "d", "d/new", "moved", "link", ""] {
        assert!(own(&client, place), "{place:?}");
    }
    assert!(!own(&client, "other"));
}
