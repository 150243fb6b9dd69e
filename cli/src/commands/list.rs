//! ls, status, inspect.

use std::time::Duration;

use machine_app::{App, Row};
use machine_core::Result;

use crate::arguments::Ls;
use crate::outcome::{Format, print_json};
use crate::table;

pub fn run(app: &App, ls: &Ls) -> Result<i32> {
    let rows = crate::block_on(app.list(Duration::from_secs(ls.timeout)))?;
    match ls.format {
        Format::Json => print_json(&rows),
        Format::Text => println!("{}", text(&rows)),
    }
    Ok(0)
}

/// `ls -q`: reads nothing but the store's folder.
pub fn names(app: &App, ls: &Ls) -> Result<i32> {
    let names = app.names()?;
    match ls.format {
        Format::Json => print_json(&names),
        Format::Text => names.iter().for_each(|name| println!("{name}")),
    }
    Ok(0)
}

pub fn status(app: &App, name: Option<&str>) -> Result<i32> {
    let seen = crate::block_on(app.status(&app.resolve(name)?))?;
    println!("{}", seen.state.name());
    if let machine_core::MachineState::Broken(reason) | machine_core::MachineState::Unknown(reason) = &seen.state {
        eprintln!("{reason}");
    }
    for warning in &seen.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(0)
}

pub fn inspect(app: &App, name: Option<&str>) -> Result<i32> {
    print_json(&crate::block_on(app.inspect(&app.resolve(name)?))?);
    Ok(0)
}

/// docker-machine's columns; SWARM is kept for scripts that count them, and always empty.
fn text(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                if row.active { "*" } else { "-" }.to_owned(),
                row.driver.clone().unwrap_or_else(|| "not found".to_owned()),
                row.state.clone(),
                row.url.clone().unwrap_or_default(),
                String::new(),
                row.docker_version.clone().unwrap_or_else(|| if row.url.is_some() { "Unknown" } else { "" }.to_owned()),
                // One row a machine, whatever a console's last lines looked like.
                row.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    table::layout(&["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "ERRORS"], &cells)
}
