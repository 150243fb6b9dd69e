//! Nothing is written but where the environment says.

use machine_tests::{Scene, find_program, machine_program};

/// In a mount namespace of its own, where everything but the scene is read-only, a machine lives its whole life. A write to
/// anywhere else fails there, and the command with it.
#[test]
fn a_whole_life_writes_nowhere_but_into_the_folders_that_the_environment_names() {
    let scene = Scene::new();
    let machine = machine_program();
    let lines = [
        "create dev",
        "ls",
        "doctor",
        "env dev",
        "stop dev",
        "start dev",
        "inspect dev",
        "logs dev",
        "restart dev",
        "rm -y dev",
    ];
    let script = format!(
        "set -e\n\
         root=$(pwd)\n\
         mount --make-rprivate /\n\
         mount --bind \"$root\" \"$root\"\n\
         for folder in $(awk '{{ print $5 }}' /proc/self/mountinfo | grep -vFx \"$root\" | sort -u); do\n\
             case $folder in /proc*|/sys*|/dev|/dev/pts) continue ;; esac\n\
             mount -o remount,ro,bind \"$folder\"\n\
         done\n\
         if touch /tmp/not-read-only 2>/dev/null; then rm /tmp/not-read-only; echo 'the namespace is not read-only' >&2; exit 9; fi\n\
         touch \"$root/writable\" && rm \"$root/writable\"\n\
         {}\n",
        lines.map(|line| format!("{} {line} >/dev/null\n", machine.display())).concat()
    );
    let run = scene.program(find_program("unshare")).args(["--mount", "--map-root-user", "sh", "-c", &script]).run();
    run.ok();
    scene.nothing_is_left_of("dev");
}

#[test]
fn with_nothing_but_a_home_everything_is_in_its_data_folder_and_in_dockers() {
    let mut scene = Scene::new();
    let home = scene.path("person");
    std::fs::create_dir(&home).unwrap();
    scene.set("HOME", &home);
    let words =
        |line: &str| scene.command(line.split(' ')).without("MACHINE_STORAGE_PATH").without("DOCKER_CONFIG").run();
    words("create dev").ok();
    words("ls").ok();
    let mut top = Vec::new();
    for (folder, depth) in
        [(home.clone(), "."), (home.join(".local"), ".local"), (home.join(".local/share"), ".local/share")]
    {
        let names = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name().display().to_string());
        top.extend(names.map(|name| format!("{depth}/{name}")));
    }
    top.sort();
    assert_eq!(top, ["./.docker", "./.local", ".local/share", ".local/share/machine"]);
    words("rm -y dev").ok();
    scene.set("MACHINE_STORAGE_PATH", home.join(".local/share/machine"));
    scene.set("HOME", scene.path("home"));
    scene.nothing_is_left_of("dev");
}

#[test]
fn a_variable_that_is_set_to_nothing_is_as_good_as_unset() {
    let scene = Scene::new();
    let home = scene.path("docker");
    for variable in
        ["MACHINE_STORAGE_PATH", "MACHINE_DRIVER", "ENGINE_REGISTRY_MIRROR", "MACHINE_DEBUG", "XDG_RUNTIME_DIR"]
    {
        let run = scene.command(["create", "dev", "--help"]).env(variable, "").env("HOME", &home).run();
        assert_eq!(run.ok().stderr, "", "{variable}");
        scene.command(["ls"]).env(variable, "").env("HOME", &home).run().ok();
        scene.command(["create", "dev", "--image", "nosuchimage"]).env(variable, "").env("HOME", &home).run().exits(3);
    }
}
