//! Folders of this computer in containers, for real.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::{Run, Scene, until};
use serde_json::Value;

use crate::vm_events::Heard;
use crate::vm_life::{BOOT, docker, import_busybox, slowly};

/// Runs a line of a container's shell with the shared folder as its working folder.
#[track_caller]
pub fn inside(scene: &Scene, folder: &str, line: &str) -> Run {
    let line = line.replace('\'', r"'\''");
    docker(scene, "dev", &format!("docker run --rm -v {folder}:/src -w /src box sh -c '{line}'"))
}

pub fn shares(scene: &Scene) -> Value {
    scene.run("share ls --format json dev").ok().json()
}

/// Waits until every shared folder is mounted.
#[track_caller]
pub fn mounted(scene: &Scene) {
    until("the folders to be mounted", BOOT, || {
        let shares = shares(scene);
        let folders = shares["folders"].as_array().unwrap();
        folders.iter().all(|folder| folder["state"]["is"] == "mounted").then_some(())
    });
}

/// `sync`, with the tools of our own image.
fn is_copied_where_that_is_too_slow(scene: &Scene) {
    let tree = scene.path("tree");
    fs::create_dir_all(tree.join("d")).unwrap();
    (0..300).for_each(|n| fs::write(tree.join(format!("d/file {n}")), format!("{n}\n")).unwrap());
    fs::write(tree.join("large"), "0123456789abcdef".repeat(300_000)).unwrap();
    symlink("d/file 1", tree.join("link")).unwrap();
    let sync = || scene.command(["sync", "--two-way", "tree", "dev:work/tree"]).limit(BOOT).run();
    sync().ok().says("303 sent (4.6 MiB)");
    sync().ok().says("nothing to copy");
    scene.run("ssh dev -- cd work/tree && test -f large -a -L link && echo more >d/new && echo changed >'d/file 7' && rm large").ok();
    sync().ok().says("2 received").says("1 removed here");
    assert_eq!(fs::read_to_string(tree.join("d/new")).unwrap(), "more\n");
    assert_eq!(fs::read_to_string(tree.join("d/file 7")).unwrap(), "changed\n");
    sync().ok().says("nothing to copy");
}

/// The folders of a test: a project that a machine may change, and one that it may only read.
pub struct Folders {
    pub project: PathBuf,
    pub docs: PathBuf,
}

impl Folders {
    /// Makes them, and beside them a file that no machine may get.
    pub fn new(scene: &Scene) -> Self {
        let folders = Self { project: scene.path("a project"), docs: scene.path("docs") };
        fs::create_dir(&folders.project).unwrap();
        fs::create_dir(&folders.docs).unwrap();
        fs::write(folders.project.join("hello"), "from here\n").unwrap();
        fs::write(folders.docs.join("page"), "read me\n").unwrap();
        fs::write(scene.path("secret"), "SECRET").unwrap();
        folders
    }

    /// Creates `dev` with them, and with what `more` asks for.
    pub fn create<'a>(&'a self, scene: &Scene, more: impl IntoIterator<Item = &'a str>) -> Run {
        let docs = format!("{}:/docs:ro", self.docs.display());
        let words = ["create", "--cpus", "2", "--memory", "1g", "--share", self.guest(), "--share", &docs];
        scene.command(words).args(more).args(["dev"]).limit(BOOT).run()
    }

    /// Where the project is seen in the machine.
    pub fn guest(&self) -> &str {
        self.project.to_str().unwrap()
    }
}

#[test]
fn vm_containers_work_in_folders_of_this_computer() {
    let scene = Scene::real();
    let folders = Folders::new(&scene);
    let heard = Heard::new(&scene);
    let [told, quiet] = heard.shares();
    folders.create(&scene, ["--share", &told, "--share", &quiet]).ok();
    let (folder, project) = (folders.guest(), &folders.project);
    let quoted = format!("\"{folder}\"");
    import_busybox(&scene, "dev");

    // It is there when `create` has ended.
    assert_eq!(inside(&scene, &quoted, "cat hello").ok().text(), "from here\n");
    let listed = shares(&scene);
    assert_eq!(listed["folders"][0]["guest"], folder, "{listed}");
    assert!(scene.run("share ls dev").ok().text().contains("/docs"));
    assert_eq!((listed["folders"][0]["by"].as_str(), listed["folders"][0]["note"].as_str()), (Some("sftp"), None));

    is_copied_where_that_is_too_slow(&scene);
    works_like_a_folder(&scene, project, &quoted);
    keeps_out_what_is_not_shared(&scene, project, &quoted, &folders.docs);
    pretends_owners_for_databases(&scene, project, &quoted);
    heard.is_told(&scene);
    comes_back(&scene, project, &quoted, &heard);
    changes_while_it_runs(&scene, &quoted);
    heard.is_told_of_both(&scene);

    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
    assert_eq!(fs::read_to_string(project.join("hello")).unwrap(), "from here\n");
}

/// What a folder can do, whatever carries it.
pub fn works_like_a_folder(scene: &Scene, project: &Path, quoted: &str) {
    let script = "mkdir -p deep/er && echo one >deep/er/file && mv deep/er/file deep/moved && echo two >replaced && mv deep/moved replaced \
                  && ln -s ../secret link && ln replaced hard && printf '#!/bin/sh\necho ran\n' >run && chmod 755 run && ./run \
                  && echo ü >'grüße 日本' && touch -d '2020-01-02 03:04:05' replaced && chmod 600 hard && rm -r deep \
                  && dd if=/dev/zero of=large bs=1M count=24 2>/dev/null && cat replaced && printf '%s\\n' *";
    let run = inside(scene, quoted, script);
    assert_eq!(
        run.ok().text().lines().collect::<Vec<_>>(),
        ["ran", "one", "grüße 日本", "hard", "hello", "large", "link", "replaced", "run"]
    );
    let at = |name: &str| fs::symlink_metadata(project.join(name)).unwrap();
    assert_eq!(fs::read_link(project.join("link")).unwrap().to_str(), Some("../secret"));
    assert_eq!((at("run").permissions().mode() & 0o777, at("replaced").permissions().mode() & 0o777), (0o755, 0o600));
    assert_eq!((at("replaced").nlink(), at("large").len()), (2, 24 << 20));
    assert_eq!(at("replaced").mtime(), 1_577_934_245);
    assert_eq!(fs::read_to_string(project.join("grüße 日本")).unwrap(), "ü\n");

    // What changes here is seen there, at once when it is opened and within seconds when it is listed.
    let watching = docker(scene, "dev", &format!("docker run -d --name watcher -v {quoted}:/src box sleep 1000"));
    watching.ok();
    fs::write(project.join("hello"), "changed here\n").unwrap();
    fs::write(project.join("new"), "new here\n").unwrap();
    until("a change to be seen", Duration::from_secs(30), || {
        let run = docker(scene, "dev", "docker exec watcher cat /src/hello /src/new");
        (run.stdout == b"changed here\nnew here\n").then_some(())
    });
    fs::write(project.join("hello"), "from here\n").unwrap();
    fs::remove_file(project.join("new")).unwrap();

    for number in 0..300 {
        fs::write(project.join(format!("many-{number}")), number.to_string()).unwrap();
    }
    let run = inside(scene, quoted, "ls | grep -c many- && cat many-* | wc -c && rm many-*");
    assert_eq!(run.ok().text(), "300\n790\n");
    assert!(!project.join("many-7").exists());
}

/// What no guest gets or changes, whatever carries the folders.
pub fn keeps_out_what_is_not_shared(scene: &Scene, project: &Path, quoted: &str, docs: &Path) {
    // A link of this computer leads to what the container has there, not to what this computer has.
    symlink(scene.path("secret"), project.join("absolute")).unwrap();
    let run = inside(scene, quoted, "cat absolute link ../secret 2>&1; true");
    run.ok().does_not_say("SECRET");
    assert!(!run.text().contains("SECRET"), "{run}");
    let run = inside(scene, quoted, "readlink absolute; readlink link");
    assert_eq!(run.ok().text(), format!("{}\n../secret\n", scene.path("secret").display()));
    fs::remove_file(project.join("absolute")).unwrap();

    let run = inside(scene, "/docs", "cat page; echo x >page; echo x >more; rm page; mkdir d; chmod 777 page; true");
    assert_eq!(run.ok().text(), "read me\n");
    run.says("Read-only file system");
    assert_eq!(fs::read_dir(docs).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(docs.join("page")).unwrap(), "read me\n");

    // Docker makes an empty folder of what is not shared; the user is told.
    let other = scene.path("not-shared");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "x").unwrap();
    let run = docker(scene, "dev", &format!("docker run --rm -v {}:/x box ls -A /x", other.display()));
    assert_eq!(run.ok().text(), "");
    let warning = format!("mounts {}, which the machine does not see", other.display());
    until("the warning", Duration::from_secs(30), || scene.run("share ls dev").stderr.contains(&warning).then_some(()));
    assert!(scene.run("ls --format json").ok().text().contains(&warning));

    for (words, why) in [
        ("/", "whole computer"),
        (scene.store().to_str().unwrap(), "with their keys"),
        (scene.path("secret").to_str().unwrap(), "is a file"),
        ("no-such-folder", "no folder"),
        (&format!("{}:/etc/x", docs.display()), "belongs to the machine itself"),
    ] {
        scene.machine(["share", "add", "dev", words]).fails_clearly().says(why);
    }
}

fn pretends_owners_for_databases(scene: &Scene, project: &Path, quoted: &str) {
    let run = inside(
        scene,
        quoted,
        "mkdir -m 700 db && chown 70:70 db && echo row >db/table && stat -c %u:%g db db/table && stat -c %a db && rm -r db",
    );
    assert_eq!(run.ok().text(), "70:70\n70:70\n700\n");
    let run = docker(
        scene,
        "dev",
        &format!("docker run --rm -u 12345 -v {quoted}:/src box sh -c 'echo mine >/src/mine && cat /src/mine'"),
    );
    assert_eq!(run.ok().text(), "mine\n");
    let own = fs::metadata(project.join("mine")).unwrap();
    assert_eq!(own.uid(), fs::metadata(project).unwrap().uid(), "files belong to this computer's user");
}

fn comes_back(scene: &Scene, project: &Path, quoted: &str, heard: &Heard) {
    let reads = |scene: &Scene| docker(scene, "dev", "docker exec watcher cat /src/again");
    // The same container goes on after the supervisor was killed: its mount is not another one.
    scene.supervisor("dev").kill();
    fs::write(project.join("again"), "1").unwrap();
    scene.run("ls").ok();
    until("the folder to come back", BOOT, || (reads(scene).stdout == b"1").then_some(()));
    mounted(scene);
    heard.goes_on(scene, "after a kill");

    // So it does after the machine was suspended.
    slowly(scene, "suspend dev").ok();
    fs::write(project.join("again"), "2").unwrap();
    slowly(scene, "start dev").ok();
    until("the folder to come back", BOOT, || (reads(scene).stdout == b"2").then_some(()));

    // A container that the engine starts with the machine sees the folder too, not the empty place of it.
    docker(
        scene,
        "dev",
        &format!(
            "docker rm -f watcher && docker run -d --name watcher --restart always -v {quoted}:/src box sleep 1000"
        ),
    )
    .ok();
    slowly(scene, "restart dev").ok();
    fs::write(project.join("again"), "3").unwrap();
    until("the folder to come back", BOOT, || (reads(scene).stdout == b"3").then_some(()));
    heard.goes_on(scene, "after a boot");
    docker(scene, "dev", "docker rm -f watcher").ok();
}

fn changes_while_it_runs(scene: &Scene, quoted: &str) {
    let more = scene.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("file"), "added\n").unwrap();
    let words = format!("{}:/more", more.display());
    scene.machine(["share", "add", "dev", &words]).ok();
    assert_eq!(inside(scene, "/more", "cat file").ok().text(), "added\n");
    scene.machine(["share", "rm", "dev", "/more"]).ok();
    assert_eq!(inside(scene, "/more", "ls -A").ok().text(), "", "only the empty place is left");
    scene.machine(["share", "rm", "dev", "/more"]).fails_clearly().says("sees no folder /more");
    assert_eq!(inside(scene, quoted, "cat hello").ok().text(), "from here\n");
    assert_eq!(scene.record("dev")["spec"]["shares"].as_array().unwrap().len(), 4);
}
