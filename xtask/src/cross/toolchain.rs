//! Debian's Rust with a standard library for other systems, and zig as C compiler for macOS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::command::{Output, Program};
use crate::{Result, places};

/// Windows, by MinGW: what Wine can run.
pub const WINDOWS: &str = "x86_64-pc-windows-gnu";
/// Windows, by Microsoft's tools: what is shipped. Checked only.
pub const WINDOWS_MSVC: &str = "x86_64-pc-windows-msvc";
/// macOS on Intel.
pub const MACOS: &str = "x86_64-apple-darwin";
/// macOS on Apple silicon.
pub const MACOS_ARM: &str = "aarch64-apple-darwin";

/// Debian's compiler: of one version with the source of its standard library, which rustup's is not everywhere.
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LIBRARY_SOURCE: &str = "/usr/lib/rustlib/src/rust/library";

/// All that is needed, in our cache.
pub struct Toolchain {
    root: PathBuf,
    folder: PathBuf,
    version: String,
}

impl Toolchain {
    /// Finds Debian's Rust; `None` where it is not installed.
    pub fn find() -> Result<Option<Self>> {
        if [RUSTC, CARGO, LIBRARY_SOURCE].iter().any(|path| !Path::new(path).exists()) {
            return Ok(None);
        }
        let version = Program::new(RUSTC).arg("--version").without("RUSTUP_TOOLCHAIN").read()?;
        let folder = places::cache()?.join("cross");
        places::make_folder(&folder)?;
        Ok(Some(Self { root: places::root()?, folder, version: version.trim().to_owned() }))
    }

    /// The compiler's version, as it says it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder in the cache.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the standard library of a target, and what its C compiler needs, if they are not there yet.
    pub fn prepare(&self, target: &str, output: &mut Output) -> Result<()> {
        let library = self.library(target);
        if !library.is_dir() {
            self.build_library(target, &library, output)?;
        }
        if is_macos(target) { self.install_zig(output) } else { Ok(()) }
    }

    fn sysroot(&self) -> PathBuf {
        self.folder.join(format!("sysroot-{}", slug(&self.version)))
    }

    fn library(&self, target: &str) -> PathBuf {
        self.sysroot().join("lib").join("rustlib").join(target).join("lib")
    }

    /// Compiles the standard library with an empty crate and keeps its parts. The bootstrap flag is for this build alone.
    fn build_library(&self, target: &str, library: &Path, output: &mut Output) -> Result<()> {
        let work = self.folder.join(format!("std-{target}"));
        places::remove_folder(&work)?;
        places::make_folder(&work.join("src"))?;
        let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
        for (name, text) in [("Cargo.toml", manifest), ("src/lib.rs", "")] {
            fs::write(work.join(name), text)
                .map_err(|error| format!("cannot write into {}: {error}", work.display()))?;
        }
        self.plain_cargo(&format!("build --release -Zbuild-std=std,test,panic_abort --target {target}"))?
            .folder(&work)
            .env("CARGO_TARGET_DIR", work.join("target"))
            .env("RUSTC_BOOTSTRAP", "1")
            .limit_minutes(15)
            .run(output)?;
        // The host's own stays with the compiler: procedural macros and build scripts are compiled for it.
        let host = library.ancestors().nth(2).ok_or("a library folder has no parents")?.join(HOST);
        let built = work.join("target").join(target).join("release").join("deps");
        let script = "set -e; mkdir -p \"$2.new\"; rm -f \"$1\"/libempty*; cp \"$1\"/*.rlib \"$2.new/\"; \
                      ln -sfn \"/usr/lib/rustlib/${3##*/}\" \"$3\"; mv \"$2.new\" \"$2\"";
        Program::new("sh").args(["-c", script, "sh"]).arg(built).arg(library).arg(host).run(output)?;
        places::remove_folder(&work)
    }

    /// zig, from PyPI, in a virtual environment: a C compiler for macOS that brings the headers.
    fn install_zig(&self, output: &mut Output) -> Result<()> {
        let venv = self.folder.join("venv");
        let mark = venv.join("bin").join("cargo-zigbuild");
        if mark.is_file() {
            return Ok(());
        }
        places::remove_folder(&venv)?;
        Program::line("python3 -m venv").arg(&venv).run(output)?;
        Program::new(venv.join("bin").join("pip")).args(["install", "-q", "ziglang", "cargo-zigbuild"]).run(output)
    }

    /// cargo for the workspace and one target, `words` and all: `clippy --workspace`, ...
    pub fn cargo(&self, target: &str, words: &str) -> Result<Program> {
        let program = if is_macos(target) {
            // cargo-zigbuild hands on to the cargo it is told of.
            let zigbuild = self.folder.join("venv").join("bin").join("cargo-zigbuild");
            self.with_environment(Program::new(zigbuild))?.env("CARGO", CARGO).args(words.split_whitespace())
        } else {
            self.plain_cargo(words)?
        };
        Ok(program
            .folder(&self.root)
            .args(["--locked", "--target", target])
            // Nobody runs this code for its speed: the dependencies compile in half the time.
            .args(["--config", "profile.dev.package.\"*\".opt-level=0", "--config", "profile.dev.debug=false"])
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env(format!("CARGO_TARGET_{}_RUSTFLAGS", variable(target)), sysroot_flag(&self.sysroot()))
            .envs(&self.c_environment(target)?))
    }

    fn plain_cargo(&self, words: &str) -> Result<Program> {
        Ok(self.with_environment(Program::new(CARGO))?.args(words.split_whitespace()))
    }

    /// Debian's programs before rustup's of the same names; the Python that has zig before Debian's.
    fn with_environment(&self, program: Program) -> Result<Program> {
        let path = env::var_os("PATH").unwrap_or_default();
        let first = [self.folder.join("venv").join("bin"), PathBuf::from("/usr/bin")];
        let path = env::join_paths(first.into_iter().chain(env::split_paths(&path)))
            .map_err(|error| format!("PATH cannot be extended: {error}"))?;
        let program = program.env("PATH", path).env("RUSTC", RUSTC).env("RUSTDOC", "/usr/bin/rustdoc");
        Ok(["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_BUILD_TARGET"]
            .into_iter()
            .fold(program, Program::without))
    }

    /// What C code in dependencies needs.
    fn c_environment(&self, target: &str) -> Result<Vec<(OsString, OsString)>> {
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let underscored = target.replace('-', "_");
        if target == WINDOWS {
            // OpenSSL is compiled here for the tests under Wine; unoptimised, that takes a third of the time.
            variables.push((format!("CFLAGS_{underscored}").into(), "-O0".into()));
        }
        if target == WINDOWS_MSVC {
            // Objects of MinGW's compiler are good enough to be looked at by a check, which links nothing.
            let archiver = find_llvm_lib().ok_or("no llvm-lib was found in /usr/lib/llvm-*/bin: install llvm")?;
            variables.push((format!("CC_{underscored}").into(), "x86_64-w64-mingw32-gcc".into()));
            variables.push((format!("CXX_{underscored}").into(), "x86_64-w64-mingw32-g++".into()));
            variables.push((format!("AR_{underscored}").into(), archiver.into()));
        }
        if is_macos(target) {
            // Lints look at types only: this computer's OpenSSL does, and saves the ten minutes that its own build takes.
            let headers = self.folder.join("openssl-include");
            places::make_folder(&headers)?;
            let architecture = format!("{}-linux-gnu", env::consts::ARCH);
            let link = "ln -sfn /usr/include/openssl openssl";
            Program::line(link).folder(&headers).read()?;
            let prefix = variable(target);
            variables.push(("OPENSSL_NO_VENDOR".into(), "1".into()));
            variables.push((format!("{prefix}_OPENSSL_LIB_DIR").into(), format!("/usr/lib/{architecture}").into()));
            variables.push((format!("{prefix}_OPENSSL_INCLUDE_DIR").into(), headers.into()));
            variables.push((
                format!("CFLAGS_{underscored}").into(),
                format!("-idirafter /usr/include/{architecture}").into(),
            ));
        }
        Ok(variables)
    }
}

#[cfg(target_arch = "aarch64")]
const HOST: &str = "aarch64-unknown-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
const HOST: &str = "x86_64-unknown-linux-gnu";

fn is_macos(target: &str) -> bool {
    target.ends_with("apple-darwin")
}

/// A target's name in cargo's and other tools' variables.
pub fn variable(target: &str) -> String {
    target.replace('-', "_").to_ascii_uppercase()
}

fn sysroot_flag(sysroot: &Path) -> OsString {
    let mut flag = OsString::from("--sysroot=");
    flag.push(sysroot);
    flag
}

/// A version as part of a file name: `rustc 1.96.0 (ac68faa20 2026-05-25)` is `rustc-1.96.0-ac68faa20-2026-05-25`.
fn slug(version: &str) -> String {
    let word = |word: &&str| !word.is_empty();
    version.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(word).collect::<Vec<_>>().join("-")
}

fn find_llvm_lib() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm-"));
    folders.map(|entry| entry.path().join("bin").join("llvm-lib")).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_compiler_has_its_own_folder() {
        assert_eq!(slug("rustc 1.96.0 (ac68faa20 2026-05-25)"), "rustc-1.96.0-ac68faa20-2026-05-25");
        assert_ne!(slug("rustc 1.96.0 (ac68faa20 2026-05-25)"), slug("rustc 1.96.1 (ac68faa20 2026-05-25)"));
    }

    #[test]
    fn variables_are_named_as_cargo_reads_them() {
        assert_eq!(variable(WINDOWS), "X86_64_PC_WINDOWS_GNU");
    }
}
