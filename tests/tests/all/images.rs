//! The image store, by the commands that people use.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use machine_tests::{Scene, fake_images};
use serde_json::{Value, json};
use sha2::Digest as _;

/// A scene with an image store of its own, empty; and the folder of an image that can be imported.
pub fn scene() -> (Scene, PathBuf) {
    let mut scene = Scene::new();
    scene.set("MACHINE_IMAGE_PATH", scene.path("images"));
    let folder = scene.path("machine-image");
    fs::create_dir(&folder).unwrap();
    let stored = fs::read_dir(fake_images()).unwrap().flatten().map(|entry| entry.path());
    let stored = stored.into_iter().find(|path| path.join("manifest.json").is_file()).unwrap();
    for file in ["disk.qcow2", "vmlinuz", "initrd.img", "manifest.json"] {
        fs::copy(stored.join(file), folder.join(file)).unwrap();
    }
    (scene, folder)
}

fn here(scene: &Scene) -> Vec<Value> {
    let list = scene.run("image ls --format json").ok().json();
    list.as_array().unwrap().iter().filter(|image| !image["digest"].is_null()).cloned().collect()
}

#[test]
fn an_image_is_imported_shown_used_kept_while_it_is_needed_and_removed() {
    let (scene, folder) = scene();
    assert_eq!(here(&scene), Vec::<Value>::new());
    let import = ["image".as_ref(), "import".as_ref(), folder.as_os_str()];
    scene.machine(import).ok().prints_nothing().says("Image machine@");
    let digest = here(&scene)[0]["digest"].as_str().unwrap().to_owned();
    // Once more is the same image.
    scene.machine(import).ok();
    assert_eq!(here(&scene).len(), 1);
    let shown = scene.run("image show machine").ok().json();
    assert_eq!(
        (shown["name"].as_str(), shown["engine_version"].as_str()),
        (Some("machine"), Some("26.1.5")),
        "{shown}"
    );
    assert!(shown["digest"].as_str().unwrap().starts_with(&digest), "{shown}");
    assert!(scene.run("image ls").ok().text().contains(&digest));

    scene.run("create --no-wait dev").ok();
    assert_eq!(here(&scene)[0]["machines"], json!(["dev"]));
    let refused = scene.run("image rm machine");
    refused.exits(1).prints_nothing().says("used by dev").fails_clearly();
    assert_eq!(scene.machine(["create", "--no-wait", "--image", &format!("machine@{digest}"), "two"]).ok().code(), 0);
    scene.run("rm -y dev two").ok();
    scene.run("image rm machine").ok().prints_nothing();
    assert_eq!(here(&scene), Vec::<Value>::new());
    let left =
        fs::read_dir(scene.path("images")).unwrap().flatten().filter(|entry| entry.file_name() != ".incoming").count();
    assert_eq!(left, 0);
    for line in ["image rm machine", "image show machine"] {
        scene.run(line).exits(1).prints_nothing().says("machine").fails_clearly();
    }
}

#[test]
fn a_machine_whose_image_is_gone_says_so_instead_of_starting() {
    let (scene, folder) = scene();
    scene.machine(["image".as_ref(), "import".as_ref(), folder.as_os_str()]).ok();
    scene.run("create --no-wait dev").ok();
    scene.run("stop dev").ok();
    fs::remove_dir_all(scene.path("images")).unwrap();
    let row = &scene.run("ls --format json").ok().json()[0];
    assert_eq!(row["state"], "Error", "{row}");
    assert!(row["error"].as_str().unwrap().contains("image is gone"), "{row}");
    scene.run("start dev").exits(1).prints_nothing().says("image").fails_clearly();
    // It comes back with its image, and nothing of it was lost.
    scene.machine(["image".as_ref(), "import".as_ref(), folder.as_os_str()]).ok();
    scene.run("start dev").ok();
}

#[test]
fn the_catalog_names_what_can_be_had_and_that_it_is_not_here() {
    let (scene, _) = scene();
    let list = scene.run("image ls --format json").ok().json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"debian-13"), "{names:?}");
    assert!(scene.run("image ls").ok().text().contains("machine image pull"));
    scene.run("image pull nosuchimage").exits(1).prints_nothing().says("nosuchimage").fails_clearly();
}

/// A web server on this computer with one disk and its digest. What it sends of the disk can be changed at any time.
struct Vendor {
    port: u16,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Vendor {
    fn of(disk: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let digest: String = sha2::Sha512::digest(disk).iter().map(|byte| format!("{byte:02x}")).collect();
        let (length, sent) = (disk.len(), Arc::new(Mutex::new(disk.to_vec())));
        let bytes = Arc::clone(&sent);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut request = String::new();
                let mut reader = BufReader::new(client.try_clone().unwrap());
                while reader.read_line(&mut request).is_ok_and(|count| count > 2) {}
                let list = format!("{digest} *disk.qcow2\n").into_bytes();
                let (length, body) = match request.split(' ').nth(1) {
                    Some("/disk.qcow2") => (length, bytes.lock().unwrap().clone()),
                    _ => (list.len(), list),
                };
                // The length is always that of the whole: one who is sent less sees a connection that broke off.
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _the_client_may_have_gone = client.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        Self { port, sent }
    }

    fn catalog(&self, scene: &mut Scene) {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let address = |file: &str| format!("http://127.0.0.1:{}/{file}", self.port);
        let entry = json!({
            "name": "far-away", "title": "An image of this test", "arch": arch, "url": address("disk.qcow2"),
            "checksum_url": address("SHA512SUMS"), "checksum": "sha512", "seed": "no_cloud", "user": "debian"
        });
        let catalog = scene.path("catalog.json");
        fs::write(&catalog, json!({ "schema": 1, "images": [entry] }).to_string()).unwrap();
        scene.set("MACHINE_IMAGE_CATALOG", catalog);
    }
}

#[test]
fn a_download_that_breaks_off_or_is_not_what_its_vendor_published_is_never_an_image() {
    let (mut scene, folder) = scene();
    let disk = fs::read(folder.join("disk.qcow2")).unwrap();
    let vendor = Vendor::of(&disk);
    vendor.catalog(&mut scene);
    *vendor.sent.lock().unwrap() = disk[..disk.len() / 2].to_vec();
    let run = scene.run("image pull far-away");
    run.exits(1).prints_nothing().says("far-away").fails_clearly();
    assert_eq!(here(&scene), Vec::<Value>::new());

    let mut wrong = disk.clone();
    *wrong.last_mut().unwrap() ^= 1;
    *vendor.sent.lock().unwrap() = wrong;
    let run = scene.run("image pull far-away");
    run.exits(1).prints_nothing().says("far-away").fails_clearly();
    assert_eq!(here(&scene), Vec::<Value>::new());

    *vendor.sent.lock().unwrap() = disk;
    scene.run("image pull far-away").ok().prints_nothing();
    assert_eq!(here(&scene)[0]["name"], "far-away");
}

#[test]
fn where_nothing_can_be_downloaded_the_way_without_is_named() {
    let (mut scene, folder) = scene();
    let mut vendor = Vendor::of(&fs::read(folder.join("disk.qcow2")).unwrap());
    // A port of this computer where nobody listens.
    vendor.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    vendor.catalog(&mut scene);
    let run = scene.run("image pull far-away");
    run.exits(1).prints_nothing().says("machine image build").fails_clearly();
    assert_eq!(here(&scene), Vec::<Value>::new());
}
