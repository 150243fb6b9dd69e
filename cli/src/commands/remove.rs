//! rm

use machine_app::App;
use machine_core::{Code, Result};

use crate::arguments::Rm;
use crate::confirm::confirmed;
use crate::progress::Manner;
use crate::{exit_code, print_error};

pub fn run(app: &App, rm: &Rm, manner: Manner) -> Result<i32> {
    if !rm.force && !rm.yes {
        eprintln!("About to remove {}", rm.names.join(", "));
        eprintln!("WARNING: This action will delete both local reference and remote instance.");
        if !confirmed("Are you sure?", "nothing was removed", "-y")? {
            return Ok(0);
        }
    }
    let mut code = 0;
    for name in &rm.names {
        let shown = manner.begin(Some(name));
        let result = name.parse().and_then(|name| crate::block_on(app.remove(&name, rm.force, &shown.reporter)));
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
