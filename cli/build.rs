//! Links the unwinder into the binary on Linux: one shared library less for the loader of a program that runs at every
//! prompt (a tenth of what `machine env` takes).

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap_or_default();
    if target.ends_with("-linux-gnu") && env::var("HOST").is_ok_and(|host| host == target) {
        // std asks for libgcc_s; what an archive before it has resolved, the linker does not ask it for.
        if let Some(folder) = gcc_file("libgcc_eh.a").as_deref().and_then(|path| path.parent()) {
            println!("cargo::rustc-link-search=native={}", folder.display());
            println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
        }
    }
}

/// Where the C compiler keeps a file of its own; `None` where it has none, and the shared library serves.
fn gcc_file(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}
