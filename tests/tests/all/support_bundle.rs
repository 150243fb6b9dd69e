//! What goes to those who help.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use machine_tests::{Scene, find_program};

fn everything_below(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything_below(&path));
        } else {
            all.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    all
}

/// Texts of this scene that nobody else may see: the bodies of all key files.
fn secrets(folder: &Path) -> Vec<String> {
    let is_key = |text: &str| text.contains("PRIVATE KEY");
    let keys = everything_below(folder).into_iter().filter(|(_, text)| is_key(text));
    keys.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.len() >= 24 && !line.starts_with("-----"))
        .collect()
}

#[test]
fn a_bundle_has_what_helps_and_no_secret_of_the_scene() {
    let mut scene = Scene::new();
    scene.set("https_proxy", "http://bob:hunter1@proxy.example:3128");
    let words = ["create", "dev", "--no-wait", "--engine-env", "HTTP_PROXY=http://bob:hunter2@proxy.example:3128"];
    scene.machine([words.as_slice(), &["--engine-env", "LICENCE=hunter3"]].concat()).ok();
    let keys = secrets(&scene.store());
    assert!(keys.len() >= 5, "{}", keys.len());
    let mut log = fs::OpenOptions::new().append(true).open(scene.folder("dev").join("supervisor.log")).unwrap();
    writeln!(
        log,
        "told {}\nDB_PASSWORD=hunter4 and AKIAIOSFODNN7EXAMPLE\nAuthorization: Bearer hunter5hunter5",
        keys[0]
    )
    .unwrap();
    write!(log, "{}", fs::read_to_string(scene.store().join("certs/ca-key.pem")).unwrap()).unwrap();
    writeln!(log, "this line stays").unwrap();

    let bundle = scene.path("bundle.tar.gz");
    let words = ["support-bundle", "--hide-home", "-o"];
    let run = scene.machine(words.iter().map(|word| (*word).into()).chain([bundle.clone().into_os_string()]));
    assert_eq!(run.ok().line(), bundle.display().to_string());
    run.says("machines/dev/machine.json").says("doctor.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&bundle).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let folder = scene.path("unpacked");
    fs::create_dir(&folder).unwrap();
    let tar = scene.program(find_program("tar")).args([
        "-xzf".as_ref(),
        bundle.as_os_str(),
        "-C".as_ref(),
        folder.as_os_str(),
    ]);
    tar.run().ok();
    let all = everything_below(&folder);
    for (file, text) in &all {
        for secret in &keys {
            assert!(!text.contains(secret.as_str()), "{file} has a line of a key");
        }
        for secret in ["hunter", "AKIAIOSFODNN7EXAMPLE", "BEGIN", "PRIVATE KEY-----"] {
            assert!(!text.contains(secret), "{file} has {secret:?}");
        }
        assert!(!text.contains(scene.path("home").to_str().unwrap()), "{file} names the home folder");
    }
    let part = |name: &str| &all.iter().find(|(file, _)| file.ends_with(name)).unwrap_or_else(|| panic!("{name}")).1;
    assert!(part("dev/supervisor.log").contains("this line stays"));
    let record: serde_json::Value = serde_json::from_str(part("dev/machine.json")).unwrap();
    assert_eq!(record["spec"]["engine"]["env"]["HTTP_PROXY"], "http://[redacted]@proxy.example:3128");
    let checks: serde_json::Value = serde_json::from_str(part("doctor.json")).unwrap();
    assert!(checks.as_array().unwrap().iter().any(|check| check["id"] == "qemu.found"));
    assert!(part("store.txt").contains("ca-key.pem"), "names and sizes are there");

    // What is there already is not written over; a machine that is not there is said.
    let again = scene.machine(["support-bundle".as_ref(), "-o".as_ref(), bundle.as_os_str()]);
    again.exits(1).prints_nothing().fails_clearly().says("is there already");
    scene.run("support-bundle nope").exits(1).says("does not exist");
}

#[test]
fn a_bundle_of_a_broken_store_is_made_all_the_same() {
    let scene = Scene::new();
    fs::create_dir_all(scene.folder("dev")).unwrap();
    fs::write(scene.folder("dev").join("machine.json"), "{ \"token\": \"hunter6\", broken").unwrap();
    let bundle = scene.path("b.tar.gz");
    let run = scene.machine([
        "support-bundle".as_ref(),
        "--format".as_ref(),
        "json".as_ref(),
        "-o".as_ref(),
        bundle.as_os_str(),
    ]);
    let files = run.ok().json()["files"].to_string();
    assert!(files.contains("machines/dev/machine.json"), "{files}");
}
