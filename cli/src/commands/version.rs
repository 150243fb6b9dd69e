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
    // clap_complete offers hidden commands too: it gets a command line that has none.
    let all = Arguments::command();
    let mut shown = clap::Command::new("machine")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown, "machine", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(0)
}
