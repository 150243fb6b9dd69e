//! tunnel

use std::io::Write as _;

use machine_app::{App, PortRow};
use machine_core::Result;

use super::ports;
use crate::arguments::OneMachine;
use crate::progress::Manner;

pub fn run(app: &App, one: &OneMachine, manner: Manner) -> Result<i32> {
    let name = app.resolve(one.name.as_deref())?;
    // One that is not there has no ports to speak of.
    crate::block_on(app.status(&name))?;
    let shown = manner.begin(Some(name.as_str()));
    shown
        .say(&format!("Ports of \"{name}\" appear on this computer as its containers publish them; Ctrl-C ends that."));
    let show = |rows: &[PortRow]| {
        // A reader that went away does not end the tunnel.
        let _ = writeln!(std::io::stdout(), "{}", ports::table(&name, rows));
    };
    crate::block_on(app.tunnel(&name, show))?;
    Ok(0)
}
