//! Completions, as the shells themselves ask for them.

use std::fs;

use machine_tests::{Scene, nushell};

/// What a shell offers for the last of `words`.
fn offered(scene: &Scene, shell: &str, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (line, index) = (quoted.join(" "), words.len() - 1);
    let run = match shell {
        "bash" => scene.shell(
            "bash",
            &format!(
                "source <(machine completion bash)\ncomplete -p machine >/dev/null || exit 9\nCOMP_WORDS=({line}) COMP_CWORD={index}\n\
                 _machine\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
            ),
        ),
        // Outside of its line editor, what it would offer is said by who plays `compadd`.
        "zsh" => scene.shell(
            "zsh",
            &format!(
                "compdef() {{ [[ $* == '_machine machine' ]] || exit 9 }}\ncompadd() {{ print -l -- ${{(P)@[-1]}} }}\n\
                 eval \"$(machine completion zsh)\"\nwords=({line}) CURRENT={}\n_machine",
                words.len()
            ),
        ),
        "fish" => {
            scene.shell("fish", &format!("machine completion fish | source\ncomplete -C \"{}\"", words.join(" ")))
        }
        _ => {
            let file = scene.path("machine.nu");
            fs::write(&file, &scene.run("completion nushell").ok().stdout).unwrap();
            let script = format!(
                "source '{}'; do $env.config.completions.external.completer [{line}] | get value | str join \"\\n\"",
                file.display()
            );
            scene.shell_at(&nushell(), &["-n", "-c", &script])
        }
    }
    .run();
    assert_eq!(run.ok().stderr, "", "{shell} has something to say: {run}");
    let mut offered: Vec<String> = run
        .text()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
        .collect();
    offered.sort();
    offered
}

const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "nushell"];

fn with_machines() -> Scene {
    let scene = Scene::new();
    for name in ["dev", "dev2", "web"] {
        fs::create_dir_all(scene.folder(name)).unwrap();
    }
    scene
}

#[test]
fn every_shell_completes_commands_machines_and_fitting_values() {
    let scene = with_machines();
    for shell in SHELLS {
        let offered = |words: &[&str]| offered(&scene, shell, words);
        assert_eq!(offered(&["machine", "sta"]), ["start", "status"], "{shell}");
        assert_eq!(offered(&["machine", "start", ""]), ["dev", "dev2", "web"], "{shell}");
        assert_eq!(offered(&["machine", "stop", "dev", "d"]), ["dev2"], "{shell}: nobody wants one twice");
        assert_eq!(offered(&["machine", "share", "ls", "w"]), ["web"], "{shell}");
        assert_eq!(offered(&["machine", "ssh", "w"]), ["web"], "{shell}");
        assert_eq!(offered(&["machine", "create", "--driver", "e"]), ["ec2"], "{shell}");
        assert_eq!(offered(&["machine", "env", "--shell", "n"]), ["nushell"], "{shell}");
        assert_eq!(offered(&["machine", "create", "--publish", ""]), ["lan", "loopback"], "{shell}");
        assert!(offered(&["machine", "create", "d"]).is_empty(), "{shell}: a new machine has a new name");
        assert_eq!(offered(&["machine", "rm", "--fo"]), ["--force"], "{shell}");
        assert_eq!(offered(&["machine", "create", "--image", "debian-1"]), ["debian-13"], "{shell}");
        assert!(offered(&["machine", "superv"]).is_empty(), "{shell}: what is hidden stays so");
    }
}

#[test]
fn bash_completes_behind_what_it_splits_words_at() {
    let scene = with_machines();
    assert_eq!(offered(&scene, "bash", &["machine", "env", "--shell", "=", "fi"]), ["fish"]);
    assert_eq!(offered(&scene, "bash", &["machine", "sync", ".", "we"]), ["web:"]);
    fs::write(scene.path("a $b"), "").unwrap();
    assert_eq!(offered(&scene, "bash", &["machine", "sync", "a"]), ["a\\ \\$b"]);
}

#[test]
fn the_store_that_the_line_names_is_asked() {
    let scene = with_machines();
    fs::create_dir_all(scene.path("other/machines/there")).unwrap();
    let other = scene.path("other").display().to_string();
    for shell in SHELLS {
        assert_eq!(offered(&scene, shell, &["machine", "-s", &other, "start", ""]), ["there"], "{shell}");
    }
}

#[test]
fn a_store_that_is_broken_completes_nothing_and_makes_no_noise() {
    let mut scene = Scene::new();
    fs::write(scene.path("no-folder"), "").unwrap();
    scene.set("MACHINE_STORAGE_PATH", scene.path("no-folder"));
    for shell in SHELLS {
        assert!(offered(&scene, shell, &["machine", "start", ""]).is_empty(), "{shell}");
    }
    let asked = scene.machine(["complete", "bash", "2", "--", "machine", "start", ""]);
    assert_eq!((asked.ok().text(), asked.stderr.as_str()), ("", ""));
    scene.set("MACHINE_STORAGE_PATH", scene.path("store"));
}
