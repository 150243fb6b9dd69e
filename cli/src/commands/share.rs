//! share add, ls, rm.

use machine_app::{App, SeenFolder, ShareState, Shares};
use machine_core::{Error, Result};
use serde_json::json;

use crate::arguments::{Listing, Share};
use crate::outcome::{Format, print_json};
use crate::progress::Manner;
use crate::table;

pub fn run(app: &App, command: Share, manner: Manner) -> Result<i32> {
    match command {
        Share::Add { machine, folders } => {
            let name = app.resolve(Some(&machine))?;
            let shown = manner.begin(Some(name.as_str()));
            let result = crate::block_on(app.add_shares(&name, &folders, &shown.reporter));
            shown.finish(&result);
            let shares = result?;
            for SeenFolder { share, state, carried } in &shares.folders {
                let folder = share.folder.display();
                if let Some(ShareState::Waiting { reason }) = state {
                    let told = format!("{folder} is not seen by {name} yet: {reason}");
                    return Err(Error::other(told).hint("it is tried again; `machine share ls` tells how it is"));
                }
                if let Some((by, note)) =
                    carried.as_ref().and_then(|carried| Some((carried.by, carried.note.as_ref()?)))
                {
                    shown.say(&format!("{by} carries {folder}: {note}"));
                }
            }
        }
        Share::Ls(Listing { machine, format }) => {
            let name = app.resolve(machine.as_deref())?;
            let shares = crate::block_on(app.shares(&name))?;
            show(&shares, format);
        }
        Share::Rm { machine, folders } => {
            let name = app.resolve(Some(&machine))?;
            let shown = manner.begin(Some(name.as_str()));
            let result = crate::block_on(app.remove_shares(&name, &folders, &shown.reporter));
            shown.finish(&result);
            result?;
        }
    }
    Ok(0)
}

fn show(shares: &Shares, format: Format) {
    if format == Format::Json {
        let row = |SeenFolder { share, state, carried }: &SeenFolder| {
            json!({
                "folder": share.folder, "guest": share.guest, "read_only": share.read_only, "events": share.events, "state": state,
                "by": carried.as_ref().map(|carried| carried.by), "note": carried.as_ref().and_then(|carried| carried.note.as_ref()),
            })
        };
        let folders: Vec<_> = shares.folders.iter().map(row).collect();
        print_json(&json!({ "folders": folders, "warnings": shares.warnings }));
        return;
    }
    let row = |SeenFolder { share, state, carried }: &SeenFolder| {
        let note = carried.as_ref().and_then(|carried| carried.note.as_ref());
        let state = match (state, note) {
            (None, _) => "the machine is off".to_owned(),
            (Some(ShareState::Mounting), _) => "being mounted".to_owned(),
            (Some(ShareState::Mounted), None) => "mounted".to_owned(),
            (Some(ShareState::Mounted), Some(note)) => format!("mounted ({note})"),
            (Some(ShareState::Waiting { reason }), _) => format!("not yet: {reason}"),
        };
        let access = match (share.read_only, share.events) {
            (true, _) => "read",
            (false, false) => "read, write",
            (false, true) => "read, write, events",
        };
        let by = carried.as_ref().map(|carried| carried.by.to_string()).unwrap_or_default();
        vec![share.folder.display().to_string(), share.guest.clone(), access.to_owned(), by, state]
    };
    let rows: Vec<_> = shares.folders.iter().map(row).collect();
    println!("{}", table::layout(&["FOLDER", "IN THE MACHINE", "ACCESS", "BY", "STATE"], &rows));
    for warning in &shares.warnings {
        eprintln!("warning: {warning}");
    }
}
