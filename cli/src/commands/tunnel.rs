//! tunnel

use machine_app::App;
use machine_core::Result;

use super::ports;
use crate::arguments::OneMachine;
use crate::progress::Manner;

pub fn run(app: &App, one: &OneMachine, manner: Manner) -> Result<i32> {
    let name = app.resolve(one.name.as_deref())?;
    let shown = manner.begin(Some(name.as_str()));
    shown
        .say(&format!("Ports of \"{name}\" appear on this computer as its containers publish them; Ctrl-C ends that."));
    crate::block_on(app.tunnel(&name, |rows| println!("{}", ports::table(&name, rows))))?;
    Ok(0)
}
