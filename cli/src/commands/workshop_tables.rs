//! What `workshop ls` and `status` print.

use machine_app::{SeatStatus, WorkshopRow, WorkshopStatus};

use crate::table;

const TIME: &str = "%Y-%m-%d %H:%M UTC";

pub fn workshops(rows: &[WorkshopRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let time = |at: Option<machine_app::Timestamp>| at.map(|at| at.strftime(TIME).to_string());
            vec![
                row.name.clone(),
                row.driver.clone().unwrap_or_else(|| "not found".to_owned()),
                format!("{} of {}", row.prepared, row.hosts),
                time(row.created).unwrap_or_default(),
                time(row.ends).unwrap_or_else(|| "-".to_owned()),
                row.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table::layout(&["NAME", "DRIVER", "READY", "CREATED", "ENDS", "ERRORS"], &cells)
}

pub fn status(found: &WorkshopStatus) -> String {
    let row = |seat: &SeatStatus| {
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            seat.host.clone(),
            or(seat.person.clone()),
            seat.account.clone(),
            seat.state.clone(),
            or(seat.address.clone()),
            or(seat.engine.as_ref().map(|version| format!("v{version}"))),
            or(seat.containers.map(|count| count.to_string())),
            or(seat.load.map(|load| format!("{load:.2}"))),
            if seat.prepared { "yes" } else { "no" }.to_owned(),
            seat.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let header = ["HOST", "PERSON", "ACCOUNT", "STATE", "ADDRESS", "DOCKER", "CONTAINERS", "LOAD", "READY", "ERRORS"];
    let mut text = table::layout(&header, &found.seats.iter().map(row).collect::<Vec<_>>());
    let answering = found.seats.iter().filter(|seat| seat.engine.is_some()).count();
    text.push_str(&format!("\n\n{answering} of {} engines answer.", found.seats.len()));
    if let Some(ends) = found.ends {
        text.push_str(&format!(" The workshop ends at {}.", ends.strftime(TIME)));
    }
    if let Some(cost) = &found.cost {
        match (cost.hourly, cost.so_far) {
            (Some(hourly), Some(so_far)) => text.push_str(&format!(
                "\nCost so far, an estimate: {so_far:.2} USD ({hourly:.4} USD an hour for each: {}; {}).",
                cost.note, cost.source
            )),
            _ => text.push_str(&format!("\nCost: not known ({}).", cost.note)),
        }
    }
    text
}
