//! Terminals by termios.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

pub(super) type Modes = Termios;

pub(super) fn size() -> Option<(u32, u32)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    // A serial line, or a terminal that does not know, says 0.
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

pub(super) fn enter_raw() -> io::Result<Modes> {
    let before = tcgetattr(io::stdin())?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
    Ok(before)
}

pub(super) fn restore(before: &Modes) {
    // Nothing is left to do where the terminal has gone.
    let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
}
