//! `sync`, with a real sshd and the tools of a real distribution behind it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::{PlayedHost, Run, Running, Scene, until};
use rustix::process::Signal;

/// How long anything may take on a busy computer.
const SOON: Duration = Duration::from_secs(60);

/// A machine, and a folder on each side.
struct Two {
    host: PlayedHost,
    scene: Scene,
}

impl Two {
    fn new() -> Self {
        let (host, scene) = (PlayedHost::debian(), Scene::new());
        host.has_gnu_tools();
        // It has no engine that answers, and one can log in to it.
        scene.machine(host.adoption("host")).exits(1);
        fs::create_dir(scene.path("here")).unwrap();
        fs::create_dir(host.root("srv")).unwrap();
        Self { host, scene }
    }

    fn here(&self, path: &str) -> PathBuf {
        self.scene.path("here").join(path)
    }

    fn there(&self, path: &str) -> PathBuf {
        self.host.root("srv/there").join(path)
    }

    #[track_caller]
    fn send(&self, more: &str) -> Run {
        self.scene.run(format!("sync here host:/srv/there {more}").trim_end())
    }

    #[track_caller]
    fn fetch(&self, more: &str) -> Run {
        self.scene.run(format!("sync host:/srv/there here {more}").trim_end())
    }

    #[track_caller]
    fn both(&self) -> Run {
        self.scene.run("sync --two-way here host:/srv/there")
    }

    fn start(&self, line: &str) -> Running {
        self.scene.command(line.split(' ')).limit(4 * SOON).start()
    }

    #[track_caller]
    fn are_alike(&self) {
        assert_eq!(tree(&self.here("")), tree(&self.there("")));
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that is in a folder and shall be the same in another.
fn tree(folder: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.mode() & 0o777;
            let told = if metadata.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                format!("folder {mode:o}")
            } else {
                let text = fs::read(&path).unwrap();
                let sum = text.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
                format!("file {mode:o} {} {sum} {}.{}", text.len(), metadata.mtime(), metadata.mtime_nsec())
            };
            found.insert(path.strip_prefix(folder).unwrap().as_os_str().as_bytes().to_vec(), told);
        }
    }
    found
}

/// A tree with something of everything.
fn fill(folder: &Path) {
    write(&folder.join("a/b/deep"), "deep");
    write(&folder.join("run.sh"), "#!/bin/sh\n");
    permit(&folder.join("run.sh"), 0o755);
    write(&folder.join("private/key"), "secret");
    permit(&folder.join("private/key"), 0o600);
    permit(&folder.join("private"), 0o700);
    fs::create_dir(folder.join("nothing in it")).unwrap();
    write(&folder.join("empty"), "");
    write(&folder.join("Grüße/日本語.txt"), "hello");
    write(&folder.join("-rf"), "no option");
    write(&folder.join("two\nlines"), "a name of two lines");
    write(&folder.join(OsStr::from_bytes(b"not \xff text")), "a name that is no text");
    write(&folder.join("x".repeat(200)).join("y".repeat(200)), "long names");
    write(&folder.join("large"), &"0123456789abcdef".repeat(200_000));
    symlink("a/b/deep", folder.join("link")).unwrap();
    symlink("/does/not/exist", folder.join("leads nowhere")).unwrap();
    symlink("..", folder.join("a/up")).unwrap();
    let old = fs::File::options().write(true).open(folder.join("empty")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + Duration::from_nanos(987_654_321_012_345_678)).unwrap();
}

#[test]
fn a_copy_to_a_machine_brings_everything_once() {
    let two = Two::new();
    fill(&two.here(""));
    let run = two.send("");
    run.ok().says(" sent (3.1 MiB) in ");
    two.are_alike();
    let again = two.send("--format json");
    assert_eq!(again.ok().json()["changes"], serde_json::json!([]));
    two.send("").ok().says("nothing to copy");

    // The same length at nearly the same time; permissions alone; a folder above keeps its own.
    write(&two.here("a/b/deep"), "DEEP");
    write(&two.here("private/key"), "public");
    permit(&two.here("run.sh"), 0o644);
    permit(&two.here("nothing in it"), 0o700);
    fs::remove_file(two.here("link")).unwrap();
    symlink("empty", two.here("link")).unwrap();
    let run = two.send("--format json");
    let places: Vec<_> =
        run.ok().json()["changes"].as_array().unwrap().iter().map(|change| change["place"].clone()).collect();
    assert_eq!(places, ["a/b/deep", "link", "nothing in it", "private/key", "run.sh"]);
    two.are_alike();
    assert_eq!(fs::read_dir(two.there("")).unwrap().count(), fs::read_dir(two.here("")).unwrap().count(), "leftovers");
}

#[test]
fn a_copy_from_a_machine_brings_everything_once() {
    let two = Two::new();
    fs::remove_dir(two.here("")).unwrap();
    fill(&two.there(""));
    two.fetch("").ok().says(" received (3.1 MiB) in ");
    two.are_alike();
    two.fetch("").ok().says("nothing to copy");
    write(&two.there("a/b/deep"), "DEEP");
    permit(&two.there("private"), 0o750);
    two.fetch("").ok().says("2 received");
    two.are_alike();
}

#[test]
fn what_the_source_lacks_is_removed_only_when_told_and_never_what_is_left_out() {
    let two = Two::new();
    write(&two.here("kept"), "1");
    for extra in ["extra", "d/x", "d/y/z", "cache/object", "d2/cache/object"] {
        write(&two.there(extra), "2");
    }
    two.send("").ok();
    assert_eq!(read(&two.there("d/y/z")), "2");
    let run = two.send("--delete --exclude cache/ --dry-run");
    let text =
        "remove there extra\nremove there d2\nremove there d/y/z\nremove there d/y\nremove there d/x\nremove there d\n";
    assert_eq!(run.ok().text(), text);
    assert_eq!(read(&two.there("d/y/z")), "2", "nothing was done");
    two.send("--delete --exclude cache/").ok().says("6 removed there");
    let left: Vec<_> = tree(&two.there("")).into_keys().map(|name| String::from_utf8(name).unwrap()).collect();
    assert_eq!(left, ["cache", "cache/object", "d2", "d2/cache", "d2/cache/object", "kept"]);
    two.send("--delete").ok();
    two.are_alike();

    write(&two.here("only here"), "3");
    two.fetch("").ok().says("nothing to copy");
    two.fetch("--delete").ok().says("1 removed here");
    two.are_alike();
}

#[test]
fn patterns_and_gitignore_files_say_what_is_left_out() {
    let two = Two::new();
    for (path, text) in [
        (".gitignore", "*.o\n/target\n"),
        (".git/HEAD", "ref"),
        ("a/.gitignore", "!keep.o\n"),
        ("a/keep.o", "1"),
        ("a/b.o", "2"),
        ("target/debug/x", "3"),
        ("src/target", "4"),
        ("notes.log", "5"),
    ] {
        write(&two.here(path), text);
    }
    two.send("--gitignore --exclude *.log").ok();
    let copied: Vec<_> = tree(&two.there("")).into_keys().map(|name| String::from_utf8(name).unwrap()).collect();
    let expected = [".git", ".git/HEAD", ".gitignore", "a", "a/.gitignore", "a/keep.o", "src", "src/target"];
    assert_eq!(copied, expected);
    // The machine's own files count when it is the source.
    write(&two.there("new/.gitignore"), "secret\n");
    write(&two.there("new/secret"), "6");
    write(&two.there("new/known"), "7");
    two.fetch("--gitignore").ok();
    assert!(two.here("new/known").exists() && !two.here("new/secret").exists());
    two.send("").ok();
    assert!(two.there("target/debug/x").exists(), "nothing is left out unless asked");
}

#[test]
fn a_thing_of_another_kind_is_replaced_and_a_link_is_not_followed() {
    let two = Two::new();
    let outside = two.scene.path("outside");
    write(&outside.join("x"), "mine");
    symlink(&outside, two.here("d")).unwrap();
    write(&two.there("d/x"), "theirs");
    write(&two.there("f"), "a file");
    fs::create_dir(two.here("f")).unwrap();
    write(&two.here("full/x"), "1");
    write(&two.there("full"), "a file");
    let run = two.fetch("");
    run.exits(1).says("full was not copied: a folder that is not empty has that place");
    assert_eq!((read(&outside.join("x")).as_str(), read(&two.here("d/x")).as_str()), ("mine", "theirs"));
    assert_eq!((read(&two.here("f")).as_str(), read(&two.here("full/x")).as_str()), ("a file", "1"));
    two.fetch("--delete").ok();
    two.are_alike();
}

#[test]
fn both_ways_each_side_gets_what_changed_on_the_other() {
    let two = Two::new();
    fill(&two.here(""));
    write(&two.there("theirs"), "only there");
    two.both().ok().says(" sent").says("1 received");
    two.are_alike();
    two.both().ok().says("nothing to copy");

    fs::remove_file(two.here("a/b/deep")).unwrap();
    fs::remove_dir_all(two.there("Grüße")).unwrap();
    write(&two.here("new here"), "1");
    write(&two.there("new/there"), "2");
    write(&two.there("run.sh"), "#!/bin/sh\necho changed\n");
    two.both().ok().says("1 sent").says("3 received").says("1 removed there").says("2 removed here");
    two.are_alike();
    assert!(!two.there("a/b/deep").exists() && !two.here("Grüße").exists());
    assert_eq!(read(&two.here("run.sh")), "#!/bin/sh\necho changed\n");
    two.both().ok().says("nothing to copy");
}

#[test]
fn what_changed_on_both_sides_is_kept_twice_and_told() {
    let two = Two::new();
    write(&two.here("notes.txt"), "first");
    write(&two.here("same"), "old");
    write(&two.here("d/x"), "1");
    two.both().ok();
    for (side, text) in [(two.here(""), "here"), (two.there(""), "elsewhere")] {
        write(&side.join("notes.txt"), text);
        write(&side.join("same"), "new");
    }
    // A change survives a deletion.
    write(&two.there("d/x"), "changed");
    fs::remove_dir_all(two.here("d")).unwrap();
    let run = two.both();
    run.exits(1)
        .says("notes.txt changed on both sides: the machine's is kept as notes.conflict-host-")
        .says("1 kept twice");
    let kept = |folder: PathBuf| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("notes.conflict-host-") && name.ends_with(".txt")).collect::<Vec<_>>()
    };
    assert_eq!(kept(two.here("")).len(), 1);
    assert_eq!(kept(two.here("")), kept(two.there("")));
    let aside = kept(two.here("")).remove(0);
    for side in [two.here(""), two.there("")] {
        assert_eq!((read(&side.join("notes.txt")), read(&side.join(&aside))), ("here".into(), "elsewhere".into()));
        assert_eq!((read(&side.join("d/x")), read(&side.join("same"))), ("changed".into(), "new".into()));
    }
    two.both().ok().says("nothing to copy");
}

#[test]
fn a_side_that_is_empty_all_at_once_empties_nothing() {
    let two = Two::new();
    fill(&two.here(""));
    two.both().ok();
    let before = tree(&two.here(""));
    fs::rename(two.there(""), two.host.root("srv/away")).unwrap();
    let run = two.both();
    run.exits(1)
        .fails_clearly()
        .says("host:/srv/there is empty and was not when it was last copied: nothing was removed");
    assert_eq!(tree(&two.here("")), before);
    fs::rename(two.here(""), two.scene.path("away")).unwrap();
    fs::rename(two.host.root("srv/away"), two.there("")).unwrap();
    fs::create_dir(two.here("")).unwrap();
    two.both().exits(1).fails_clearly();
    assert_eq!(tree(&two.there("")), before);
    two.fetch("").ok();
    two.both().ok().says("nothing to copy");
}

#[test]
fn a_run_that_is_killed_leaves_nothing_half_done_and_the_next_one_completes_it() {
    let two = Two::new();
    let large = "0123456789abcdef".repeat(3_000_000);
    let names: Vec<String> = (0..4).map(|n| format!("large {n}")).collect();
    names.iter().for_each(|name| write(&two.here(name), &large));
    let is_at_it = |folder: PathBuf| {
        let own = |name: &OsStr| name.as_bytes().starts_with(b".machine-sync-");
        fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| own(&entry.unwrap().file_name())))
    };
    let run = two.start("sync here host:/srv/there");
    until("the first file to arrive", SOON, || is_at_it(two.there("")).then_some(()));
    run.signal(Signal::KILL);
    run.finish();
    for name in &names {
        let there = fs::metadata(two.there(name)).map_or(large.len() as u64, |metadata| metadata.len());
        assert_eq!(there, large.len() as u64, "{name} is there in part");
    }
    two.send("").ok();
    two.are_alike();

    fs::remove_dir_all(two.here("")).unwrap();
    fs::create_dir(two.here("")).unwrap();
    let run = two.start("sync host:/srv/there here");
    until("the first file to arrive", SOON, || is_at_it(two.here("")).then_some(()));
    run.signal(Signal::KILL);
    run.finish();
    two.fetch("").ok();
    two.are_alike();
}

#[test]
fn a_connection_that_is_cut_and_a_machine_that_cannot_write_are_told() {
    let two = Two::new();
    write(&two.here("file"), "text");
    two.host.play_program("tar", ": >/play/at-it; busybox sleep 60; exit 1");
    let run = two.start("sync here host:/srv/there");
    until("the copy to begin", SOON, || two.host.root("play/at-it").exists().then_some(()));
    two.host.cut_connections();
    run.finish().exits(1).fails_clearly().says("the connection to machine \"host\" was lost").says("carries on");
    two.host.unplay_program("tar");
    two.host.play_program("tar", "echo 'tar: ./file: Cannot write: No space left on device' >&2; exit 2");
    two.send("").exits(1).fails_clearly().says("No space left on device").says("the machine's disk is full");
    two.host.unplay_program("tar");
    two.send("").ok();
    two.are_alike();
    two.host.play_program("find", "exec busybox find \"$@\"");
    two.send("").exits(1).fails_clearly().says("needs GNU find, tar, cp and xargs in the machine");
}

#[test]
fn a_machine_that_lies_writes_nothing_outside_the_folder() {
    let two = Two::new();
    let outside = two.scene.path("outside");
    write(&outside.join("file"), "mine");
    write(&two.there("file"), "theirs");
    for list in [
        r"f 644 6 1.0 ../outside/file\0\0",
        r"f 644 6 1.0 /tmp/file\0\0",
        r"l 777 6 1.0 out\0../outside\0f 644 6 1.0 out/file\0\0",
    ] {
        two.host.play_program("find", &format!("printf '{list}'"));
        for words in ["", "--delete"] {
            two.fetch(words).exits(1).fails_clearly().says("the machine's list of files is not understood");
        }
        two.both().exits(1).fails_clearly();
        two.host.unplay_program("find");
    }
    let archives = [
        ("cd /srv && printf x >other && exec /play/real-tar -c -f - other", "nobody asked for other"),
        ("cd /srv && ln -sf ../../outside/file file && exec /play/real-tar -c -f - file", "file is not a file"),
        (
            "exec /play/real-tar -c -P -f - --transform 's,.*,../outside/file,' /etc/os-release",
            "a path with `.` or `..`",
        ),
    ];
    for (tar, what) in archives {
        two.host.play_program("tar", tar);
        two.fetch("").exits(1).fails_clearly().says("what the machine sends is not what it was asked for").says(what);
        two.host.unplay_program("tar");
    }
    assert_eq!(read(&outside.join("file")), "mine");
    assert_eq!(tree(&two.here("")).len(), 0);
    two.fetch("").ok();
    assert_eq!(read(&two.here("file")), "theirs");
}

#[test]
fn words_that_mean_nothing_are_refused_before_anything_is_done() {
    let two = Two::new();
    write(&two.here("file"), "text");
    write(&two.there("file"), "text");
    let refused = |line: &str, code: i32, what: &str| {
        two.scene.run(line).exits(code).prints_nothing().fails_clearly().says(what);
    };
    refused("sync here there", 2, "neither \"here\" nor \"there\" is in a machine");
    refused("sync host:a host:b", 2, "both folders are in machines");
    two.scene.run("sync here nobody:a").exits(1).prints_nothing().says("\"nobody\" does not exist");
    refused("sync gone host:a", 1, "there is no folder");
    refused("sync here/file host:a", 2, "is a file, and `sync` copies folders");
    refused("sync host:/srv/gone here", 1, "machine \"host\" has no folder \"/srv/gone\"");
    refused("sync host:/srv/there/file here", 2, "is a file, and `sync` copies folders");
    refused("sync here host:/srv/there --exclude a{b", 2, "is not a pattern");
    refused("sync --delete here host:", 2, "the login user's home");
    refused("sync --delete here host:/", 2, "the whole machine");
    refused("sync --two-way here host:/root/..", 2, "the whole machine");
    refused("sync . host:a", 2, "holds the machines themselves, with their keys");
    refused("sync store/machines host:a", 2, "holds the machines themselves, with their keys");
    refused("sync here host:~other/a", 2, "the home of another user");
    two.scene.run("sync --two-way --delete here host:a").exits(2).says("cannot be used with");
    two.scene.run("sync here").exits(2).says("<TO>");
    two.scene.run("sync here host:a/b").ok();
    assert_eq!(read(&two.host.root("root/a/b/file")), "text", "what is relative is below the home folder");
    two.scene.run("sync here host:~/c").ok();
    assert_eq!(read(&two.host.root("root/c/file")), "text");
}

#[test]
fn watching_goes_on_with_each_change_on_both_sides_until_it_is_ended() {
    let two = Two::new();
    write(&two.here("first"), "1");
    let run = two.start("sync --two-way --watch here host:/srv/there");
    run.says("Watching ");
    assert_eq!(read(&two.there("first")), "1");
    write(&two.here("d/second"), "2");
    until("a change here to arrive there", SOON, || two.there("d/second").exists().then_some(()));
    write(&two.there("third"), "3");
    until("a change there to arrive here", SOON, || two.here("third").exists().then_some(()));
    two.both().exits(1).fails_clearly().says("are being copied by");
    fs::remove_file(two.here("first")).unwrap();
    until("a removal here to be done there", SOON, || (!two.there("first").exists()).then_some(()));
    two.host.cut_connections();
    run.says("it is tried again");
    write(&two.here("fourth"), "4");
    until("a change after the connection was lost", SOON, || two.there("fourth").exists().then_some(()));
    run.signal(Signal::INT);
    run.finish().exits(130);
    two.both().ok();
    two.are_alike();

    let run = two.start("sync --watch here host:/srv/other");
    run.says("Watching ");
    write(&two.here("fifth"), "5");
    let other = two.host.root("srv/other/fifth");
    until("a change to arrive in another folder", SOON, || other.exists().then_some(()));
    run.signal(Signal::INT);
    run.finish().exits(130);
}
