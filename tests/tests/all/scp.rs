//! `scp`, with a real sshd and the tools of a real distribution behind it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::{PlayedHost, Scene, until};

/// A machine `host` that one can log in to, and a second one where there are two.
struct Copies {
    host: PlayedHost,
    scene: Scene,
}

impl Copies {
    fn new() -> Self {
        let scene = Scene::new();
        let host = Self::host(&scene, "host");
        Self { host, scene }
    }

    fn host(scene: &Scene, name: &str) -> PlayedHost {
        let host = PlayedHost::debian();
        host.has_gnu_tools();
        // It has no engine that answers, and one can log in to it.
        scene.machine(host.adoption(name)).exits(1);
        fs::create_dir(host.root("srv")).unwrap();
        host
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.scene.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

#[track_caller]
fn is(path: &Path, text: &str, mode: u32) {
    assert_eq!(fs::read_to_string(path).unwrap(), text);
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, mode, "{}", path.display());
}

#[test]
fn a_file_goes_there_and_comes_back_with_its_permissions_and_whatever_its_name() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    copies.file("it's a $HOME `file`:1", "text\n", 0o751);
    scene.machine(["scp", "./it's a $HOME `file`:1", "host:/srv"]).ok().prints_nothing();
    is(&host.root("srv/it's a $HOME `file`:1"), "text\n", 0o751);
    scene.machine(["scp", "host:/srv/it's a $HOME `file`:1", "back"]).ok().prints_nothing();
    is(&scene.path("back"), "text\n", 0o751);

    copies.file("newer", "newer", 0o600);
    symlink("back", scene.path("link")).unwrap();
    scene.machine(["scp", "-q", "newer", "host:/srv/x"]).ok();
    let run = scene.run("-q scp host:/srv/x link");
    run.ok();
    assert_eq!(run.stderr, "", "nothing is said when nothing is to be said");
    is(&scene.path("back"), "newer", 0o751);
    scene.run("scp host:/srv/x new").ok();
    is(&scene.path("new"), "newer", 0o600);
    fs::set_permissions(host.root("srv/x"), fs::Permissions::from_mode(0o777)).unwrap();
    scene.run("scp host:/srv/x new").ok();
    is(&scene.path("new"), "newer", 0o600);
    scene.run("scp host:/srv/x newest").ok();
    is(&scene.path("newest"), "newer", 0o755);
    scene.run("scp newest host:/srv/x").ok();
    is(&host.root("srv/x"), "newer", 0o777);
    assert!(scene.path("link").is_symlink());
    scene.run("scp localhost:newer host:/srv/y").ok().says("Copying to host:/srv/y");
    is(&host.root("srv/y"), "newer", 0o600);
    scene.run("scp host:/srv/y /dev/null").ok();
}

#[test]
fn a_folder_goes_with_r_and_is_put_into_one_that_is_there() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    fs::create_dir_all(scene.path("tree/empty")).unwrap();
    copies.file("tree/run", "#!", 0o755);
    symlink("run", scene.path("tree/link")).unwrap();
    scene
        .run("scp tree host:/srv")
        .exits(2)
        .prints_nothing()
        .fails_clearly()
        .says("tree is a folder")
        .says("-r copies");
    scene.run("scp -r tree host:/srv").ok();
    is(&host.root("srv/tree/run"), "#!", 0o755);
    assert_eq!(fs::read_link(host.root("srv/tree/link")).unwrap(), Path::new("run"));
    assert!(host.root("srv/tree/empty").is_dir());
    scene.run("scp -r tree host:/srv/other").ok();
    is(&host.root("srv/other/run"), "#!", 0o755);
    fs::write(host.root("srv/tree/more"), "more").unwrap();
    scene.run("scp host:/srv/tree .").exits(2).says("host:/srv/tree is a folder");
    scene.run("scp -r host:/srv/tree back").ok();
    is(&scene.path("back/run"), "#!", 0o755);
    scene.run("scp -r host:/srv/tree back").ok();
    assert!(scene.path("back/tree/more").is_file());
}

#[test]
fn between_two_machines_all_goes_through_this_computer() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    let other = Copies::host(scene, "other");
    fs::create_dir_all(host.root("srv/tree/a b")).unwrap();
    fs::write(host.root("srv/tree/a b/f"), vec![b'x'; 3_000_000]).unwrap();
    fs::write(host.root("srv/one"), "one").unwrap();
    fs::set_permissions(host.root("srv/one"), fs::Permissions::from_mode(0o640)).unwrap();
    let run = scene.run("scp host:/srv/one other:/srv");
    run.ok().prints_nothing().says("Copying host:/srv/one to other:/srv/one, through this computer");
    is(&other.root("srv/one"), "one", 0o640);
    scene.run("scp host:/srv/tree other:/srv").exits(2).says("-r copies folders");
    for _ in 0..2 {
        scene.run("scp -r host:/srv/tree other:/srv").ok();
        assert_eq!(fs::read(other.root("srv/tree/a b/f")).unwrap().len(), 3_000_000);
    }
    let names: Vec<_> = fs::read_dir(other.root("srv/tree")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a b"], "nothing else is left there");

    // A source that fails half-way leaves what the target had.
    fs::write(host.root("srv/one"), vec![b'y'; 2_000_000]).unwrap();
    host.play_program("cat", "busybox head -c 1000000 \"$2\"; exit 1");
    scene.run("scp host:/srv/one other:/srv").exits(1).fails_clearly();
    host.unplay_program("cat");
    is(&other.root("srv/one"), "one", 0o640);
    host.play_program("tar", "/play/real-tar \"$@\"; exit 2");
    fs::write(host.root("srv/tree/new"), "").unwrap();
    scene.run("scp -r host:/srv/tree other:/srv").exits(1).fails_clearly().says("cannot read /srv/tree");
    let left: Vec<_> = fs::read_dir(other.root("srv/tree")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a b"], "neither half of it nor what was on its way");
}

#[test]
fn a_copy_that_is_cut_leaves_the_old_file_whole() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    fs::write(host.root("srv/big"), "old").unwrap();
    fs::write(scene.path("big"), vec![b'x'; 4_000_000]).unwrap();
    host.play_program("cat", "busybox head -c 1000000; : >/play/at-it; busybox sleep 60");
    let sending = scene.command(["scp", "big", "host:/srv/big"]).limit(Duration::from_secs(60)).start();
    let at_it = host.root("play/at-it");
    until("the copy to begin", Duration::from_secs(30), || at_it.exists().then_some(()));
    host.cut_connections();
    sending.finish().exits(1).fails_clearly();
    assert_eq!(fs::read_to_string(host.root("srv/big")).unwrap(), "old");

    fs::remove_file(&at_it).unwrap();
    fs::write(host.root("srv/other"), vec![b'y'; 100]).unwrap();
    let fetching = scene.command(["scp", "host:/srv/other", "big"]).limit(Duration::from_secs(60)).start();
    until("the copy to begin", Duration::from_secs(30), || at_it.exists().then_some(()));
    host.cut_connections();
    fetching.finish().exits(1).fails_clearly();
    assert_eq!(fs::metadata(scene.path("big")).unwrap().len(), 4_000_000);
    let hidden = fs::read_dir(scene.path("."))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".big"));
    assert_eq!(hidden.count(), 0, "nothing half-done is left here");
}

#[test]
fn words_that_mean_nothing_and_what_is_not_there_are_told() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    copies.file("f", "f", 0o644);
    for (line, code, what) in [
        ("scp", 2, "Improper number of arguments"),
        ("scp f", 2, "Improper number of arguments"),
        ("scp f host:/srv g", 2, "Improper number of arguments"),
        ("scp f g", 2, "neither names a machine"),
        ("scp f nobody:/srv", 1, "Docker machine \"nobody\" does not exist"),
        ("scp nobody:x .", 1, "is said as ./a:b"),
        ("scp gone host:/srv", 1, "gone: there is no such file or folder"),
        ("scp host:/srv/gone .", 1, "host:/srv/gone: there is no such file or folder in the machine"),
        ("scp host:/srv/*.txt .", 1, "a pattern is not looked at here"),
        ("scp f host:/srv/none/f", 1, "there is no such folder in the machine"),
        ("scp f host:/srv/none/", 1, "there is no such folder in the machine"),
        ("scp host:/srv none/srv -r", 1, "there is no such folder"),
        ("scp f nobody-here@host:/srv/f", 1, "refuses user \"nobody-here\""),
        ("scp --delta host:/srv host:/tmp", 2, "rsync copies nothing from one machine to another"),
    ] {
        scene.run(line).exits(code).prints_nothing().fails_clearly().says(what);
    }
    fs::create_dir(host.root("srv/f")).unwrap();
    scene.run("scp f host:/srv").exits(1).says("host:/srv/f is a folder: a file does not take its place");
    scene.run("scp -r . host:/srv").exits(2).says("holds the machines themselves, with their keys");
    scene.machine(["scp", "f", "host:"]).ok();
}

#[test]
fn delta_is_rsync_with_the_pinned_key_and_says_what_is_missing() {
    let copies = Copies::new();
    let (scene, host) = (&copies.scene, &copies.host);
    fs::create_dir(scene.path("tree")).unwrap();
    copies.file("tree/a b", "text", 0o640);
    let empty = scene.path("nothing");
    fs::create_dir(&empty).unwrap();
    let without = scene.command(["scp", "--delta", "tree", "host:/srv"]).env("PATH", &empty).run();
    without.exits(1).prints_nothing().fails_clearly().says("--delta needs `rsync` on this computer");
    // Where there is one, and the machine has none.
    machine_tests::find_program("rsync");
    scene
        .run("scp --delta -r tree host:/srv")
        .exits(1)
        .fails_clearly()
        .says("--delta needs `rsync` in machine \"host\" too");
    host.has_program("rsync");
    scene.run("scp -d -r tree host:/srv").ok().prints_nothing();
    is(&host.root("srv/tree/a b"), "text", 0o640);
    scene.run("scp -q -d host:/srv/tree/ back -r").ok().prints_nothing();
    is(&scene.path("back/a b"), "text", 0o640);
    host.change_host_key();
    scene.run("scp -d -r tree host:/srv").exits(1).fails_clearly().says("host key");
}
