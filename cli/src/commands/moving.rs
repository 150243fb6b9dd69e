//! export, import

use machine_app::App;
use machine_core::{Code, Error, MachineName, Result};

use crate::arguments::{Export, Import};
use crate::outcome::bytes;
use crate::progress::{Manner, took};

pub fn export(app: &App, words: &Export, manner: Manner) -> Result<i32> {
    let name: MachineName = words.name.parse()?;
    let shown = manner.begin(Some(name.as_str()));
    let result = crate::block_on(app.export(&name, &words.file, &shown.reporter));
    shown.finish(&result);
    let size = bytes(result?);
    shown.say(&format!("Machine \"{name}\" is in {} ({size}, {}).", words.file.display(), took(shown.elapsed())));
    shown.say("Its keys are in it: whoever has the file can become root in the machine.");
    Ok(0)
}

pub fn import(app: &App, words: &Import, manner: Manner) -> Result<i32> {
    let name = words.name.as_deref().map(str::parse::<MachineName>).transpose()?;
    let shown = manner.begin(name.as_ref().map(MachineName::as_str));
    let result = crate::block_on(app.import(&words.file, name, &shown.reporter));
    shown.finish(&result);
    let name = result.map_err(|error| match error.code() {
        Code::Interrupted => Error::new(Code::Interrupted, "interrupted: nothing was imported"),
        _ => error,
    })?;
    shown.say(&format!("Machine \"{name}\" is here ({}); `machine start {name}` starts it.", took(shown.elapsed())));
    Ok(0)
}
