//! Images that the tests' machines are made from, in image stores that all tests of a build share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Value, json};
use sha2::Digest as _;

use crate::program::{find_program, kept, machine_program};

/// An image store with an image for the QEMU that is played: a disk without content, a kernel that is none.
pub fn fake_images() -> PathBuf {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE
        .get_or_init(|| {
            let store = kept().join("fake-images");
            let folder = tempfile::tempdir().unwrap();
            make_fake(folder.path());
            import(folder.path(), &store);
            store
        })
        .clone()
}

fn make_fake(folder: &Path) {
    let disk = folder.join("disk.qcow2");
    let made =
        Command::new(find_program("qemu-img")).args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("64M").status();
    assert!(made.unwrap().success(), "qemu-img cannot make {}", disk.display());
    fs::write(folder.join("vmlinuz"), "a kernel that nobody boots").unwrap();
    fs::write(folder.join("initrd.img"), "an initrd that nobody boots").unwrap();
    let mut files = serde_json::Map::new();
    for name in ["disk.qcow2", "vmlinuz", "initrd.img"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        files.insert(name.into(), json!({ "sha256": digest, "size": bytes.len() }));
    }
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let manifest = json!({
        "schema": 1, "name": "machine", "arch": arch, "kernel_version": "6.12.1-played", "engine_version": "26.1.5",
        "kernel_args": "console=ttyS0", "files": files,
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

/// An image store with our own image, as the recipe makes it.
///
/// # Panics
/// When there is none: `MACHINE_TEST_IMAGE` names its folder, otherwise xtask's cache is asked.
pub fn real_images() -> PathBuf {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE
        .get_or_init(|| {
            let store = kept().join("images");
            import_real(&store);
            store
        })
        .clone()
}

/// Brings that image into another store.
pub(crate) fn import_real(store: &Path) {
    let named = std::env::var_os("MACHINE_TEST_IMAGE").map(PathBuf::from).or_else(|| newest_built("images"));
    let folder = named.unwrap_or_else(|| {
        panic!("there is no image to boot: `cargo xtask image` makes one, or name its folder in MACHINE_TEST_IMAGE")
    });
    import(&folder, store);
}

/// An image store with a Debian that has cloud-init and sshd, and no engine: `debian-13`.
///
/// # Panics
/// When there is none: `MACHINE_TEST_BARE` names its folder, otherwise xtask's cache is asked.
pub fn bare_images() -> PathBuf {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE
        .get_or_init(|| {
            let folder = std::env::var_os("MACHINE_TEST_BARE").map(PathBuf::from).or_else(|| newest_built("bare")).unwrap_or_else(|| {
                panic!("there is no bare Debian: `cargo xtask image --bare` makes one, or name its folder in MACHINE_TEST_BARE")
            });
            let store = kept().join("bare-images");
            put_vendors(&folder, &store);
            store
        })
        .clone()
}

/// Puts a vendor's image into a store by hand: one that starts without a boot loader, which a download never does.
fn put_vendors(folder: &Path, store: &Path) {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let mut files = serde_json::Map::new();
    for name in ["disk.qcow2", "vmlinuz", "initrd.img"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        files.insert(name.into(), json!({ "sha256": digest, "size": bytes.len() }));
    }
    let digest = files["disk.qcow2"]["sha256"].as_str().unwrap().to_owned();
    let place = store.join(format!("debian-13@{}", &digest[..12]));
    if place.join("image.json").is_file() {
        return;
    }
    let _nothing_there_yet = fs::remove_dir_all(store);
    fs::create_dir_all(&place).unwrap();
    for name in files.keys() {
        fs::copy(folder.join(name), place.join(name)).unwrap();
    }
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let image = json!({
        "schema": 1, "added": "2026-11-22T00:00:00Z", "source": "made for tests", "files": files,
        "name": "debian-13", "digest": digest, "arch": arch, "disk": "disk.qcow2", "format": "qcow2",
        "virtual_size": 3_u64 << 30, "seed": "no_cloud", "engine_version": null, "kernel_version": null,
        "boot": { "kind": "direct", "kernel": "vmlinuz", "initrd": "initrd.img", "args": manifest["kernel_args"] },
    });
    fs::write(place.join("image.json"), image.to_string()).unwrap();
}

/// The newest image in a folder of xtask's cache.
fn newest_built(kind: &str) -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from("MACHINE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("machine-dev")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/machine-dev")))?;
    let folders = fs::read_dir(cache.join(kind)).ok()?.flatten().map(|entry| entry.path());
    let made = |folder: &PathBuf| fs::metadata(folder.join("manifest.json")).and_then(|file| file.modified()).ok();
    folders.filter_map(|folder| Some((made(&folder)?, folder))).max().map(|(_, folder): (SystemTime, _)| folder)
}

/// Imports `folder` unless the store has it, and makes it the only one there: images are large.
fn import(folder: &Path, store: &Path) {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap_or_else(|error| {
        panic!("{} is no folder of an image: {error}", folder.display());
    }))
    .unwrap();
    let digest = manifest["files"]["disk.qcow2"]["sha256"].as_str().unwrap();
    let wanted = format!("machine@{}", &digest[..12]);
    if !store.join(&wanted).join("image.json").is_file() {
        // Nothing but images is in there, and none of them is used by a machine that outlived its test.
        let _nothing_there_yet = fs::remove_dir_all(store);
        let output = Command::new(machine_program())
            .args(["image", "import"])
            .arg(folder)
            .env("MACHINE_IMAGE_PATH", store)
            .env("MACHINE_STORAGE_PATH", store.join("no-machines"))
            .output()
            .unwrap();
        assert!(output.status.success(), "image import: {}", String::from_utf8_lossy(&output.stderr));
        assert!(store.join(&wanted).join("image.json").is_file(), "{wanted} is not in {}", store.display());
    }
}
