//! The real window, with a QEMU that is played and (names that begin with `vm_`) with a real machine.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::Duration;

use machine_tests::{Scene, Window, busybox, until};
use serde_json::Value;

#[test]
fn a_machine_is_made_stopped_started_and_removed_by_clicking_and_the_command_line_agrees() {
    let scene = Scene::new();
    let window = Window::open(&scene);
    window.shows("No machines yet");
    window.picture("empty");
    window.click("Create your first machine");
    window.fill("Name", "-no");
    window.shows("it must begin and end with a letter or digit");
    window.fill("Name", "dev");
    window.shows("machine create dev");
    window.picture("create");
    window.click("Create");
    window.shows("dev is ready");
    window.shows("Point Docker at it");
    window.picture("ready");
    window.click("Done");
    assert_eq!(scene.status("dev"), "Running");
    window.shows(scene.run("url dev").ok().line());
    window.shows("Docker 26.1.5");
    window.picture("running");

    window.click("Stop dev");
    window.shows("Machine \"dev\" was stopped.");
    assert_eq!(scene.status("dev"), "Stopped");

    // What the command line does, the window sees.
    scene.run("start dev").ok();
    window.shows("1 of 1 running");
    window.click("More for dev");
    window.click("Kill");
    window.shows("Machine \"dev\" was killed.");
    window.shows("0 of 1 running");

    window.click("More for dev");
    window.click("Remove…");
    window.shows("Type dev to confirm");
    window.fill("Type dev to confirm", "de");
    window.shows("machine rm -y dev");
    assert_eq!(window.script("return document.querySelector('dialog .primary').disabled", &Value::Array(vec![])), true);
    window.picture("remove");
    window.fill("Type dev to confirm", "dev");
    window.click("Remove machine");
    window.shows("No machines yet");
    drop(window);
    scene.nothing_is_left_of("dev");
}

#[test]
fn containers_come_and_go_by_events_and_their_logs_are_followed() {
    let mut scene = Scene::new();
    scene.set("FAKE_QEMU", "containers=3");
    scene.run("create dev").ok();
    let window = Window::open(&scene);
    window.click("Open dev");
    window.shows("3 containers");
    window.does_not_show("answered 500");
    window.shows("shop-1");
    window.shows("8001:80/tcp");
    window.picture("containers");
    window.click("Stop web-0");
    window.shows("Exited (0)");
    window.click("Start web-0");
    window.click("Log of web-1");
    window.shows("hello from 1");
    window.shows("warning: played");
    window.picture("container-log");
    window.click("All containers");
    window.click("More for web-2");
    window.click("Remove…");
    window.shows("docker --context dev rm --force --volumes web-2");
    window.click("Remove container");
    window.shows("2 containers");
    window.click("Logs");
    window.shows("machine-guest: engine listening");
    // What goes on underneath is told, and gets better by itself.
    window.click("Containers");
    scene.run("stop dev").ok();
    window.shows("Host is not running");
    scene.run("start dev").ok();
    window.shows("3 containers");
    window.does_not_show("Host is not running");
}

#[test]
fn vm_a_real_machine_is_made_by_clicking_and_a_container_on_it_is_seen_read_and_stopped() {
    const BOOT: Duration = Duration::from_secs(240);
    let scene = Scene::real();
    let window = Window::open(&scene).with_patience(BOOT);
    window.click("Create your first machine");
    window.fill("Name", "dev");
    window.click("Create");
    window.shows("Creating dev");
    window.picture("vm-creating");
    window.shows("dev is ready");
    window.click("Done");
    window.click("Open dev");
    window.shows("No containers yet");
    window.does_not_show("answered");
    let docker = |line: &str| {
        let script = format!("eval \"$(machine env dev)\" || exit 99\n{line}");
        scene.shell("bash", &script).limit(BOOT).run().ok();
    };
    docker(&format!("docker import -c 'CMD [\"sh\"]' {} box >/dev/null", busybox(&scene).display()));
    docker(
        "docker run -d --init --name talker box sh -c 'while echo said by a container; do sleep 1; done' >/dev/null",
    );
    window.shows("talker");
    window.shows("1 container");
    window.picture("vm-containers");
    window.click("Log of talker");
    window.shows("said by a container");
    // What it uses, what runs in it, and a shell in it: over one more connection each.
    window.click("Figures");
    window.shows("since it started");
    window.picture("vm-figures");
    window.click("Processes");
    window.shows("while echo said by a container");
    window.click("Details");
    window.shows("NetworkSettings");
    window.click("Terminal");
    window.type_into("Terminal in talker", "echo $((6*7)) by hand");
    window.shows("42 by hand");
    window.picture("vm-terminal");
    window.click("All containers");
    window.click("Images");
    window.shows("box:latest");
    window.click("Networks");
    window.shows("172.17.0.");
    window.click("New network…");
    window.fill("Name", "frontier");
    window.click("Create network");
    window.shows("172.18.0.0/16");
    window.click("Volumes");
    window.shows("No volumes yet");
    window.click("Images");
    window.click("Run box:latest");
    window.fill("Name", "second");
    window.shows("docker --context dev run -d --name second box:latest");
    window.click("Run");
    window.shows("second, talker");
    window.click("Remove unused…");
    window.shows("There are none.");
    window.click("Cancel");
    window.click("Containers");
    window.shows("2 containers");
    window.click("More for second");
    window.click("Remove…");
    window.click("Remove container");
    window.shows("1 container");
    window.click("Stop talker");
    window.shows("Exited");
    window.click("More for talker");
    window.click("Remove…");
    window.click("Remove container");
    window.shows("No containers yet");
    window.click("Machines");
    window.click("Stop dev");
    window.shows("Machine \"dev\" was stopped.");
    assert_eq!(scene.status("dev"), "Stopped");
}

#[test]
fn what_cannot_be_read_or_started_is_a_row_that_explains_itself() {
    let mut scene = Scene::new();
    scene.set("FAKE_QEMU", "dies");
    let torn = scene.folder("torn");
    fs::create_dir_all(&torn).unwrap();
    fs::write(torn.join("machine.json"), "{\"schema\": 1").unwrap();
    let window = Window::open(&scene);
    window.shows("the record is broken");
    window.click("New machine");
    window.fill("Name", "dev");
    window.click("Create");
    window.shows("dev could not be created");
    window.shows("it cannot start today");
    window.shows("What to do");
    window.picture("failed");
    window.click("Close");
    window.picture("failed-row");
    // By force, because there is nothing to read.
    window.click("More for torn");
    window.click("Remove…");
    window.shows("machine rm -f torn");
    window.fill("Type torn to confirm", "torn");
    window.click("Remove machine");
    until("the folder to go", Duration::from_secs(10), || (!torn.exists()).then_some(()));
}

#[test]
fn the_page_reaches_our_own_commands_alone_and_no_other_host_path_or_code() {
    let scene = Scene::new();
    let window = Window::open(&scene);
    window.shows("No machines yet");
    let thrown = |body: &str| window.async_script(body)["thrown"].as_str().unwrap_or_default().to_owned();
    // Commands: none of Tauri's, none with a path for a name.
    for command in ["plugin:window|close", "plugin:event|listen", "plugin:app|version", "plugin:path|resolve_directory"]
    {
        let refused = thrown(&format!("return await window.__TAURI_INTERNALS__.invoke('{command}', {{}})"));
        assert!(refused.contains("not allowed"), "{command}: {refused:?}");
    }
    let refused = thrown(
        "return await window.__TAURI_INTERNALS__.invoke('command_line', {action: {verb: 'start', name: '../x'}})",
    );
    assert!(refused.contains("invalid machine name"), "{refused:?}");
    let refused = thrown(
        "return await window.__TAURI_INTERNALS__.invoke('change_container', {action: {machine: 'dev', verb: 'start', id: '../images/x'}})",
    );
    assert!(refused.contains("no identifier of a container"), "{refused:?}");
    let refused = thrown(
        "return await window.__TAURI_INTERNALS__.invoke('change_engine', {action: {machine: 'dev', verb: 'run', new: {image: 'a', \
         name: null, ports: [], volumes: [{volume: '/etc', target: '/x'}], environment: [], restart: 'no'}}})",
    );
    assert!(refused.contains("is no name"), "{refused:?}");
    // The network, and code that did not come with the page.
    let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    here.set_nonblocking(true).unwrap();
    let address = here.local_addr().unwrap();
    assert_ne!(thrown(&format!("return await (await fetch('http://{address}/')).text()")), "");
    assert_ne!(thrown("return new Function('return 1')()"), "");
    window.script(
        &format!("location.href = 'http://{address}/'; const i = new Image(); i.src = 'http://{address}/i.png'; document.body.append(i)"),
        &Value::Array(vec![]),
    );
    window.shows("No machines yet");
    assert!(here.accept().is_err(), "the page reached another host");
}
