//! logs

use std::time::Duration;

use machine_app::{App, LogKind};
use machine_core::Result;

use crate::arguments::Logs;

pub fn run(app: &App, logs: &Logs) -> Result<i32> {
    let kind = match logs {
        Logs { serial: true, .. } => Some(LogKind::Serial),
        Logs { qemu: true, .. } => Some(LogKind::Qemu),
        Logs { events: true, .. } => Some(LogKind::Events),
        Logs { provision: true, .. } => Some(LogKind::Provision),
        Logs { supervisor: true, .. } => Some(LogKind::Supervisor),
        _ => None,
    };
    let (lines, mut following) = app.log(&app.resolve(logs.name.as_deref())?, kind, logs.lines)?;
    lines.iter().for_each(|line| println!("{line}"));
    if logs.follow {
        return crate::block_on(async move {
            loop {
                following.new_lines().iter().for_each(|line| println!("{line}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    Ok(0)
}
