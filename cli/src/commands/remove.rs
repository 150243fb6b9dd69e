//! rm

use std::io::{IsTerminal as _, Write as _};

use machine_app::App;
use machine_core::{Code, Error, Result};

use crate::arguments::Rm;
use crate::progress::Manner;
use crate::{exit_code, print_error};

pub fn run(app: &App, rm: &Rm, manner: Manner) -> Result<i32> {
    if !rm.force && !rm.yes && !confirmed(&rm.names)? {
        return Ok(0);
    }
    let mut code = 0;
    for name in &rm.names {
        let shown = manner.begin(Some(name));
        let result = name
            .parse()
            .and_then(|name| crate::block_on(app.remove(&name, rm.force, &shown.reporter)));
        shown.finish(&result);
        match result {
            Ok(()) => shown.say(&format!("Successfully removed {name}")),
            Err(error) if error.code() == Code::Interrupted => return Err(error),
            Err(error) => {
                print_error(&error);
                code = exit_code(&error);
            }
        }
    }
    Ok(code)
}

fn confirmed(names: &[String]) -> Result<bool> {
    eprintln!("About to remove {}", names.join(", "));
    eprintln!("WARNING: This action will delete both local reference and remote instance.");
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(Code::Usage, "nothing was removed: there is no terminal to ask at").hint("add -y to remove without a question"));
    }
    eprint!("Are you sure? (y/n): ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Error::other("cannot read the answer").because(e))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
