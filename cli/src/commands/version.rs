//! version, completion

use std::time::Duration;

use machine_app::App;
use machine_core::Result;

use crate::arguments::{Complete, CompletionShell, Version};
use crate::completion::{answer, script};

pub fn run(app: &App, version: &Version) -> Result<i32> {
    match &version.name {
        None => println!("machine {}", env!("CARGO_PKG_VERSION")),
        Some(name) => {
            let name = app.resolve(Some(name))?;
            println!("{}", crate::block_on(app.engine_version_of(&name, Duration::from_secs(version.timeout)))?);
        }
    }
    Ok(0)
}

pub fn completion(shell: CompletionShell) -> Result<i32> {
    print!("{}", script(shell));
    Ok(0)
}

pub fn complete(asked: Complete) -> Result<i32> {
    print!("{}", answer(asked.shell, asked.index, asked.words));
    Ok(0)
}
