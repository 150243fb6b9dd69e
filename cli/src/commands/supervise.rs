//! supervise: the hidden command that a supervisor runs.

use machine_app::App;
use machine_core::Result;

pub fn run(app: &App, name: &str, adopt_only: bool) -> Result<i32> {
    // No Ctrl-C here: a supervisor ends with its machine, or when it is told to.
    app.supervise(&name.parse()?, adopt_only)?;
    Ok(0)
}
