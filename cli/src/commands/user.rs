//! user add, ls, rm.

use machine_app::App;
use machine_core::Result;
use serde_json::json;

use crate::arguments::{Listing, User};
use crate::confirm::confirmed;
use crate::outcome::{Format, print_json};
use crate::progress::Manner;
use crate::table;

pub fn run(app: &App, command: User, manner: Manner) -> Result<i32> {
    match command {
        User::Add { machine, user, ssh_keys, no_docker } => {
            let name = app.resolve(Some(&machine))?;
            let shown = manner.begin(Some(name.as_str()));
            let result = crate::block_on(app.add_user(&name, &user, &ssh_keys, !no_docker, &shown.reporter));
            shown.finish(&result);
            let added = result?;
            if !no_docker {
                shown.reporter.warn(format!("{user} is in the group docker, whose members can become root on {name}"));
            }
            if let Some(key) = added.made_key {
                shown.say(&format!("Its private key is {}: hand it over, and remove it here.", key.display()));
            }
        }
        User::Ls(Listing { machine, format }) => {
            let name = app.resolve(machine.as_deref())?;
            let accounts = crate::block_on(app.users(&name))?;
            match format {
                Format::Json => {
                    let row = |account: &machine_app::engine::Account| json!({ "name": account.name, "docker": account.docker, "keys": account.keys });
                    print_json(&accounts.iter().map(row).collect::<Vec<_>>());
                }
                Format::Text => {
                    let row = |account: &machine_app::engine::Account| {
                        let docker = if account.docker { "yes" } else { "no" };
                        vec![account.name.clone(), docker.to_owned(), account.keys.to_string()]
                    };
                    println!(
                        "{}",
                        table::layout(&["USER", "DOCKER", "KEYS"], &accounts.iter().map(row).collect::<Vec<_>>())
                    );
                }
            }
        }
        User::Rm { machine, user, yes } => {
            let name = app.resolve(Some(&machine))?;
            let question = format!("Remove {user} from {name}, with its home and all that is in it?");
            if !yes && !confirmed(&question, "nothing was removed", "-y")? {
                return Ok(0);
            }
            let shown = manner.begin(Some(name.as_str()));
            let result = crate::block_on(app.remove_user(&name, &user, &shown.reporter));
            shown.finish(&result);
            result?;
            shown.say(&format!("Successfully removed {user} from {name}"));
        }
    }
    Ok(0)
}
