//! cargo-deny: licences, sources and advisories of the dependencies; the rules are in `deny.toml`.

use super::stages::{Context, Outcome};
use crate::command::{Output, Program};
use crate::{Result, setup};

const VERSION: &str = "0.20.2";

/// Checks what can be checked here.
pub fn check(_: &mut Context, output: &mut Output) -> Result<Outcome> {
    let program = setup::crate_program("cargo-deny", VERSION, &["--no-default-features"], output)?;
    let deny = |words: &str| Program::new(&program).args(words.split_whitespace());
    deny("--locked check --hide-inclusion-graph bans licenses sources").run(output)?;
    if deny("fetch db").limit_minutes(5).run(output).is_err() {
        return Ok(Outcome::Note("advisories not checked: their database cannot be fetched from here".to_owned()));
    }
    deny("--locked check --hide-inclusion-graph --disable-fetch advisories").run(output).map(|()| Outcome::Done)
}
