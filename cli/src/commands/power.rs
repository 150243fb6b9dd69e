//! start, stop, restart, suspend, pause, resume, kill, regenerate-certs.

use std::time::Duration;

use machine_app::App;
use machine_core::{MachineName, Result};

use super::several;
use crate::arguments::{Power, RegenerateCerts, Stop};
use crate::confirm::confirmed;
use crate::progress::{Manner, Shown};

/// How long a restart gives the guest to shut down, seconds.
const RESTART_DEADLINE: Duration = Duration::from_secs(90);

/// Runs `work` for each machine with its own progress.
pub fn each<F, W>(app: &App, given: &[String], manner: Manner, work: F) -> Result<i32>
where
    F: Fn(App, MachineName, Shown) -> W + Clone + 'static,
    W: Future<Output = Result<()>> + 'static,
{
    let names = several::names(app, given)?;
    let manner = if names.len() > 1 { manner.for_several() } else { manner };
    several::each(names, |name| {
        let shown = manner.begin(Some(name.as_str()));
        work(app.clone(), name, shown)
    })
}

pub fn start(app: &App, power: &Power, manner: Manner) -> Result<i32> {
    let wait = (!power.no_wait).then_some(Duration::from_secs(power.timeout));
    each(app, &power.names, manner, move |app, name, shown| async move {
        shown.say(&format!("Starting \"{name}\"..."));
        let result = app.start(&name, wait, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was started."));
        Ok(())
    })
}

pub fn stop(app: &App, stop: &Stop, manner: Manner) -> Result<i32> {
    let deadline = Duration::from_secs(stop.timeout);
    each(app, &stop.names, manner, move |app, name, shown| async move {
        let result = app.stop(&name, deadline, &shown.reporter).await;
        shown.finish(&result);
        if result? {
            shown
                .reporter
                .warn(format!("the guest did not shut down within {} s and was ended by force", deadline.as_secs()));
        }
        shown.say(&format!("Machine \"{name}\" was stopped."));
        Ok(())
    })
}

pub fn restart(app: &App, power: &Power, manner: Manner) -> Result<i32> {
    let wait = (!power.no_wait).then_some(Duration::from_secs(power.timeout));
    each(app, &power.names, manner, move |app, name, shown| async move {
        let result = app.restart(&name, RESTART_DEADLINE, wait, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was restarted."));
        Ok(())
    })
}

pub fn suspend(app: &App, names: &[String], manner: Manner) -> Result<i32> {
    each(app, names, manner, move |app, name, shown| async move {
        let result = app.suspend(&name, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was suspended; `machine start {name}` goes on."));
        Ok(())
    })
}

pub fn pause(app: &App, names: &[String], manner: Manner) -> Result<i32> {
    each(app, names, manner, move |app, name, shown| async move {
        let result = app.pause(&name, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was paused; `machine resume {name}` lets it go on."));
        Ok(())
    })
}

pub fn resume(app: &App, names: &[String], manner: Manner) -> Result<i32> {
    each(app, names, manner, move |app, name, shown| async move {
        let result = app.resume(&name, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was resumed."));
        Ok(())
    })
}

pub fn kill(app: &App, names: &[String], manner: Manner) -> Result<i32> {
    each(app, names, manner, move |app, name, shown| async move {
        let result = app.kill(&name, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" was killed."));
        Ok(())
    })
}

pub fn regenerate_certificates(app: &App, arguments: &RegenerateCerts, manner: Manner) -> Result<i32> {
    const QUESTION: &str = "Regenerate TLS machine certs?  Warning: this is irreversible.";
    if !arguments.force && !confirmed(QUESTION, "nothing was changed", "-f")? {
        return Ok(0);
    }
    each(app, &arguments.names, manner, move |app, name, shown| async move {
        let result = app.regenerate_certificates(&name, &shown.reporter).await;
        shown.finish(&result);
        result?;
        shown.say(&format!("Machine \"{name}\" has new certificates."));
        Ok(())
    })
}
