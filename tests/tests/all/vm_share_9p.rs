//! Folders of this computer by 9p, for real: the same as by SFTP, but for what `--share-type` says it costs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use machine_tests::{Scene, until};
use serde_json::Value;

use crate::vm_life::{BOOT, docker, import_busybox, slowly};
use crate::vm_share::{Folders, inside, keeps_out_what_is_not_shared, mounted, shares, works_like_a_folder};

/// What carries the folder at `guest`, and what is told of that.
pub fn carried(scene: &Scene, guest: &str) -> (String, String) {
    let listed = shares(scene);
    let row = listed["folders"].as_array().unwrap().iter().find(|row| row["guest"] == guest).unwrap().clone();
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    (text("by"), text("note"))
}

fn nine_p() -> (String, String) {
    ("9p".to_owned(), String::new())
}

fn sftp_until_the_next_start() -> (String, String) {
    ("sftp".to_owned(), "9p from the machine's next start".to_owned())
}

#[test]
fn vm_folders_by_9p_are_like_those_by_sftp_and_only_come_with_a_start() {
    let scene = Scene::real();
    let folders = Folders::new(&scene);
    let (folder, project) = (folders.guest(), &folders.project);
    let created = folders.create(&scene, ["--share-type", "9p"]);
    created.ok().says("cannot be suspended");
    assert_eq!(scene.record("dev")["spec"]["share_type"], "9p");
    let events = fs::read_to_string(scene.folder("dev").join("events.jsonl")).unwrap();
    let mut events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let beginning = events.find(|event| event["event"] == "beginning").unwrap();
    assert_eq!(beginning["how"], "boot", "{beginning}");
    assert!(beginning["because"].as_str().unwrap().contains("9p"), "{beginning}");
    let quoted = format!("\"{folder}\"");
    import_busybox(&scene, "dev");

    assert_eq!(inside(&scene, &quoted, "cat hello").ok().text(), "from here\n");
    assert_eq!((carried(&scene, folder), carried(&scene, "/docs")), (nine_p(), nine_p()));
    works_like_a_folder(&scene, project, &quoted);
    keeps_out_what_is_not_shared(&scene, project, &quoted, &folders.docs);
    leads_nowhere_outside(&scene, project, &quoted);
    shows_changes_at_once(&scene, project);
    keeps_owners_as_they_are(&scene, project, &quoted);
    is_not_suspended(&scene);
    comes_with_a_start(&scene, project, &quoted);
    does_without_the_module(&scene, &quoted);

    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
    assert_eq!(fs::read_to_string(project.join("hello")).unwrap(), "from here\n");
}

/// Folders that are links of this computer, and links that become folders: the guest has its own root, and no other.
fn leads_nowhere_outside(scene: &Scene, project: &Path, quoted: &str) {
    let outside = scene.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "SECRET").unwrap();
    symlink(&outside, project.join("away")).unwrap();
    symlink("..", project.join("up")).unwrap();
    let script =
        "cat away/file up/secret up/outside/file 2>&1; echo x >away/new; mkdir up/outside/new 2>/dev/null; true";
    let run = inside(scene, quoted, script);
    run.ok().does_not_say("SECRET");
    assert!(!run.text().contains("SECRET"), "{run}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // A folder that the guest has open and looks up by name again, while here it becomes a link.
    fs::create_dir(project.join("turns")).unwrap();
    let holds = "docker exec -d watcher sh -c 'cd /src/turns && sleep 1000' && docker exec watcher ls /src/turns";
    docker(scene, "dev", holds).ok();
    fs::remove_dir(project.join("turns")).unwrap();
    symlink(&outside, project.join("turns")).unwrap();
    let run =
        docker(scene, "dev", "docker exec watcher sh -c 'cat /src/turns/file; echo x >/src/turns/new' 2>&1; true");
    assert!(!run.ok().text().contains("SECRET"), "{run}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    for link in ["away", "up", "turns"] {
        fs::remove_file(project.join(link)).unwrap();
    }
}

fn shows_changes_at_once(scene: &Scene, project: &Path) {
    let read = |line: &str| docker(scene, "dev", &format!("docker exec watcher {line}")).ok().text().to_owned();
    for (number, size) in [1_000_000, 10, 3_000_000, 70_000].into_iter().enumerate() {
        let text = number.to_string().repeat(size);
        fs::write(project.join("live"), &text).unwrap();
        assert_eq!(read("sh -c 'wc -c </src/live; head -c 1 /src/live'"), format!("{size}\n{number}"));
        fs::write(project.join(format!("live-{number}")), "").unwrap();
        assert_eq!(read(&format!("ls /src/live-{number}")), format!("/src/live-{number}\n"));
        fs::remove_file(project.join(format!("live-{number}"))).unwrap();
        assert!(!read("ls /src").contains(&format!("live-{number}")));
    }
    fs::remove_file(project.join("live")).unwrap();
}

/// Owners are this computer's: what is made belongs to who runs QEMU, and others go by the modes.
fn keeps_owners_as_they_are(scene: &Scene, project: &Path, quoted: &str) {
    let own = fs::metadata(project).unwrap();
    let run = inside(scene, quoted, "echo mine >mine && stat -c %u mine");
    assert_eq!(run.ok().text(), format!("{}\n", own.uid()));
    let as_another = |line: &str| {
        docker(scene, "dev", &format!("docker run --rm -u 12345 -v {quoted}:/src box sh -c '{line}' 2>&1; true"))
    };
    assert!(as_another("cat /src/mine && echo x >/src/mine").ok().text().contains("mine\n"));
    assert_eq!(fs::read_to_string(project.join("mine")).unwrap(), "mine\n", "the modes say no");
    inside(scene, quoted, "mkdir -m 777 open").ok();
    assert_eq!(as_another("echo other >/src/open/file && cat /src/open/file").ok().text(), "other\n");
    assert_eq!(fs::metadata(project.join("open/file")).unwrap().uid(), own.uid());
    inside(scene, quoted, "rm -r mine open").ok();
}

fn is_not_suspended(scene: &Scene) {
    let run = slowly(scene, "suspend dev");
    run.fails_clearly().says("started with folders by 9p").says("machine stop dev");
    assert_eq!(scene.status("dev"), "Running");
    let run = docker(scene, "dev", "docker exec watcher cat /src/hello");
    assert_eq!(run.ok().text(), "from here\n", "it goes on");
    assert!(!scene.folder("dev").join("suspended.new").exists());
}

fn comes_with_a_start(scene: &Scene, project: &Path, quoted: &str) {
    // The mount is the guest's and QEMU's: no supervisor is in its way.
    scene.supervisor("dev").kill();
    let run = docker(scene, "dev", "docker exec watcher cat /src/hello");
    assert_eq!(run.ok().text(), "from here\n");
    mounted(scene);
    assert_eq!(carried(scene, "/docs"), nine_p());
    slowly(scene, "suspend dev").fails_clearly().says("started with folders by 9p");

    let (more, gone) = (scene.path("more"), scene.path("gone"));
    for folder in [&more, &gone] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(more.join("file"), "added\n").unwrap();
    let (of_more, of_gone) = (format!("{}:/more", more.display()), format!("{}:/gone", gone.display()));
    scene.machine(["share", "add", "dev", &of_more, &of_gone]).ok().says("9p from the machine's next start");
    assert_eq!(inside(scene, "/more", "cat file").ok().text(), "added\n");
    assert_eq!(carried(scene, "/more"), sftp_until_the_next_start());
    assert!(scene.run("share ls dev").ok().text().contains("9p from the machine's next start"));
    // What had a device at the start finds it again.
    scene.machine(["share", "rm", "dev", "/docs"]).ok();
    let docs = format!("{}:/docs:ro", scene.path("docs").display());
    scene.machine(["share", "add", "dev", &docs]).ok();
    assert_eq!((carried(scene, "/docs"), carried(scene, "/more")), (nine_p(), sftp_until_the_next_start()));

    // A folder that is not there keeps no machine from starting, and a container that starts with it sees the others.
    let always = format!(
        "docker rm -f watcher && docker run -d --name watcher --restart always -v {quoted}:/src box sleep 1000"
    );
    docker(scene, "dev", &always).ok();
    fs::remove_dir(&gone).unwrap();
    slowly(scene, "restart dev").ok();
    fs::write(project.join("again"), "3").unwrap();
    until("the folder to come back", BOOT, || {
        let run = docker(scene, "dev", "docker exec watcher cat /src/again");
        (run.stdout == b"3").then_some(())
    });
    assert_eq!(carried(scene, "/more"), nine_p());
    assert_eq!(inside(scene, "/more", "cat file").ok().text(), "added\n");
    fs::create_dir(&gone).unwrap();
    until("the folder that was away", Duration::from_secs(120), || {
        (carried(scene, "/gone") == sftp_until_the_next_start()).then_some(())
    });
    docker(scene, "dev", "docker rm -f watcher").ok();
}

/// As in an image whose kernel has no 9p.
fn does_without_the_module(scene: &Scene, quoted: &str) {
    let script = "sudo umount -a -t 9p && sudo modprobe -r 9p && sudo rm /lib/modules/*/kernel/fs/9p/9p.ko";
    scene.machine(["ssh", "dev", script]).ok();
    scene.machine(["share", "rm", "dev", "/more"]).ok();
    until("SFTP to carry it", Duration::from_secs(60), || {
        let (by, note) = carried(scene, "/docs");
        (by == "sftp" && note.contains("has no 9p")).then_some(())
    });
    mounted(scene);
    assert_eq!(inside(scene, quoted, "cat hello").ok().text(), "from here\n");
}
