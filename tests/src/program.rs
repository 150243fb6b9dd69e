//! Where programs are.

use std::env;
use std::path::PathBuf;

/// The folder of this build (`target/debug`): tests run from `deps` in it.
fn build_folder() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().to_owned()
}

/// The `machine` under test.
pub fn machine_program() -> PathBuf {
    let program = env::var_os("MACHINE_TEST_BINARY").map_or_else(|| build_folder().join("machine"), PathBuf::from);
    assert!(
        program.is_file(),
        "{} is not there: `cargo build -p machine-cli` makes it (or name one in MACHINE_TEST_BINARY)",
        program.display()
    );
    program.canonicalize().unwrap()
}

/// The desktop app under test, with the `machine` beside it that supervises its machines.
pub(crate) fn desktop_program() -> PathBuf {
    let program = machine_program().with_file_name("machine-desktop");
    assert!(
        program.is_file(),
        "{} is not there: `npm run build && cargo build -p machine-desktop` makes it",
        program.display()
    );
    program
}

/// The program that plays QEMU.
pub(crate) fn fake_qemu() -> PathBuf {
    let program = build_folder().join("fake-qemu");
    assert!(program.is_file(), "{} is not there: `cargo test -p machine-tests` makes it", program.display());
    program
}

/// A folder of this build that tests may keep things in from run to run.
pub fn kept() -> PathBuf {
    build_folder().parent().unwrap().join("tmp/machine-tests")
}

/// A program on `PATH`.
///
/// # Panics
/// When it is not there, with what brings it.
pub fn find_program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("the program {name:?} is not on PATH: `cargo xtask setup` installs what the tests need")
        })
}

/// Nushell, which no distribution has.
///
/// # Panics
/// When nobody says where it is.
pub fn nushell() -> PathBuf {
    env::var_os("MACHINE_TEST_NU")
        .map(PathBuf::from)
        .expect("MACHINE_TEST_NU names no Nushell: `cargo xtask test` installs one and sets it")
}
