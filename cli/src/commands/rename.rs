//! rename

use machine_app::App;
use machine_core::Result;

use crate::arguments::Rename;
use crate::progress::Manner;

pub fn run(app: &App, words: &Rename, manner: Manner) -> Result<i32> {
    let (from, to) = (app.resolve(Some(&words.from))?, app.resolve(Some(&words.to))?);
    let shown = manner.begin(Some(from.as_str()));
    let result = crate::block_on(app.rename(&from, &to, &shown.reporter));
    shown.finish(&result);
    result?;
    shown.say(&format!("Machine \"{from}\" is \"{to}\" now."));
    Ok(0)
}
