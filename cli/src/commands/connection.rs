//! active, config, env, ip, url: answered from local facts alone.

use machine_app::{App, EnvOptions, Environment, Shell};
use machine_core::{Code, Error, Result};

use crate::arguments::Env;

pub fn active(app: &App) -> Result<i32> {
    println!("{}", app.active()?);
    Ok(0)
}

pub fn config(app: &App, name: Option<&str>) -> Result<i32> {
    println!("{}", app.connection(&app.resolve(name)?)?.flags());
    Ok(0)
}

pub fn url(app: &App, name: Option<&str>) -> Result<i32> {
    println!("{}", app.connection(&app.resolve(name)?)?.url());
    Ok(0)
}

pub fn ip(app: &App, names: &[String]) -> Result<i32> {
    for name in super::several::names(app, names)? {
        println!("{}", app.connection(&name)?.engine.ip());
    }
    Ok(0)
}

pub fn env(app: &App, arguments: &Env) -> Result<i32> {
    let shell = match &arguments.shell {
        Some(shell) => shell.parse()?,
        None => Environment::shell().unwrap_or(if cfg!(windows) { Shell::Cmd } else { Shell::Posix }),
    };
    let options = EnvOptions { shell, no_proxy: arguments.no_proxy, socket: arguments.socket, command: command_line() };
    if arguments.unset {
        if arguments.name.is_some() {
            return Err(Error::new(Code::Usage, "Expected no machine name when the -u flag is present")
                .hint("`machine env -u` alone undoes it, whatever the machine"));
        }
        println!("{}", app.env_unset(&options));
        return Ok(0);
    }
    let connection = app.connection(&app.resolve(arguments.name.as_deref())?)?;
    println!("{}", connection.env(&options, app.environment().no_proxy.as_ref())?);
    Ok(0)
}

/// This command as it was typed, for the usage hint; the program is quoted where a shell would split it.
fn command_line() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_else(|| "machine".into());
    let program = if program.contains([' ', '\\']) { format!("\"{program}\"") } else { program };
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}
