//! Folders of this computer by virtiofs, for real: the same as by 9p.

use std::fs;

use machine_tests::{Scene, until};

use crate::vm_life::{BOOT, docker, import_busybox, slowly};
use crate::vm_share::{Folders, inside, keeps_out_what_is_not_shared, mounted, works_like_a_folder};
use crate::vm_share_9p::carried;

#[test]
fn vm_folders_by_virtiofs_are_like_those_by_9p() {
    let scene = Scene::real();
    let folders = Folders::new(&scene);
    let (folder, project) = (folders.guest(), &folders.project);
    folders.create(&scene, ["--share-type", "virtiofs"]).ok().says("virtiofs carries its folders");
    let by_virtiofs = ("virtiofs".to_owned(), String::new());
    assert_eq!((carried(&scene, folder), carried(&scene, "/docs")), (by_virtiofs.clone(), by_virtiofs.clone()));
    let quoted = format!("\"{folder}\"");
    import_busybox(&scene, "dev");

    works_like_a_folder(&scene, project, &quoted);
    keeps_out_what_is_not_shared(&scene, project, &quoted, &folders.docs);
    // Whoever a container runs as, what it makes is this user's; what nobody may change, it cannot.
    let made = "docker run --rm -v PROJECT:/src box sh -c 'mkdir -m 777 /src/open' \
                && docker run --rm -u 12345 -v PROJECT:/src box sh -c 'echo other >/src/open/file; echo x >/src/hello' 2>&1; true";
    docker(&scene, "dev", &made.replace("PROJECT", &quoted)).ok();
    assert_eq!(fs::read_to_string(project.join("open/file")).unwrap(), "other\n");
    assert_eq!(fs::read_to_string(project.join("hello")).unwrap(), "from here\n");

    slowly(&scene, "suspend dev").fails_clearly().says("started with folders by virtiofs").says("machine stop dev");

    // It needs no supervisor; the next one finds it as it was.
    scene.supervisor("dev").kill();
    assert_eq!(docker(&scene, "dev", "docker exec watcher cat /src/hello").ok().text(), "from here\n");
    mounted(&scene);
    assert_eq!(carried(&scene, "/docs"), by_virtiofs);

    // What comes later goes by SFTP until there is a device for it.
    let more = scene.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("file"), "added\n").unwrap();
    let words = format!("{}:/more", more.display());
    scene.machine(["share", "add", "dev", &words]).ok().says("virtiofs from the machine's next start");
    assert_eq!(inside(&scene, "/more", "cat file").ok().text(), "added\n");
    slowly(&scene, "restart dev").ok();
    until("the folder by its device", BOOT, || (carried(&scene, "/more") == by_virtiofs).then_some(()));
    assert_eq!(inside(&scene, "/more", "cat file").ok().text(), "added\n");
    assert_eq!(inside(&scene, &quoted, "cat hello").ok().text(), "from here\n");

    scene.run("rm -y dev").ok();
    scene.nothing_is_left_of("dev");
}
