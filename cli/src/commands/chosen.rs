//! use

use machine_app::App;
use machine_core::Result;

use crate::arguments::Use;
use crate::progress::Manner;

pub fn run(app: &App, words: &Use, manner: Manner) -> Result<i32> {
    if words.unset {
        app.use_none()?;
        manner.begin(None).say("`docker` talks to its default context again.");
        return Ok(0);
    }
    if words.no_default_socket {
        let shown = manner.begin(None);
        let given = app.give_back_default_sockets()?;
        for place in &given {
            shown.say(&format!("{} is free again.", place.display()));
        }
        if given.is_empty() {
            shown.say("No machine had the place of Docker's own socket.");
        }
        return Ok(0);
    }
    let name = app.resolve(words.name.as_deref())?;
    let shown = manner.begin(Some(name.as_str()));
    let chosen = app.use_machine(&name, &shown.reporter)?;
    shown.say(&format!("`docker` now talks to machine \"{name}\" (context \"{}\").", chosen.context));
    if let Some((variable, value)) = &chosen.overridden {
        shown.reporter.warn(format!("in this terminal it follows {variable}={value}: unset that"));
    }
    if words.default_socket {
        for taken in app.take_default_sockets(&name)? {
            let now = if taken.already { "is already" } else { "is now" };
            shown.say(&format!("{} {now} the socket of machine \"{name}\".", taken.place.display()));
        }
    }
    Ok(0)
}
