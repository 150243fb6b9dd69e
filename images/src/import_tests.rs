use sha2::{Digest, Sha256};

use super::*;
use crate::sparse_copy::hex;
use crate::test_disk::{qcow2, write_qcow2};

struct Place {
    folder: tempfile::TempDir,
    store: ImageStore,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(folder.path().join("images")).unwrap();
    Place { folder, store }
}

impl Place {
    fn import(&self, path: &Path) -> Result<Image> {
        self.store.import(path, &ImportOptions::default(), &Reporter::silent(), &Cancel::new())
    }

    /// A folder as the recipe makes it.
    fn recipe_folder(&self) -> PathBuf {
        let path = self.folder.path().join("out");
        fs::create_dir_all(&path).unwrap();
        let mut files = serde_json::Map::new();
        for (name, bytes) in
            [("disk.qcow2", qcow2(9)), ("vmlinuz", b"kernel".to_vec()), ("initrd.img", b"initrd".to_vec())]
        {
            let digest = serde_json::json!({ "sha256": hex(&Sha256::digest(&bytes)), "size": bytes.len() });
            fs::write(path.join(name), &bytes).unwrap();
            files.insert(name.into(), digest);
        }
        let manifest = serde_json::json!({
            "schema": 1, "name": "machine", "arch": "arm64", "suite": "trixie", "built": "2026-11-22T00:00:00Z",
            "kernel_version": "6.12.48+deb13-arm64", "engine_version": "26.1.5", "kernel_args": "console=ttyAMA0",
            "files": files, "sizes": {}, "packages": [],
        });
        fs::write(path.join("manifest.json"), manifest.to_string()).unwrap();
        path
    }

    fn nothing_is_left(&self) {
        assert!(self.store.list().unwrap().is_empty());
        let names = fs::read_dir(self.store.root().join(".incoming")).map(|entries| entries.flatten().count());
        assert!(names.unwrap_or(0) <= 1, "more than the lock is left");
    }
}

#[test]
fn a_disk_file_is_copied_and_named_after_its_file() {
    let place = place();
    let path = place.folder.path().join("Debian 13 (test).qcow2");
    write_qcow2(&path, 1);
    let image = place.import(&path).unwrap();
    assert_eq!((image.name.as_str(), image.format.as_str()), ("debian-13-test", "qcow2"));
    assert_eq!((image.virtual_size, image.arch), (8 << 30, Arch::of_this_computer()));
    assert_eq!((&image.boot, image.seed), (&Boot::Firmware, SeedKind::NoCloud));
    assert_eq!(image.digest, hex(&Sha256::digest(qcow2(1))));
    assert_eq!(fs::read(&image.disk).unwrap(), qcow2(1));
    assert!(image.disk.starts_with(place.store.root()) && path.exists());
    place.store.find("debian-13-test", Arch::of_this_computer()).unwrap();
}

#[test]
fn a_folder_of_the_recipe_boots_directly_and_brings_its_versions() {
    let place = place();
    let image = place.import(&place.recipe_folder()).unwrap();
    assert_eq!((image.name.as_str(), image.arch, image.seed), ("machine", Arch::Arm64, SeedKind::Machine));
    assert_eq!(image.kernel_version.as_deref(), Some("6.12.48+deb13-arm64"));
    assert_eq!(image.engine_version.as_deref(), Some("26.1.5"));
    let Boot::Direct { kernel, initrd, args } = &image.boot else { panic!("{:?}", image.boot) };
    assert_eq!((fs::read(kernel).unwrap(), fs::read(initrd).unwrap()), (b"kernel".to_vec(), b"initrd".to_vec()));
    assert_eq!(args, "console=ttyAMA0");
    assert!(image.disk.with_file_name("manifest.json").exists());
}

#[test]
fn a_new_kernel_beside_the_same_disk_replaces_the_old_one() {
    let place = place();
    let out = place.recipe_folder();
    let first = place.import(&out).unwrap();
    let manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
    let changed = manifest.replace(&hex(&Sha256::digest("kernel")), &hex(&Sha256::digest("KERNEL")));
    fs::write(out.join("manifest.json"), changed).unwrap();
    fs::write(out.join("vmlinuz"), "KERNEL").unwrap();
    assert_eq!(place.import(&out).unwrap(), first);
    let Boot::Direct { kernel, .. } = &place.store.find("machine", Arch::Arm64).unwrap().boot else { panic!() };
    assert_eq!(fs::read(kernel).unwrap(), b"KERNEL");
}

#[test]
fn a_folder_that_differs_from_its_manifest_is_refused_and_nothing_is_left() {
    let place = place();
    let out = place.recipe_folder();
    fs::write(out.join("vmlinuz"), "other!").unwrap();
    let error = place.import(&out).unwrap_err();
    assert!(error.to_string().contains("vmlinuz is not what manifest.json says: expected sha256"), "{error}");
    place.nothing_is_left();

    let manifest = fs::read_to_string(place.recipe_folder().join("manifest.json")).unwrap();
    for (from, to, why) in [
        ("\"schema\":1", "\"schema\":2", "schema 2"),
        ("\"disk.qcow2\":", "\"../disk.qcow2\":", "unknown file"),
        ("\"initrd.img\":", "\"vmlinuz\":", "kernel without an initrd"),
        ("\"name\":\"machine\"", "\"name\":\"a/b\"", "invalid image name"),
        ("ttyAMA0", "ttyAMA0\\n-x", "kernel arguments"),
        ("{", "[", "not the manifest"),
    ] {
        fs::write(out.join("manifest.json"), manifest.replacen(from, to, 1)).unwrap();
        let error = place.import(&out).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    fs::remove_file(out.join("manifest.json")).unwrap();
    assert!(place.import(&out).unwrap_err().to_string().contains("manifest.json"));
    place.nothing_is_left();
}

#[test]
fn another_architecture_than_asked_for_is_refused() {
    let place = place();
    let options = ImportOptions { arch: Some(Arch::Amd64), ..ImportOptions::default() };
    let error = place.store.import(&place.recipe_folder(), &options, &Reporter::silent(), &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("it is for arm64, not for amd64"), "{error}");
    place.nothing_is_left();
}

#[test]
fn what_is_no_disk_or_has_a_backing_file_is_refused_and_nothing_is_left() {
    let place = place();
    let path = place.folder.path().join("x.img");
    fs::write(&path, "<html>").unwrap();
    assert!(place.import(&path).unwrap_err().to_string().contains("web page"));
    let mut layered = qcow2(1);
    layered[15] = 104;
    layered[19] = 9;
    fs::write(&path, layered).unwrap();
    assert!(place.import(&path).unwrap_err().to_string().contains("backing file"));
    let absent = place.import(&place.folder.path().join("absent.img")).unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    write_qcow2(&place.folder.path().join("(((.img"), 1);
    assert!(place.import(&place.folder.path().join("(((.img")).unwrap_err().hints()[0].contains("--name"));
    place.nothing_is_left();
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let place = place();
    let path = place.folder.path().join("x.img");
    write_qcow2(&path, 1);
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let reporter = Reporter::new(move |event| {
        if matches!(event, machine_core::EventKind::Progress { .. }) {
            asked.cancel();
        }
    });
    let error = place.store.import(&path, &ImportOptions::default(), &reporter, &cancel).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    place.nothing_is_left();
}

#[test]
fn a_path_is_imported_where_an_image_is_needed_and_a_name_is_looked_up() {
    let place = place();
    let path = place.folder.path().join("x.img");
    write_qcow2(&path, 1);
    let need = |what: &str| place.store.find_or_import(what, Arch::Amd64, &Reporter::silent(), &Cancel::new());
    let image = need(path.to_str().unwrap()).unwrap();
    assert_eq!(need("x").unwrap(), image);
    assert_eq!(need("y").unwrap_err().code(), Code::NotFound);
}
