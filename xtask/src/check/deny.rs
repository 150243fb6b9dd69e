//! cargo-deny: licences, sources and advisories of the dependencies; the rules are in `deny.toml`.

use std::path::PathBuf;

use super::stages::{Context, Outcome};
use crate::command::{Output, Program};
use crate::{Result, places};

const VERSION: &str = "0.20.2";

/// Checks what can be checked here.
pub fn check(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let program = program(context, output)?;
    let deny = |words: &str| Program::new(&program).args(words.split_whitespace());
    deny("--locked check --hide-inclusion-graph bans licenses sources").run(output)?;
    if deny("fetch db").limit_minutes(5).run(output).is_err() {
        return Ok(Outcome::Note("advisories not checked: their database cannot be fetched from here".to_owned()));
    }
    deny("--locked check --hide-inclusion-graph --disable-fetch advisories").run(output).map(|()| Outcome::Done)
}

/// The program; built from its crate into the cache once, without optimisation, which costs more time than it saves.
fn program(context: &Context, output: &mut Output) -> Result<PathBuf> {
    let folder = context.cache.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = folder.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    let target = folder.join("target");
    context
        .cargo("install --locked --no-default-features cargo-deny")
        .args(["--version", VERSION])
        .arg("--root")
        .arg(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .run(output)?;
    places::remove_folder(&target)?;
    Ok(program)
}
