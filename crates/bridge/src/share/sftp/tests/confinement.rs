//! Nothing outside the folder is read or written, whatever is asked for and whatever links lie about.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::folder::Access;
use super::client::*;

const SECRET: &[u8] = b"THE-SECRET-OUTSIDE";

/// A folder full of traps, and what lies beside it.
fn scene() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("outside");
    let shared = root.path().join("shared");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::create_dir_all(shared.join("dir/sub")).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    fs::write(outside.join("deep/secret"), SECRET).unwrap();
    fs::write(shared.join("file"), b"inside").unwrap();
    fs::write(shared.join("dir/file"), b"inside").unwrap();
    symlink("../outside", shared.join("up")).unwrap();
    symlink(&outside, shared.join("absolute")).unwrap();
    symlink("../../outside/secret", shared.join("dir/secret")).unwrap();
    symlink("up", shared.join("twice")).unwrap();
    symlink("dir/../../outside", shared.join("around")).unwrap();
    symlink("/", shared.join("dir/root")).unwrap();
    symlink("/proc/self/root", shared.join("proc")).unwrap();
    (root, shared)
}

/// Everything outside: names, kinds, modes, times of change and contents.
fn outside(root: &Path) -> BTreeMap<PathBuf, (u32, Option<std::time::SystemTime>, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if metadata.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| !path.ends_with("shared")),
            );
        }
        let modified = (path != root).then(|| metadata.modified().unwrap());
        seen.insert(path, (metadata.permissions().mode(), modified, content));
    }
    seen
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop_oneof![
            Just("dir"), Just("file"), Just("sub"), Just("up"), Just("absolute"), Just("secret"), Just("twice"), Just("around"),
            Just("root"), Just("proc"), Just("deep"), Just("new"), Just("outside"), Just("tmp"),
        ],
        2 => prop_oneof![Just(".."), Just("."), Just(""), Just("..."), Just("a\0b")],
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| format!("/s/{}", parts.join("/")))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("../outside".to_owned()),
        Just("../../outside/secret".to_owned()),
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just("file".to_owned()),
        Just("up/secret".to_owned()),
        Just("/proc/self/cwd".to_owned()),
        path(),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Write(String, u32),
    Read(String),
    List(String),
    Status(String),
    Change(String, u32),
    Two(u8, String, String),
    Extended(&'static str, String, String),
    One(u8, String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (path(), 0..64_u32).prop_map(|(path, flags)| Step::Write(path, flags)),
        path().prop_map(Step::Read),
        path().prop_map(Step::List),
        path().prop_map(Step::Status),
        (path(), 0..16_u32).prop_map(|(path, flags)| Step::Change(path, flags)),
        (target(), path()).prop_map(|(target, path)| Step::Two(SYMLINK, target, path)),
        (path(), path()).prop_map(|(from, to)| Step::Two(RENAME, from, to)),
        (path(), path()).prop_map(|(from, to)| Step::Extended("posix-rename@openssh.com", from, to)),
        (path(), path()).prop_map(|(from, to)| Step::Extended("hardlink@openssh.com", from, to)),
        path().prop_map(|path| Step::Extended("statvfs@openssh.com", path, String::new())),
        (prop_oneof![Just(REMOVE), Just(RMDIR), Just(READLINK), Just(STAT)], path())
            .prop_map(|(kind, path)| Step::One(kind, path)),
        path().prop_map(|path| Step::One(MKDIR, path)),
    ]
}

/// Does a step; returns every byte that was said.
fn walk(client: &mut Client, step: &Step) -> Vec<u8> {
    let with_handle = |client: &mut Client, answer: Vec<u8>, next: &dyn Fn(&mut Client, &[u8]) -> Vec<u8>| {
        let mut said = answer.clone();
        if answer[4] == 102 {
            let handle = answer[13..].to_vec();
            said.extend(next(client, &handle));
            said.extend(client.raw(CLOSE, &[text(&handle)]));
        }
        said
    };
    match step {
        Step::Write(path, flags) => {
            let answer = client.raw(OPEN, &[text(path), Word(*flags), Word(4), Word(0o600)]);
            with_handle(client, answer, &|client, handle| {
                let mut said = client.raw(WRITE, &[text(handle), Long(3), text(b"written")]);
                said.extend(client.raw(FSETSTAT, &[text(handle), Word(4 | 8), Word(0o640), Word(5), Word(6)]));
                said.extend(client.raw(READ, &[text(handle), Long(0), Word(100)]));
                said
            })
        }
        Step::Read(path) => {
            let answer = client.raw(OPEN, &[text(path), Word(1), Word(0)]);
            with_handle(client, answer, &|client, handle| client.raw(READ, &[text(handle), Long(0), Word(100)]))
        }
        Step::List(path) => {
            let answer = client.raw(OPENDIR, &[text(path)]);
            with_handle(client, answer, &|client, handle| client.raw(READDIR, &[text(handle)]))
        }
        Step::Status(path) => [client.raw(LSTAT, &[text(path)]), client.raw(STAT, &[text(path)])].concat(),
        Step::Change(path, flags) => {
            let mut fields = vec![text(path), Word(*flags)];
            for (flag, field) in
                [(1, vec![Long(2)]), (2, vec![Word(0), Word(0)]), (4, vec![Word(0o777)]), (8, vec![Word(1), Word(2)])]
            {
                if flags & flag != 0 {
                    fields.extend(field);
                }
            }
            client.raw(SETSTAT, &fields)
        }
        Step::Two(kind, one, two) => client.raw(*kind, &[text(one), text(two)]),
        Step::Extended(name, one, two) => client.raw(EXTENDED, &[text(name), text(one), text(two)]),
        Step::One(MKDIR, path) => client.raw(MKDIR, &[text(path), Word(4), Word(0o755)]),
        Step::One(kind, path) => client.raw(*kind, &[text(path)]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_for_nothing_outside_is_read_or_written(steps in proptest::collection::vec(step(), 1..40)) {
        let (root, shared) = scene();
        let before = outside(root.path());
        let mut client = Client::of(&shared, Access::ReadWrite);
        for step in &steps {
            let said = walk(&mut client, step);
            prop_assert!(!said.windows(SECRET.len()).any(|window| window == SECRET), "{:?} reads the secret", step);
        }
        prop_assert_eq!(outside(root.path()), before);
        prop_assert!(shared.is_dir());
    }

    #[test]
    fn a_folder_shared_for_reading_stays_as_it_is(steps in proptest::collection::vec(step(), 1..40)) {
        let (_root, shared) = scene();
        let before = outside(&shared);
        let mut client = Client::of(&shared, Access::Read);
        for step in &steps {
            walk(&mut client, step);
        }
        prop_assert_eq!(outside(&shared), before);
    }
}

#[test]
fn a_folder_that_becomes_a_link_at_that_very_moment_leads_nowhere() {
    let (root, shared) = scene();
    // A process of this computer, or another request of the machine, swaps a folder and a link to the outside all the time.
    fs::create_dir(shared.join("swap")).unwrap();
    fs::write(shared.join("swap/secret"), b"inside").unwrap();
    symlink("../outside", shared.join("trap")).unwrap();
    let before = outside(root.path());
    let ended = AtomicBool::new(false);
    let mut client = Client::of(&shared, Access::ReadWrite);
    let (mut inside, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                fs::rename(shared.join("swap"), shared.join("hold")).unwrap();
                fs::rename(shared.join("trap"), shared.join("swap")).unwrap();
                fs::rename(shared.join("swap"), shared.join("trap")).unwrap();
                fs::rename(shared.join("hold"), shared.join("swap")).unwrap();
            }
        });
        let steps = [
            Step::Read("/s/swap/secret".into()),
            Step::Write("/s/swap/secret".into(), flags("rw")),
            Step::Write("/s/swap/new".into(), flags("rwc")),
            Step::Change("/s/swap/secret".into(), 15),
            Step::List("/s/swap".into()),
            Step::One(REMOVE, "/s/swap/new".into()),
            Step::Two(SYMLINK, "/etc/passwd".into(), "/s/swap/link".into()),
            Step::One(REMOVE, "/s/swap/link".into()),
            Step::Extended("posix-rename@openssh.com", "/s/swap/secret".into(), "/s/swap/moved".into()),
            Step::Extended("posix-rename@openssh.com", "/s/swap/moved".into(), "/s/swap/secret".into()),
            Step::One(MKDIR, "/s/swap/folder".into()),
            Step::One(RMDIR, "/s/swap/folder".into()),
        ];
        let began = Instant::now();
        for round in 0.. {
            // A busy computer may let one side wait for long.
            let enough = round >= 20_000 && inside > 100 && refused > 100;
            if enough || began.elapsed() > Duration::from_secs(60) {
                break;
            }
            let said = walk(&mut client, &steps[round % steps.len()]);
            assert!(!said.windows(SECRET.len()).any(|window| window == SECRET), "round {round}");
            if said[4] == 101 && said[12] != 0 { refused += 1 } else { inside += 1 }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(outside(root.path()), before);
    assert!(inside > 100 && refused > 100, "both happened: {inside} {refused}");
}
