use std::path::Path;
use std::process::Command;

use machine_core::Code;
use machine_docker::{ContextTls, Contexts, EngineContext};
use serde_json::Value;

use crate::authority::Authority;

fn context(name: &str, host: &str) -> EngineContext {
    let store = Authority::new();
    let client = store.client();
    EngineContext {
        name: name.into(),
        description: format!("machine {name}"),
        host: host.into(),
        tls: Some(ContextTls { ca: store.pem(), cert: client.cert, key: client.key }),
    }
}

/// The real command, with nothing of this computer's own settings.
fn docker(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .arg("--config")
        .arg(folder)
        .args(arguments)
        .env_remove("DOCKER_HOST")
        .env_remove("DOCKER_CONTEXT")
        .output()
        .expect("these tests need the `docker` command (no daemon)");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn the_docker_command_lists_inspects_and_exports_a_context_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("docker config");
    let contexts = Contexts::new(&folder, "store-1");
    let dev = context("dev", "tcp://127.0.0.1:40001");
    contexts.write(&dev).unwrap();
    let listed =
        docker(&folder, &["context", "ls", "--format", "{{.Name}} {{.DockerEndpoint}} {{.Description}} {{.Error}}"]);
    assert!(listed.lines().any(|line| line.trim_end() == "dev tcp://127.0.0.1:40001 machine dev"), "{listed}");
    let inspected: Value = serde_json::from_str(&docker(&folder, &["context", "inspect", "dev"])).unwrap();
    assert_eq!(inspected[0]["Endpoints"]["docker"]["Host"], "tcp://127.0.0.1:40001");
    assert_eq!(inspected[0]["Endpoints"]["docker"]["SkipTLSVerify"], false);
    assert_eq!(inspected[0]["TLSMaterial"]["docker"], serde_json::json!(["ca.pem", "cert.pem", "key.pem"]));
    let exported = dir.path().join("dev.tar");
    docker(&folder, &["context", "export", "dev", exported.to_str().unwrap()]);
    let bytes = std::fs::read(&exported).unwrap();
    let key = dev.tls.as_ref().unwrap().key.as_bytes();
    assert!(bytes.windows(key.len()).any(|part| part == key), "the key is in the export");

    // A new address replaces the old one, a socket has no keys, and Docker's own changes keep our mark.
    contexts.write(&EngineContext { tls: None, ..context("dev", "unix:///run/dev.sock") }).unwrap();
    let inspected: Value = serde_json::from_str(&docker(&folder, &["context", "inspect", "dev"])).unwrap();
    assert_eq!(inspected[0]["Endpoints"]["docker"]["Host"], "unix:///run/dev.sock");
    assert_eq!(inspected[0]["TLSMaterial"], serde_json::json!({}));
    contexts.write(&context("dev", "tcp://127.0.0.1:40002")).unwrap();
    assert!(docker(&folder, &["context", "inspect", "dev"]).contains("40002"));
    docker(&folder, &["context", "update", "dev", "--description", "mine"]);
    assert_eq!(contexts.ours().unwrap(), ["dev"]);
    assert!(contexts.remove("dev").unwrap());
    assert!(!docker(&folder, &["context", "ls", "-q"]).contains("dev"));
    assert!(!contexts.remove("dev").unwrap());
}

#[cfg(unix)]
#[test]
fn keys_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    Contexts::new(dir.path(), "store-1").write(&context("dev", "tcp://127.0.0.1:1")).unwrap();
    let mut folders = vec![dir.path().join("contexts/tls")];
    let mut keys = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            keys += 1;
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.path().display());
        }
    }
    assert_eq!(keys, 3);
}

#[test]
fn a_context_that_is_not_ours_is_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    docker(dir.path(), &["context", "create", "dev", "--docker", "host=tcp://127.0.0.1:9"]);
    Contexts::new(dir.path(), "store-2").write(&context("theirs", "tcp://127.0.0.1:8")).unwrap();
    let before = docker(dir.path(), &["context", "inspect", "dev", "theirs"]);
    let ours = Contexts::new(dir.path(), "store-1");
    for (name, why) in [("dev", "not made by `machine`"), ("theirs", "another store")] {
        let results =
            [ours.write(&context(name, "tcp://127.0.0.1:1")), ours.remove(name).map(drop), ours.set_current(name)];
        for result in results {
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::AlreadyExists);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    assert_eq!(docker(dir.path(), &["context", "inspect", "dev", "theirs"]), before);
    assert_eq!(ours.ours().unwrap(), Vec::<String>::new());
}

#[test]
fn the_current_context_is_set_and_unset_and_other_settings_stay() {
    let dir = tempfile::tempdir().unwrap();
    let settings = r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}},"credsStore":"x","zzz":[1,2.5,{"deep":null}]}"#;
    std::fs::write(dir.path().join("config.json"), settings).unwrap();
    let contexts = Contexts::new(dir.path(), "store-1");
    contexts.write(&context("dev", "tcp://127.0.0.1:1")).unwrap();
    assert_eq!(contexts.current().unwrap(), None);
    contexts.set_current("dev").unwrap();
    assert_eq!(contexts.current().unwrap().as_deref(), Some("dev"));
    assert_eq!(docker(dir.path(), &["context", "show"]).trim(), "dev");
    let mut expected: Value = serde_json::from_str(settings).unwrap();
    expected["currentContext"] = "dev".into();
    assert_eq!(config(dir.path()), expected);

    assert!(contexts.remove("dev").unwrap());
    assert_eq!(config(dir.path()), serde_json::from_str::<Value>(settings).unwrap());
    assert_eq!(contexts.set_current("dev").unwrap_err().code(), Code::NotFound);

    contexts.write(&context("dev", "tcp://127.0.0.1:1")).unwrap();
    docker(dir.path(), &["context", "create", "theirs", "--docker", "host=tcp://127.0.0.1:9"]);
    docker(dir.path(), &["context", "use", "theirs"]);
    contexts.unset_current().unwrap();
    contexts.remove("dev").unwrap();
    assert_eq!(contexts.current().unwrap().as_deref(), Some("theirs"), "the user's own choice stays");
}

#[test]
fn a_broken_config_is_an_error_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let contexts = Contexts::new(dir.path(), "store-1");
    contexts.write(&context("dev", "tcp://127.0.0.1:1")).unwrap();
    let path = dir.path().join("config.json");
    for broken in ["{\"auths\":", "[]"] {
        std::fs::write(&path, broken).unwrap();
        let error = contexts.set_current("dev").unwrap_err();
        assert!(error.to_string().contains("config.json") && !error.hints().is_empty(), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    }
}

#[cfg(unix)]
#[test]
fn a_config_that_is_a_link_stays_one_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (folder, real) = (dir.path().join("docker"), dir.path().join("dotfiles.json"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&real, "{}").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, folder.join("config.json")).unwrap();
    let contexts = Contexts::new(&folder, "store-1");
    contexts.write(&context("dev", "tcp://127.0.0.1:1")).unwrap();
    contexts.set_current("dev").unwrap();
    assert!(folder.join("config.json").is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().contains("dev"));
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"credsStore":"x"}"#).unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("m{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                let contexts = Contexts::new(dir.path(), "store-1");
                for port in 1..4 {
                    contexts.write(&context(name, &format!("tcp://127.0.0.1:{port}"))).unwrap();
                    contexts.set_current(name).unwrap();
                    contexts.unset_current().unwrap();
                }
            });
        }
    });
    assert_eq!(Contexts::new(dir.path(), "store-1").ours().unwrap(), names);
    assert_eq!(config(dir.path()), serde_json::json!({ "credsStore": "x" }));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}
