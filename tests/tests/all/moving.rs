//! A machine that goes to another computer: another store here.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use machine_tests::{Run, Scene, find_program};

/// A machine that was ready once and is off, with folders and arguments that are this computer's.
fn exported() -> (Scene, PathBuf) {
    let scene = Scene::new();
    let shared = scene.path("shared");
    fs::create_dir(&shared).unwrap();
    scene.run("create dev --publish lan --engine-label team=a --qemu-arg=-nodefaults").ok();
    scene.run("stop dev").ok();
    scene.machine(["share".as_ref(), "add".as_ref(), "dev".as_ref(), shared.as_os_str()]).ok();
    let file = scene.path("dev.machine");
    let run = scene.machine(["export".as_ref(), "dev".as_ref(), file.as_os_str()]);
    run.ok().prints_nothing().says("Machine \"dev\" is in").says("whoever has the file can become root");
    run.says("the folders that it sees stay behind");
    (scene, file)
}

fn import(scene: &Scene, file: &Path, more: &[&str]) -> Run {
    scene.machine(["import".as_ref(), file.as_os_str()].into_iter().chain(more.iter().map(AsRef::as_ref)))
}

/// Another computer: a store and images of its own.
fn elsewhere() -> Scene {
    let mut scene = Scene::new();
    scene.set("MACHINE_IMAGE_PATH", scene.path("store").join("images"));
    scene
}

#[test]
fn a_machine_runs_in_another_store_with_its_keys_and_that_stores_certificates() {
    let (here, file) = exported();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let there = elsewhere();
    import(&there, &file, &[]).ok().prints_nothing();
    for name in ["id_ed25519", "ssh_host_ed25519_key", "data.qcow2"] {
        let read = |scene: &Scene| fs::read(scene.folder("dev").join(name)).unwrap();
        assert_eq!(read(&here), read(&there), "{name}");
    }
    let (old, new) = (here.record("dev"), there.record("dev"));
    assert_eq!((&new["host_key"], &new["spec"]["engine"]), (&old["host_key"], &old["spec"]["engine"]));
    assert!(new["spec"].get("publish").is_none() && new["spec"].get("shares").is_none(), "{new}");
    assert!(!new["spec"]["options"].to_string().contains("nodefaults"), "{new}");
    assert!(new["spec"]["image"].as_str().unwrap().starts_with("imported-machine@"), "no name for new machines: {new}");
    assert_ne!(new["driver_state"]["token"], old["driver_state"]["token"]);
    let ca = |scene: &Scene| fs::read(scene.folder("dev").join("ca.pem")).unwrap();
    assert_eq!(ca(&there), fs::read(there.store().join("certs/ca.pem")).unwrap());
    assert_ne!(ca(&there), ca(&here));
    // Nothing in it names the other computer.
    for name in ["os.qcow2", "machine.json"] {
        let bytes = fs::read(there.folder("dev").join(name)).unwrap();
        let other = here.path("").display().to_string();
        assert!(!bytes.windows(other.len()).any(|window| window == other.as_bytes()), "{name}");
    }
    there.run("start dev").ok();
    assert_eq!(there.status("dev"), "Running");
    there.run("rm -y dev").ok();
    there.nothing_is_left_of("dev");
}

#[test]
fn a_name_that_is_taken_takes_another_and_what_is_there_is_not_written_over() {
    let (here, file) = exported();
    import(&here, &file, &[]).exits(1).fails_clearly().says("\"dev\" already exists");
    import(&here, &file, &["copy"]).ok();
    assert_eq!(here.run("ls -q").ok().text(), "copy\ndev\n");
    here.machine(["export".as_ref(), "dev".as_ref(), file.as_os_str()])
        .exits(1)
        .fails_clearly()
        .says("is there already");
    here.run("start --no-wait dev").ok();
    let other = here.path("other");
    here.machine(["export".as_ref(), "dev".as_ref(), other.as_os_str()]).exits(1).fails_clearly().says("it is not off");
    assert!(!other.exists());
}

/// Packs the entries of an archive anew with tar(1), after `change` had its way with the folder.
fn tampered(scene: &Scene, file: &Path, change: &dyn Fn(&Path)) -> PathBuf {
    let (folder, out) = (scene.path("tampered"), scene.path("tampered.machine"));
    let _gone = fs::remove_dir_all(&folder);
    let _gone = fs::remove_file(&out);
    fs::create_dir(&folder).unwrap();
    let tar = |words: &[&std::ffi::OsStr]| scene.program(find_program("tar")).args(words).run().ok().code();
    tar(&["-xzf".as_ref(), file.as_os_str(), "-C".as_ref(), folder.as_os_str()]);
    change(&folder.join("machine-export"));
    let list = scene.path("list");
    let mut names = fs::File::create(&list).unwrap();
    let below = |sub: &str| {
        let entries = fs::read_dir(folder.join(sub)).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| !entry.file_type().unwrap().is_dir());
        files.map(|entry| format!("{sub}/{}", entry.file_name().to_str().unwrap())).collect::<Vec<_>>()
    };
    let mut all = [below("machine-export"), below("machine-export/image")].concat();
    all.sort_by_key(|name| name != "machine-export/manifest.json");
    all.iter().for_each(|name| writeln!(names, "{name}").unwrap());
    let words = ["-czf".as_ref(), out.as_os_str(), "-C".as_ref(), folder.as_os_str(), "-T".as_ref(), list.as_os_str()];
    tar(&words);
    out
}

#[test]
fn a_hostile_or_broken_archive_is_refused_and_leaves_nothing() {
    let (here, file) = exported();
    let there = elsewhere();
    let edit = |folder: &Path, from: &str, to: &str| {
        let path = folder.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: [Change<'_>; 8] = [
        ("has no business there", &|folder| fs::write(folder.join("machine.json"), "{}").unwrap()),
        ("is no file", &|folder| {
            fs::remove_file(folder.join("id_ed25519")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", folder.join("id_ed25519")).unwrap();
        }),
        ("is too large", &|folder| fs::write(folder.join("id_ed25519"), vec![b'x'; 1 << 20]).unwrap()),
        ("data.qcow2 is missing", &|folder| fs::remove_file(folder.join("data.qcow2")).unwrap()),
        ("not a qcow2 or raw", &|folder| fs::write(folder.join("data.qcow2"), "KDMV and more").unwrap()),
        ("its system disk cannot be used", &|folder| fs::write(folder.join("os.qcow2"), vec![0; 4096]).unwrap()),
        ("invalid machine name", &|folder| edit(folder, "\"name\": \"dev\"", "\"name\": \"../dev\"")),
        ("has schema 99", &|folder| edit(folder, "\"schema\": 1", "\"schema\": 99")),
    ];
    for (what, change) in changes {
        let archive = tampered(&here, &file, change);
        let run = import(&there, &archive, &[]);
        assert!(
            run.code() != 0 && run.stderr.contains(what) || what.starts_with("not a qcow2") && run.code() != 0,
            "{what}: {run}"
        );
        assert!(!there.folder("dev").exists(), "{what}: something is left");
        assert_eq!(there.run("ls -q").ok().text(), "", "{what}");
        assert!(!there.run("image ls").ok().text().contains("imported-"), "{what}: an image is left");
    }
    // A system disk that says it lies on a file of this computer is put on its image without a look at that file.
    let archive = tampered(&here, &file, &|folder| {
        let words = ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd"];
        let disk = folder.join("os.qcow2");
        here.program(find_program("qemu-img")).args(words).args([&disk]).run().ok();
    });
    import(&there, &archive, &[]).ok();
    let bytes = fs::read(there.folder("dev").join("os.qcow2")).unwrap();
    assert!(!String::from_utf8_lossy(&bytes[..4096]).contains("/etc/passwd"));
    // Cut off anywhere, it leaves nothing.
    let whole = fs::read(&file).unwrap();
    let cut = here.path("cut.machine");
    for length in [0, 100, whole.len() / 2, whole.len() - 20] {
        fs::write(&cut, &whole[..length]).unwrap();
        let run = import(&there, &cut, &["cut"]);
        run.exits(1).prints_nothing();
        assert!(!there.folder("cut").exists(), "{length}: {run}");
    }
}
