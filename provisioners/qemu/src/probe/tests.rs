//! QEMU's programs are scripts here, except in the last tests, which ask the real one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use machine_core::Code;
use machine_images::Arch;

use super::qemu::probe_among;
use super::{Search, fingerprint, probe_host, probe_qemu};
use crate::facts::{Accelerator, HostFacts, HostOs, Version};

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{body}")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file
}

fn fake_qemu(folder: &Path, version: &str) -> PathBuf {
    script(folder, "qemu-img", "exit 0");
    script(
        folder,
        "qemu-system-x86_64",
        &format!(
            r#"[ "$LC_ALL" = C ] || exit 9
case "$*" in
  --version) echo "QEMU emulator version {version} (Fake {version}-1)"; echo "Copyright (c) 2003-2025";;
  *--version) echo "qemu: -sandbox on: There is no option group 'sandbox'" >&2; exit 1;;
  *accel*) printf 'Accelerators supported in QEMU binary:\ntcg\nkvm\nxen\n';;
  *virtio-9p-pci,help) printf 'virtio-9p-pci options:\n  mount_tag=<str>\n';;
  *netdev*) printf 'Available netdev backend types:\nsocket\nuser\n' >&2;;
  *) exit 2;;
esac"#
        ),
    )
}

fn linux() -> HostFacts {
    HostFacts { os: HostOs::Linux, ..probe_host() }
}

fn among(programs: &[PathBuf]) -> machine_core::Result<Option<crate::QemuFacts>> {
    probe_among(programs, &[], Arch::Amd64, &linux())
}

#[test]
fn a_qemu_that_the_user_named_is_asked_for_everything_that_a_plan_needs() {
    let temp = tempfile::tempdir().unwrap();
    let program = fake_qemu(&temp.path().join("my qemu, ü"), "9.1.50");
    let search = Search { explicit: Some(program.clone()), ..Search::default() };
    let qemu = probe_qemu(&search, Arch::Amd64, &linux()).unwrap().unwrap();
    assert_eq!(
        (qemu.version, qemu.version_text.as_str()),
        (Version::new(9, 1, 50), "QEMU emulator version 9.1.50 (Fake 9.1.50-1)")
    );
    assert_eq!(qemu.accelerators.iter().copied().collect::<Vec<_>>(), [Accelerator::Kvm, Accelerator::Tcg]);
    assert!(qemu.user_network, "it is printed on standard error by some versions");
    assert!(!qemu.sandbox);
    assert!(qemu.nine_p);
    assert_eq!(qemu.img, program.with_file_name("qemu-img"));
    assert_eq!(qemu.fingerprint, fingerprint(&program).unwrap());
    let kept = serde_json::to_string(&qemu).unwrap();
    assert_eq!(serde_json::from_str::<crate::QemuFacts>(&kept).unwrap(), qemu);
}

#[test]
fn a_path_entry_is_searched_and_one_that_is_relative_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let path = std::env::join_paths([Path::new("."), temp.path()]).unwrap();
    let search = Search { path: Some(path), home: Some("/home/u".into()), ..Search::default() };
    for os in [HostOs::Linux, HostOs::MacOs] {
        let folders = search.folders(os);
        assert_eq!(folders[0], temp.path());
        assert!(folders.contains(&"/home/u/.nix-profile/bin".into()), "{folders:?}");
    }
}

#[test]
fn the_newest_of_several_is_taken_and_one_that_does_not_run_is_passed_over() {
    let temp = tempfile::tempdir().unwrap();
    let old = fake_qemu(&temp.path().join("a"), "8.2.2");
    let new = fake_qemu(&temp.path().join("b"), "10.0.2");
    let broken = script(&temp.path().join("c"), "qemu-system-x86_64", "echo 'cannot load libfoo.so' >&2; exit 127");
    assert_eq!(among(&[old.clone(), new.clone(), broken.clone()]).unwrap().unwrap().program, new);
    assert_eq!(among(&[broken.clone(), old.clone()]).unwrap().unwrap().program, old);
    let error = among(&[broken]).unwrap_err();
    assert!(error.to_string().contains("cannot load libfoo.so"), "{error}");
    assert!(error.code() == Code::PreCreate && error.hints()[0].contains("apt install"), "{error:?}");
    assert_eq!(among(&[]).unwrap(), None);
}

#[test]
fn a_newer_qemu_that_only_an_upgrade_would_help_loses_to_an_older_one() {
    let temp = tempfile::tempdir().unwrap();
    let good = fake_qemu(&temp.path().join("a"), "8.2.2");
    let bad = fake_qemu(&temp.path().join("b"), "9.2.1");
    let m4 = HostFacts { os: HostOs::MacOs, os_version: "15.3".into(), arch: Arch::Arm64, apple_sme: true, ..linux() };
    let chosen = probe_among(&[bad, good.clone()], &[], Arch::Arm64, &m4).unwrap().unwrap();
    assert_eq!(chosen.program, good);
}

#[test]
fn a_qemu_without_qemu_img_says_what_to_install() {
    let temp = tempfile::tempdir().unwrap();
    let program = fake_qemu(temp.path(), "10.0.2");
    std::fs::remove_file(temp.path().join("qemu-img")).unwrap();
    let error = among(&[program]).unwrap_err();
    assert!(error.to_string().contains("but no qemu-img") && error.hints()[0].contains("qemu-utils"), "{error:?}");
}

#[test]
fn the_fingerprint_changes_with_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("qemu");
    std::fs::write(&file, "one").unwrap();
    let before = fingerprint(&file).unwrap();
    assert_eq!(fingerprint(&file).unwrap(), before);
    std::fs::write(&file, "three").unwrap();
    assert_ne!(fingerprint(&file).unwrap(), before);
}
