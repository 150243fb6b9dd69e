//! A machine's life, with a QEMU that is played.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use machine_tests::{Scene, Terminal, listeners, process, until};

#[test]
fn a_machine_is_created_stopped_started_and_removed_without_a_trace() {
    let scene = Scene::new();
    let run = scene.run("create dev");
    run.ok().prints_nothing().says("Docker is up and running!").says("machine env dev");
    let list = scene.run("ls --format json").ok().json();
    let url = list[0]["url"].as_str().unwrap().to_owned();
    assert_eq!(
        (list[0]["state"].as_str(), list[0]["docker_version"].as_str()),
        (Some("Running"), Some("v26.1.5")),
        "{list}"
    );
    assert_eq!(scene.run("url dev").ok().line(), url);
    assert_eq!(scene.run("ip dev").ok().line(), "127.0.0.1");
    assert_eq!(scene.run("version dev").ok().line(), "26.1.5");

    let again = scene.run("create dev");
    again.exits(1).prints_nothing().says("Docker machine \"dev\" already exists").fails_clearly();
    scene.run("start dev").exits(1).prints_nothing().says("Machine \"dev\" is already running.");

    scene.run("stop dev").ok().prints_nothing().says("Machine \"dev\" was stopped.");
    assert_eq!(scene.status("dev"), "Stopped");
    scene.run("stop dev").exits(1).says("Machine \"dev\" is already stopped.");
    let address: std::net::SocketAddr = url.strip_prefix("tcp://").unwrap().parse().unwrap();
    assert!(!listeners().contains(&address), "{address} is closed");

    scene.run("start dev").ok().prints_nothing().says("Starting \"dev\"...").says("Machine \"dev\" was started.");
    assert_eq!(scene.run("url dev").ok().line(), url, "the port stays");

    let before = scene.qemu("dev");
    scene.run("restart dev").ok().prints_nothing();
    assert_ne!(scene.qemu("dev"), before);
    assert_eq!(scene.run("url dev").ok().line(), url);

    scene.run("kill dev").ok().prints_nothing().says("Machine \"dev\" was killed.");
    assert_eq!(scene.status("dev"), "Stopped");
    scene.run("start dev").ok();

    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    scene.run("rm -y dev").ok().prints_nothing().says("Successfully removed dev");
    scene.nothing_is_left_of("dev");
    for gone in [qemu, supervisor] {
        assert_eq!(process(gone.pid), None);
    }
    assert!(!listeners().contains(&address));
    scene.run("rm -y dev").exits(1).says("does not exist");
}

#[test]
fn keys_are_private_and_machines_do_not_share_them() {
    let scene = Scene::new();
    scene.run("create a --no-wait").ok();
    scene.run("create b --no-wait").ok();
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["a", "b"] {
        assert_eq!(mode(scene.folder(name)), 0o700);
        for file in ["machine.json", "id_ed25519", "ssh_host_ed25519_key", "server-key.pem", "key.pem", "seed.img"] {
            assert_eq!(mode(scene.folder(name).join(file)), 0o600, "{name}/{file}");
        }
    }
    for folder in ["", "certs", "machines"] {
        assert_eq!(mode(scene.store().join(folder)), 0o700, "{folder:?}");
    }
    assert_eq!(mode(scene.store().join("certs/ca-key.pem")), 0o600);
    for file in ["id_ed25519", "ssh_host_ed25519_key", "server-key.pem", "server.pem"] {
        let read = |name: &str| fs::read(scene.folder(name).join(file)).unwrap();
        assert_ne!(read("a"), read("b"), "{file}");
    }
    assert_ne!(scene.record("a")["host_key"], scene.record("b")["host_key"]);
}

#[test]
fn several_machines_are_stopped_and_started_by_one_command() {
    let scene = Scene::new();
    for name in ["a", "b"] {
        scene.machine(["create", "--no-wait", name]).ok();
    }
    scene.run("stop a b").ok().says("Machine \"a\" was stopped.").says("Machine \"b\" was stopped.");
    scene.run("start b a").ok();
    assert_eq!(scene.run("ip a b").ok().text(), "127.0.0.1\n127.0.0.1\n");
    scene.run("kill a").ok();
    // One of them fails: the other is stopped all the same.
    scene.run("stop a b").exits(1).says("Machine \"a\" is already stopped.");
    assert_eq!((scene.status("a"), scene.status("b")), ("Stopped".into(), "Stopped".into()));
    scene.run("rm -y a b").ok();
    scene.nothing_is_left_of("a");
    scene.nothing_is_left_of("b");
}

#[test]
fn create_without_a_name_makes_the_default_machine() {
    let scene = Scene::new();
    scene.run("create --no-wait").ok();
    assert_eq!(scene.run("status").ok().line(), "Running");
    scene.run("stop").ok();
    assert_eq!(scene.run("status").ok().line(), "Stopped");
}

#[test]
fn of_two_creations_of_one_name_at_once_one_wins_and_the_other_says_why_not() {
    let scene = Scene::new();
    let racers: Vec<_> = (0..2).map(|_| scene.command(["create", "dev"]).start()).collect();
    let runs: Vec<_> = racers.into_iter().map(machine_tests::Running::finish).collect();
    let mut codes: Vec<i32> = runs.iter().map(machine_tests::Run::code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 1], "{runs:?}");
    let loser = runs.iter().find(|run| run.code() == 1).unwrap();
    assert!(loser.stderr.contains("already exists") || loser.stderr.contains("is working on"), "{loser}");
    assert_eq!(scene.status("dev"), "Running");
    assert_eq!(scene.processes().len(), 2, "one supervisor, one QEMU: {:?}", scene.processes());
}

#[test]
fn a_machine_outlives_the_terminal_it_was_created_at() {
    let scene = Scene::new();
    let mut terminal = Terminal::open(&scene, 24, 100, "machine create dev; echo made=$?; read line");
    terminal.shows("made=0");
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    terminal.types("\n");
    terminal.ends().ok();
    assert_eq!((scene.qemu("dev"), scene.supervisor("dev")), (qemu.clone(), supervisor));
    assert_eq!(scene.status("dev"), "Running");
    // And nothing of the terminal is held by them.
    for open in fs::read_dir(format!("/proc/{}/fd", qemu.pid)).unwrap().flatten() {
        let target = fs::read_link(open.path()).unwrap_or_default();
        assert!(!target.starts_with("/dev/pts"), "QEMU holds {}", target.display());
    }
}

#[test]
fn progress_at_a_terminal_ends_in_a_check_mark_for_each_stage() {
    let scene = Scene::new();
    let terminal = Terminal::open(&scene, 24, 100, "machine create dev; NO_COLOR=1 machine restart dev");
    let run = terminal.ends();
    let text = run.ok().text();
    for stage in ["Making keys and certificates", "Making disks", "Starting the machine"] {
        assert!(text.contains(&format!("\u{1b}[32m✓\u{1b}[0m {stage}")), "{stage}: {text}");
    }
    let plain = text.split("Starting the machine").last().unwrap();
    assert!(plain.contains("was restarted") && !plain.contains("\u{1b}[3"), "no colours with NO_COLOR: {plain:?}");
}

#[test]
fn rm_at_a_terminal_asks_and_obeys() {
    let scene = Scene::new();
    scene.run("create --no-wait dev").ok();
    for (answer, left) in [("n", 1), ("", 1), ("y", 0)] {
        let mut terminal = Terminal::open(&scene, 24, 80, "machine rm dev");
        terminal.shows("Are you sure? (y/n): ");
        terminal.types(&format!("{answer}\n"));
        terminal.ends().ok();
        assert_eq!(scene.run("ls -q").ok().text().lines().count(), left, "answered {answer:?}");
    }
    scene.nothing_is_left_of("dev");
}

#[test]
fn a_supervisor_that_is_killed_is_replaced_by_the_next_command_and_qemu_goes_on() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let (qemu, supervisor, url) = (scene.qemu("dev"), scene.supervisor("dev"), scene.run("url dev").line().to_owned());
    supervisor.kill();
    until("the supervisor to end", Duration::from_secs(5), || process(supervisor.pid).is_none().then_some(()));
    assert_eq!(scene.run("url dev").ok().line(), url, "the address is known without it");
    let list = scene.run("ls --format json").ok().json();
    assert_eq!((list[0]["state"].as_str(), list[0]["url"].as_str()), (Some("Running"), Some(&*url)), "{list}");
    assert_eq!(scene.qemu("dev"), qemu);
    scene.run("stop dev").ok().does_not_say("by force");
    assert_eq!(scene.status("dev"), "Stopped");
    assert_eq!(process(qemu.pid), None);
    scene.run("start dev").ok();
    assert_eq!(scene.run("url dev").ok().line(), url);
}

#[test]
fn a_qemu_that_is_killed_leaves_a_machine_that_is_off_with_the_reason() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    qemu.kill();
    until("the supervisor to end", Duration::from_secs(10), || process(supervisor.pid).is_none().then_some(()));
    let status = scene.run("status dev");
    assert!(matches!(status.ok().line(), "Stopped" | "Error"), "{status}");
    status.says("SIGKILL");
    let row = &scene.run("ls --format json").ok().json()[0];
    assert!(row.to_string().contains("SIGKILL"), "{row}");
    assert!(row["url"].is_null(), "{row}");
    scene.run("url dev").exits(1).says("Host is not running");
    scene.run("start dev").ok();
    assert_eq!(scene.status("dev"), "Running");
    let row = &scene.run("ls --format json").ok().json()[0];
    assert!(!row.to_string().contains("SIGKILL"), "a new run, a new slate: {row}");
}

#[test]
fn when_both_are_killed_the_machine_is_off_and_starts_again() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let (qemu, supervisor) = (scene.qemu("dev"), scene.supervisor("dev"));
    supervisor.kill();
    qemu.kill();
    until("both to end", Duration::from_secs(5), || {
        (process(supervisor.pid).is_none() && process(qemu.pid).is_none()).then_some(())
    });
    assert!(matches!(&*scene.status("dev"), "Stopped" | "Error"));
    scene.run("start dev").ok();
    assert_eq!(scene.status("dev"), "Running");
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}

#[test]
fn a_port_that_somebody_took_meanwhile_is_replaced_with_a_word() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let url = scene.run("url dev").line().to_owned();
    scene.run("stop dev").ok();
    let taken = std::net::TcpListener::bind(url.strip_prefix("tcp://").unwrap()).unwrap();
    scene.run("start dev").ok();
    let now = scene.run("url dev").ok().line().to_owned();
    assert_ne!(now, url);
    let port = taken.local_addr().unwrap().port().to_string();
    let row = &scene.run("ls --format json").ok().json()[0];
    assert!(row["warnings"].to_string().contains(&port), "{row}");
    let version = scene.shell("sh", "docker --context dev version --format '{{.Server.Version}}'").run();
    assert_eq!(version.ok().line(), "26.1.5", "the context leads there all the same");
}

#[test]
fn a_machine_runs_in_a_store_with_a_name_that_is_hard_to_quote() {
    let scene = Scene::with_store("a b,c \"d\" $HOME 'e' `f` ü\\ %g%");
    scene.run("create dev").ok();
    assert_eq!(scene.status("dev"), "Running");
    scene.run("stop dev").ok();
    scene.run("start dev").ok();
    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
