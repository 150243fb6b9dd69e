//! Two machines at once.

use machine_tests::{Scene, listeners, process};

use crate::vm_life::{BOOT, docker, import_busybox};

#[test]
fn vm_two_machines_at_once_share_nothing_and_rm_leaves_nothing() {
    let scene = Scene::real();
    let creating: Vec<_> = ["one", "two"]
        .map(|name| scene.command(["create", "--cpus", "2", "--memory", "1g", name]).limit(BOOT * 2).start())
        .into();
    for create in creating {
        create.finish().ok();
    }
    let ssh = |name: &str, line: &str| scene.machine(["ssh", name, line]).ok().text().to_owned();
    for (what, line) in [
        ("machine-id", "cat /etc/machine-id"),
        ("host name", "hostname"),
        ("host key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        ("authorized key", "cat ~/.ssh/authorized_keys"),
        ("server certificate", "sudo cat /etc/docker/server.pem"),
    ] {
        assert_ne!(ssh("one", line), ssh("two", line), "{what}");
    }
    assert_eq!(ssh("one", "hostname"), "one\n");
    for name in ["one", "two"] {
        import_busybox(&scene, name);
        assert_eq!(
            docker(&scene, name, &format!("docker run --rm --hostname {name} box sh -c 'cat /etc/hostname'"))
                .ok()
                .line(),
            name
        );
        let serial = scene.folder(name).join("server.pem");
        assert!(serial.is_file());
    }

    let (qemu, supervisor) = (scene.qemu("one"), scene.supervisor("one"));
    let ports = qemu.listens_on();
    assert_eq!(ports.len(), 2);
    scene.run("rm -y one").ok();
    scene.nothing_is_left_of("one");
    assert_eq!((process(qemu.pid), process(supervisor.pid)), (None, None));
    assert!(listeners().is_disjoint(&ports), "ports of the removed machine are open");
    assert_eq!(docker(&scene, "two", "docker run --rm box echo there").ok().line(), "there", "the other one goes on");
    scene.run("rm -y two").ok();
    scene.nothing_is_left_of("two");
}
