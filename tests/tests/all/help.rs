//! What the program says of itself.

use machine_tests::Scene;

/// Every command; one that is missing here fails the first test below.
const COMMANDS: &[&str] = &[
    "active",
    "config",
    "create",
    "df",
    "docker",
    "doctor",
    "ec2",
    "env",
    "export",
    "image",
    "import",
    "import-docker-machine",
    "inspect",
    "ip",
    "kill",
    "logs",
    "ls",
    "mount",
    "pause",
    "ports",
    "provision",
    "reclaim",
    "regenerate-certs",
    "rename",
    "restart",
    "resume",
    "rm",
    "scp",
    "set",
    "share",
    "shell-init",
    "ssh",
    "ssh-config",
    "start",
    "status",
    "stop",
    "support-bundle",
    "suspend",
    "sync",
    "tunnel",
    "upgrade",
    "url",
    "use",
    "user",
    "version",
    "completion",
    "help",
];

#[test]
fn help_lists_every_command_and_is_data() {
    let scene = Scene::new();
    let run = scene.run("--help");
    run.ok();
    assert_eq!(run.stderr, "");
    let listed = run.text().lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What is indented further is the rest of a line above.
    let named = listed.filter(|line| !line.starts_with("   "));
    let listed: Vec<_> = named.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
    insta::assert_snapshot!("help", run.text());
}

#[test]
fn every_command_explains_itself() {
    let scene = Scene::new();
    for command in COMMANDS {
        let run = scene.machine([command, "--help"]);
        assert_eq!(run.ok().stderr, "");
        insta::assert_snapshot!(format!("help_{command}"), run.text());
        assert_eq!(scene.machine(["help", command]).ok().text(), run.text(), "`help {command}` is `{command} --help`");
    }
}

#[test]
fn every_share_command_explains_itself() {
    let scene = Scene::new();
    for command in ["add", "ls", "rm"] {
        let run = scene.machine(["share", command, "--help"]);
        insta::assert_snapshot!(format!("help_share_{command}"), run.ok().text());
    }
}

#[test]
fn every_image_command_explains_itself() {
    let scene = Scene::new();
    for command in ["ls", "pull", "import", "build", "prune", "rm", "show"] {
        let run = scene.machine(["image", command, "--help"]);
        assert_eq!(run.ok().stderr, "");
        insta::assert_snapshot!(format!("help_image_{command}"), run.text());
    }
}

#[test]
fn every_ec2_command_explains_itself() {
    let scene = Scene::new();
    for command in ["orphans", "policy"] {
        let run = scene.machine(["ec2", command, "--help"]);
        assert_eq!(run.ok().stderr, "");
        insta::assert_snapshot!(format!("help_ec2_{command}"), run.text());
    }
}

#[test]
fn the_version_is_one_line_whichever_way_it_is_asked_for() {
    let scene = Scene::new();
    let version = scene.run("version").ok().line().to_owned();
    assert!(version.starts_with("machine 0."), "{version}");
    for words in ["--version", "-v"] {
        assert_eq!(scene.run(words).ok().line(), version);
    }
}
