use machine_core::Reporter;

use super::*;
use crate::test_disk::write_qcow2;
use crate::{Cancel, ImportOptions};

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
    fn add(&self, name: &str, arch: Arch, salt: u8) -> Image {
        let path = self.folder.path().join("disk.img");
        write_qcow2(&path, salt);
        let options = ImportOptions { name: Some(name.into()), arch: Some(arch), ..ImportOptions::default() };
        self.store.import(&path, &options, &Reporter::silent(), &Cancel::new()).unwrap()
    }

    fn folder_of(&self, image: &Image) -> PathBuf {
        self.store.root().join(format!("{}@{}", image.name, &image.digest[..12]))
    }
}

#[test]
fn an_empty_or_missing_store_has_no_images_and_is_not_made_by_looking() {
    let place = place();
    assert!(place.store.list().unwrap().is_empty());
    assert!(!place.store.root().exists());
    fs::write(place.folder.path().join("file"), "").unwrap();
    assert!(ImageStore::open(place.folder.path().join("file")).unwrap_err().to_string().contains("not a folder"));
}

#[test]
fn the_newest_of_a_name_is_current_and_older_ones_are_found_by_digest() {
    let place = place();
    let old = place.add("machine", Arch::Amd64, 1);
    let new = place.add("machine", Arch::Amd64, 2);
    let other = place.add("machine", Arch::Arm64, 3);
    assert_eq!(place.store.find("machine", Arch::Amd64).unwrap(), new);
    assert_eq!(place.store.find("machine", Arch::Arm64).unwrap(), other);
    assert_eq!(place.store.find(&old.digest[..8], Arch::Amd64).unwrap(), old);
    assert_eq!(place.store.find(&format!("machine@{}", &old.digest[..4]), Arch::Amd64).unwrap(), old);
    assert_eq!(place.store.by_digest(&old.digest).unwrap(), old);
    let rows = place.store.list().unwrap();
    let current: Vec<bool> = rows.iter().map(|row| row.current).collect();
    assert_eq!(current, [true, true, false]);
    assert!(rows.iter().all(|row| row.size_on_disk > 0 && row.added().is_some()));

    // Brought again, the old one is the current one.
    assert_eq!(place.add("machine", Arch::Amd64, 1), old);
    assert_eq!(place.store.find("machine", Arch::Amd64).unwrap(), old);
    assert_eq!(place.store.list().unwrap().len(), 3);
}

#[test]
fn an_absent_image_is_answered_with_what_to_do() {
    let place = place();
    place.add("web-base", Arch::Arm64, 1);
    let hints = |name: &str| {
        let error = place.store.find(name, Arch::Amd64).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        error.hints().join("; ")
    };
    assert!(hints("machine").contains("machine image build"));
    assert!(hints("debian-13").contains("machine image pull debian-13"));
    assert!(hints("debian").contains("did you mean debian-13?"));
    assert!(hints("web-bas").contains("did you mean web-base?"));
    assert!(hints("web-base").contains("here for arm64 only"));
    assert!(hints("./disk.qcow2").contains("machine image import ./disk.qcow2"));
    assert!(hints("zz").contains("machine image ls"));
    assert_eq!(place.store.by_digest(&"0".repeat(64)).unwrap_err().code(), Code::NotFound);
}

#[test]
fn what_cannot_be_used_is_a_row_that_says_why_and_can_be_removed() {
    let place = place();
    let good = place.add("good", Arch::Amd64, 1);
    let damaged = place.add("damaged", Arch::Amd64, 2);
    let newer = place.add("newer", Arch::Amd64, 3);
    fs::remove_file(&damaged.disk).unwrap();
    fs::write(&damaged.disk, "short").unwrap();
    let record = place.folder_of(&newer).join("image.json");
    let text = fs::read_to_string(&record).unwrap().replace("\"schema\": 1", "\"schema\": 2");
    fs::remove_file(&record).unwrap();
    fs::write(&record, text).unwrap();
    fs::create_dir(place.store.root().join("empty")).unwrap();
    fs::write(place.store.root().join("build-amd64.log"), "no image").unwrap();

    let rows = place.store.list().unwrap();
    let why: Vec<String> =
        rows.iter().map(|row| row.image.as_ref().map_or_else(ToString::to_string, |_| "ok".into())).collect();
    assert_eq!(rows.len(), 4);
    assert!(why[0].contains("disk.qcow2 is damaged: it has 5 bytes"), "{why:?}");
    assert!(why[1].contains("cannot read image.json"), "{why:?}");
    assert_eq!((why[2].as_str(), rows[2].current), ("ok", true));
    assert!(why[3].contains("schema 2"), "{why:?}");
    assert_eq!(place.store.find("good", Arch::Amd64).unwrap(), good);

    let error = place.store.find("damaged", Arch::Amd64).unwrap_err();
    assert!(error.to_string().contains("cannot be used: disk.qcow2 is damaged"), "{error:?}");
    assert!(error.hints()[0].contains("machine image rm damaged@"), "{error:?}");
    for reference in [&rows[0].reference, "empty", "newer"] {
        place.store.remove(reference, &|_| panic!("a broken image is used by nobody")).unwrap();
    }
    assert_eq!(place.store.list().unwrap().len(), 1);
}

#[test]
fn an_image_brought_again_repairs_a_damaged_one() {
    let place = place();
    let image = place.add("machine", Arch::Amd64, 1);
    fs::remove_file(&image.disk).unwrap();
    assert!(place.store.find("machine", Arch::Amd64).is_err());
    assert_eq!(place.add("machine", Arch::Amd64, 1), image);
    assert_eq!(place.store.find("machine", Arch::Amd64).unwrap(), image);
}

#[test]
fn removal_is_refused_while_machines_use_the_image_and_names_them() {
    let place = place();
    let image = place.add("machine", Arch::Amd64, 1);
    let digest = image.digest.clone();
    let users = move |asked: &str| if asked == digest { vec!["dev".into(), "web".into()] } else { Vec::new() };
    let error = place.store.remove("machine", &users).unwrap_err();
    assert!(error.to_string().ends_with("is used by dev, web"), "{error}");
    assert!(image.disk.exists());
    assert_eq!(place.store.remove("nothing", &users).unwrap_err().code(), Code::NotFound);

    place.add("machine", Arch::Amd64, 2);
    let error = place.store.remove("machine", &users).unwrap_err();
    assert!(error.to_string().contains("means several images: machine@"), "{error}");
    assert_eq!(error.code(), Code::Usage);
    let row = place.store.remove(&format!("machine@{}", &image.digest[..12]), &|_| Vec::new()).unwrap();
    assert_eq!(row.image.unwrap().image, image);
    assert!(!image.disk.exists());
    let left: Vec<_> =
        fs::read_dir(place.store.root().join(".incoming")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[cfg(unix)]
#[test]
fn files_of_an_image_are_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let image = place.add("machine", Arch::Amd64, 1);
    for entry in fs::read_dir(place.folder_of(&image)).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o444, "{:?}", entry.path());
    }
    assert_eq!(fs::metadata(place.store.root()).unwrap().permissions().mode() & 0o777, 0o700);
}
