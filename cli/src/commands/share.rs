//! share add, ls, rm.

use machine_app::{App, ShareState, Shares};
use machine_core::{Error, Result, SharedFolder};
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
            for (share, state) in &shares.folders {
                if let Some(ShareState::Waiting { reason }) = state {
                    let told = format!("{} is not seen by {name} yet: {reason}", share.folder.display());
                    return Err(Error::other(told).hint("it is tried again; `machine share ls` tells how it is"));
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
        let row = |(share, state): &(SharedFolder, Option<ShareState>)| json!({ "folder": share.folder, "guest": share.guest, "read_only": share.read_only, "events": share.events, "state": state });
        let folders: Vec<_> = shares.folders.iter().map(row).collect();
        print_json(&json!({ "folders": folders, "warnings": shares.warnings }));
        return;
    }
    let row = |(share, state): &(SharedFolder, Option<ShareState>)| {
        let state = match state {
            None => "the machine is off".to_owned(),
            Some(ShareState::Mounting) => "being mounted".to_owned(),
            Some(ShareState::Mounted) => "mounted".to_owned(),
            Some(ShareState::Waiting { reason }) => format!("not yet: {reason}"),
        };
        let access = match (share.read_only, share.events) {
            (true, _) => "read",
            (false, false) => "read, write",
            (false, true) => "read, write, events",
        };
        vec![share.folder.display().to_string(), share.guest.clone(), access.to_owned(), state]
    };
    let rows: Vec<_> = shares.folders.iter().map(row).collect();
    println!("{}", table::layout(&["FOLDER", "IN THE MACHINE", "ACCESS", "STATE"], &rows));
    for warning in &shares.warnings {
        eprintln!("warning: {warning}");
    }
}
