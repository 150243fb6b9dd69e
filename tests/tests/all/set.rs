//! What can be changed of a machine after it was made. QEMU and the engine are played, its disks are real.

use std::net::Ipv4Addr;
use std::time::Duration;

use machine_tests::{Scene, page, until};

#[test]
fn a_machine_that_is_off_gets_another_size_and_one_that_is_not_keeps_its_own() {
    let scene = Scene::new();
    scene.run("create --cpus 1 --memory 512m --disk 2g dev").ok();
    scene.run("set dev --memory 1g").exits(1).says("is not off").says("machine stop dev").fails_clearly();
    scene.run("stop dev").ok();
    scene.run("set dev --disk 1g").exits(2).says("disks do not shrink").fails_clearly();
    scene.run("set dev --cpus 1000").exits(3).fails_clearly();
    scene.run("set dev --cpus 0").exits(2).says("at least one CPU");
    scene.run("set dev").exits(2).says("nothing to set was named");
    let row = || scene.run("ls --format json").ok().json()[0].clone();
    assert_eq!(
        (row()["cpus"].as_u64(), row()["memory_mib"].as_u64(), row()["disk_mib"].as_u64()),
        (Some(1), Some(512), Some(2048))
    );
    scene.run("set dev --cpus 2 --memory 1g --disk 3g").ok().says("from its next start on");
    assert_eq!(
        (row()["cpus"].as_u64(), row()["memory_mib"].as_u64(), row()["disk_mib"].as_u64()),
        (Some(2), Some(1024), Some(3072))
    );
    let disk = scene.folder("dev").join("data.qcow2");
    let info = scene.program("qemu-img").args(["info", "--output=json"]).args([&disk]).run().ok().json();
    assert_eq!(info["virtual-size"].as_u64(), Some(3 << 30));
    scene.run("start dev").ok();
    let command = scene.qemu("dev").command;
    assert!(command.contains(" -m 1024") && command.contains(" -smp 2"), "{command}");
}

#[test]
fn ports_are_published_for_others_or_for_this_computer_alone_at_once() {
    let mut scene = Scene::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    scene.set("FAKE_QEMU", format!("containers=2 first-port={port}"));
    scene.run("create dev").ok();
    let open_at = |host: &str| {
        until(&format!("the port to be open at {host}"), Duration::from_secs(30), || {
            let rows = scene.run("ports dev --format json").ok().json();
            let addresses = rows[0]["state"]["addresses"].clone();
            addresses.as_array()?.contains(&format!("{host}:{port}").into()).then_some(())
        });
        assert_eq!(page((Ipv4Addr::LOCALHOST, port).into()).unwrap(), "played\n");
    };
    open_at("127.0.0.1");
    scene.run("set dev --publish lan").ok().says("published there now");
    open_at("0.0.0.0");
    scene.run("restart dev").ok();
    open_at("0.0.0.0");
    scene.run("set dev --publish loopback").ok();
    open_at("127.0.0.1");
    scene.run("stop dev").ok();
    scene.run("set dev --publish lan").ok().says("from its next start on");
    assert_eq!(scene.record("dev")["spec"]["publish"], "lan");
}
