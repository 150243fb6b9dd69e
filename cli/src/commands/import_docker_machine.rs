//! import-docker-machine

use machine_app::ssh::HostKey;
use machine_app::{App, OldMachine};
use machine_core::{Code, Error, Result, ResultExt as _};

use crate::arguments::ImportDockerMachine;
use crate::confirm::confirmed;
use crate::outcome::{Format, print_json};
use crate::progress::Manner;
use crate::{exit_code, print_error, table};

pub fn run(app: &App, arguments: &ImportDockerMachine, manner: Manner) -> Result<i32> {
    let keys = arguments.host_keys.iter().map(|said| host_key(said)).collect::<Result<Vec<_>>>()?;
    let machines = app.machines_of_docker_machine(arguments.path.as_deref())?;
    if arguments.dry_run {
        match arguments.format {
            Format::Json => print_json(&machines),
            Format::Text => println!("{}", text(&machines)),
        }
        return Ok(0);
    }
    let mut code = 0;
    for old in &machines {
        if let Some(why) = &old.refusal {
            eprintln!("{}: not taken over: {why}", old.name);
            // One that is here already was taken over before.
            if !old.name.parse().is_ok_and(|name| app.record(&name).is_ok()) {
                code = 1;
            }
            continue;
        }
        match one(app, old, &keys, manner) {
            Ok(()) => {}
            Err(error) if error.code() == Code::Interrupted => return Err(error),
            Err(error) => {
                print_error(&error);
                code = exit_code(&error);
            }
        }
    }
    if machines.is_empty() {
        eprintln!("There is no machine in that store.");
    }
    Ok(code)
}

fn one(app: &App, old: &OldMachine, keys: &[(String, HostKey)], manner: Manner) -> Result<()> {
    let name = &old.name;
    let key = match keys.iter().find(|(of, _)| of == name) {
        Some((_, key)) => Some(key.clone()),
        None if !old.has_host_key() => None,
        None => {
            let key = crate::block_on(app.key_of_old_machine(old))?;
            eprintln!(
                "docker-machine never looked at the key of host {:?} (machine {name}).",
                old.address.as_deref().unwrap_or_default()
            );
            eprintln!("{} key fingerprint is {}.", key.algorithm(), key.fingerprint());
            let flag = format!("--host-key '{name}={key}', once you know that this is its key,");
            let undone = format!("machine {name:?} was not taken over");
            if !confirmed("Trust this key and no other from now on?", &undone, &flag)? {
                return Err(Error::other(undone));
            }
            Some(key)
        }
    };
    let shown = manner.begin(Some(name));
    let result = crate::block_on(app.take_over(old, key.as_ref(), &shown.reporter));
    shown.finish(&result);
    match result? {
        Some(version) => shown.say(&format!("Machine \"{name}\" is taken over (engine {version}).")),
        None => shown.say(&format!("Machine \"{name}\" is taken over.")),
    }
    Ok(())
}

fn host_key(said: &str) -> Result<(String, HostKey)> {
    let wrong = || Error::new(Code::Usage, format!("{said:?} is no host key of a machine"));
    let (name, key) =
        said.split_once('=').ok_or_else(|| wrong().hint("it is NAME=KEY, such as 'lab=ssh-ed25519 AAAA...'"))?;
    let key: HostKey = key.parse().context(|| "--host-key".to_owned()).map_err(|error| error.with_code(Code::Usage))?;
    Ok((name.to_owned(), key))
}

fn text(machines: &[OldMachine]) -> String {
    let rows: Vec<Vec<String>> = machines
        .iter()
        .map(|old| {
            let plan = old.refusal.as_ref().map_or_else(
                || "take it over: key and certificates are copied, the host stays as it is".to_owned(),
                |why| format!("leave it: {}", why.lines().next().unwrap_or_default()),
            );
            vec![
                old.name.clone(),
                old.driver.clone().unwrap_or_default(),
                old.address.clone().unwrap_or_default(),
                plan,
            ]
        })
        .collect();
    table::layout(&["NAME", "DRIVER", "HOST", "PLAN"], &rows)
}
