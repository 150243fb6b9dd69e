//! File events in containers, for real: a part of the test of folders (`vm_share.rs`), in its machine.

use std::fs;
use std::path::{Path, PathBuf};

use machine_tests::{Scene, service_image, until};

use crate::vm_life::{BOOT, docker};

/// What the watcher in the container has printed.
fn seen(scene: &Scene) -> String {
    docker(scene, "dev", "docker logs listener").ok().text().to_owned()
}

/// Writes to a file again and again until the watcher has told of it with what was written: when this computer's folder begins to
/// be watched, nobody can see.
#[track_caller]
fn heard(scene: &Scene, file: &Path, guest: &str) {
    let mut number = 0;
    until(&format!("an event of {guest}"), BOOT, || {
        number += 1;
        let content = "x".repeat(number);
        fs::write(file, &content).unwrap();
        let line = format!("modified {guest}: {content} ({number})");
        let asked = std::time::Instant::now();
        while asked.elapsed().as_secs() < 5 {
            if seen(scene).contains(&line) {
                return Some(());
            }
        }
        None
    });
}

/// Waits until the watcher has printed a line.
#[track_caller]
fn told(scene: &Scene, line: &str) {
    until(line, BOOT, || seen(scene).lines().any(|printed| printed == line).then_some(()));
}

/// The two folders that a machine is created with: changes in the first one are told, those in the second are not.
pub struct Heard {
    told: PathBuf,
    quiet: PathBuf,
}

impl Heard {
    /// Makes the folders.
    pub fn new(scene: &Scene) -> Self {
        let (told, quiet) = (scene.path("told"), scene.path("quiet"));
        for folder in [&told, &quiet] {
            fs::create_dir(folder).unwrap();
        }
        Self { told, quiet }
    }

    /// How `create` is told of them.
    pub fn shares(&self) -> [String; 2] {
        [format!("{}:/told:events", self.told.display()), format!("{}:/quiet", self.quiet.display())]
    }

    /// Runs a container that watches both, and changes files here.
    pub fn is_told(&self, scene: &Scene) {
        assert!(scene.run("share ls dev").ok().text().contains("read, write, events"));
        let image = service_image(scene, env!("CARGO_BIN_EXE_service"));
        docker(scene, "dev", &format!("docker import {} service >/dev/null", image.display())).ok();
        let run = "docker run -d --name listener --restart always -v /usr:/usr:ro -v /told:/told -v /quiet:/quiet service \
                   /service watch /told watch /quiet";
        docker(scene, "dev", run).ok();
        told(scene, "watching /quiet");
        sees_what_comes_changes_and_goes(scene, &self.told, &self.quiet);
        hears_once_of_what_a_container_did(scene, &self.told);
    }

    /// After something was lost that the next supervisor or boot has to make again.
    pub fn goes_on(&self, scene: &Scene, after: &str) {
        heard(scene, &self.told.join(after), &format!("/told/{after}"));
    }

    /// From now on of the other folder too, in the same container.
    pub fn is_told_of_both(&self, scene: &Scene) {
        scene.machine(["share", "add", "dev", &format!("{}:events", self.shares()[1])]).ok();
        heard(scene, &self.quiet.join("file"), "/quiet/file");
        docker(scene, "dev", "docker rm -f listener").ok();
    }
}

fn sees_what_comes_changes_and_goes(scene: &Scene, folder: &Path, quiet: &Path) {
    fs::write(quiet.join("file"), "nobody hears of this").unwrap();
    heard(scene, &folder.join("first"), "/told/first");

    // A new file, a name that a shell could stumble over, one that takes another's place, and a folder.
    let name = "it's $(new)\u{fc}";
    fs::write(folder.join(name), "one").unwrap();
    told(scene, &format!("modified /told/{name}: one (3)"));
    fs::write(folder.join("draft"), "longer than before").unwrap();
    told(scene, "modified /told/draft: longer than before (18)");
    fs::rename(folder.join("draft"), folder.join(name)).unwrap();
    told(scene, &format!("modified /told/{name}: longer than before (18)"));
    told(scene, "gone /told/draft");
    fs::create_dir(folder.join("deep")).unwrap();
    told(scene, "modified folder /told/deep");

    let before = fs::metadata(folder.join("first")).unwrap();
    fs::remove_file(folder.join(name)).unwrap();
    told(scene, &format!("gone /told/{name}"));
    fs::remove_dir(folder.join("deep")).unwrap();
    told(scene, "gone /told/deep");
    let listed = docker(scene, "dev", "docker exec listener ls -A /told");
    assert_eq!(listed.ok().text(), "first\n");

    // To tell of a file leaves it as it is.
    let after = fs::metadata(folder.join("first")).unwrap();
    assert_eq!((before.modified().unwrap(), before.len()), (after.modified().unwrap(), after.len()));
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    let seen = seen(scene);
    assert!(!seen.lines().any(|line| line.contains("/quiet") && !line.starts_with("watching")), "{seen}");
}

fn hears_once_of_what_a_container_did(scene: &Scene, folder: &Path) {
    docker(scene, "dev", "docker exec listener sh -c 'echo x >/told/own'").ok();
    assert_eq!(fs::read_to_string(folder.join("own")).unwrap(), "x\n");
    // What came after it has been told: so would it have been.
    heard(scene, &folder.join("first"), "/told/first");
    let seen = seen(scene);
    let of_own = seen.lines().filter(|line| line.contains("/told/own")).count();
    assert_eq!(of_own, 2, "made and written, by the kernel there alone: {seen}");
}
