//! shell-init

use machine_app::{App, Environment, Shell};
use machine_core::Result;

use crate::arguments::ShellInit;

pub fn run(app: &App, arguments: &ShellInit) -> Result<i32> {
    let shell = match &arguments.shell {
        Some(shell) => shell.parse()?,
        None => Environment::shell().unwrap_or(if cfg!(windows) { Shell::PowerShell } else { Shell::Posix }),
    };
    let text = app.shell_init(shell)?;
    if !text.is_empty() {
        println!("{text}");
    }
    Ok(0)
}
