//! active, config, env, ip, url: answered from local facts alone.

use machine_app::{App, EnvOptions, Environment, Shell};
use machine_core::{Code, Error, MachineName, Result};

use crate::arguments::{Config, Env};

/// How long the engine may take where it is asked for, as docker-machine's.
const CHECK_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

pub fn active(app: &App) -> Result<i32> {
    println!("{}", app.active()?);
    Ok(0)
}

pub fn config(app: &App, words: &Config) -> Result<i32> {
    let name = app.resolve(words.name.as_deref())?;
    let connection = app.connection(&name)?;
    check(app, &name, words.check, words.swarm)?;
    println!("{}", connection.flags());
    Ok(0)
}

/// What docker-machine looked at each time, and did for masters of a Swarm.
fn check(app: &App, name: &MachineName, engine: bool, swarm: bool) -> Result<()> {
    if swarm {
        let what = format!("\"{name}\" is not a swarm master. The --swarm flag is intended for use with swarm masters");
        return Err(Error::other(what).hint("leave --swarm out"));
    }
    if engine {
        crate::block_on(app.engine_version_of(name, CHECK_LIMIT)).map_err(|error| {
            error.within("Error checking TLS connection").hint(format!(
                "`machine start {name}` waits for its engine, `machine regenerate-certs {name}` makes new certificates"
            ))
        })?;
    }
    Ok(())
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
    let name = app.resolve(arguments.name.as_deref())?;
    let connection = app.connection(&name)?;
    check(app, &name, arguments.check, arguments.swarm)?;
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
