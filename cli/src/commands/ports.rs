//! ports

use machine_app::{App, PortRow, PortState};
use machine_core::{MachineName, Result};
use serde_json::json;

use super::several;
use crate::arguments::Ports;
use crate::outcome::{Format, print_json};
use crate::table;

pub fn run(app: &App, ports: &Ports) -> Result<i32> {
    let names = several::names(app, &ports.names)?;
    let mut rows: Vec<(MachineName, PortRow)> = Vec::new();
    for name in names {
        let found = crate::block_on(app.ports(&name))?;
        rows.extend(found.into_iter().map(|row| (name.clone(), row)));
    }
    if ports.format == Format::Json {
        let value = |(machine, row): &(MachineName, PortRow)| {
            let mut value = json!(row);
            value["machine"] = json!(machine.as_str());
            value
        };
        print_json(&rows.iter().map(value).collect::<Vec<_>>());
        return Ok(0);
    }
    let line = |(machine, row): &(MachineName, PortRow)| {
        vec![
            machine.to_string(),
            format!("{}/{}", row.port, row.protocol),
            row.container.clone(),
            format!("{}/{}", row.container_port, row.protocol),
            state(&row.state),
        ]
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    println!("{}", table::layout(&["MACHINE", "PORT", "CONTAINER", "INSIDE", "STATE"], &lines));
    Ok(0)
}

fn state(state: &PortState) -> String {
    match state {
        PortState::Open { addresses } => {
            let hosts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            format!("open at {}", hosts.join(", "))
        }
        PortState::Taken { address, holder } => {
            let holder = holder.as_deref().unwrap_or("another program");
            format!("taken: {holder} has {address}")
        }
        PortState::Refused { reason } => format!("refused: {reason}"),
    }
}
