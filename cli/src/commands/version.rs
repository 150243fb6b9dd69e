//! version, completions

use std::time::Duration;

use clap::CommandFactory as _;
use machine_app::App;
use machine_core::Result;

use crate::arguments::{Arguments, Version};

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

pub fn completions(shell: clap_complete::Shell) -> Result<i32> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "machine", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(0)
}
