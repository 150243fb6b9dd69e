//! The terminal that this program itself runs in.

#[cfg(unix)]
#[path = "terminal/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "terminal/windows.rs"]
mod platform;

use std::sync::{Mutex, Once, PoisonError};

use machine_core::{Result, ResultExt};

/// How the terminal was, while it is in raw mode. Kept here and not in the guard, for a panic to find: a release build
/// ends at a panic without running any destructor.
static BEFORE: Mutex<Option<platform::Modes>> = Mutex::new(None);

/// Whether standard input and output are both a terminal.
pub fn is_interactive() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The size of the terminal at standard output, columns and rows.
pub fn size() -> Option<(u32, u32)> {
    platform::size()
}

/// Raw mode: every key goes to the other side as it is typed. Ends when dropped, also by a panic.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Puts the terminal at standard input into raw mode.
    ///
    /// # Errors
    /// When standard input is no terminal, or it refuses.
    pub fn enter() -> Result<Self> {
        static AT_PANIC: Once = Once::new();
        AT_PANIC.call_once(|| {
            let earlier = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                earlier(panic);
            }));
        });
        let before = platform::enter_raw().context(|| "cannot switch the terminal to raw mode".into())?;
        // A second guard must not take raw mode for what the terminal was before.
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(before);
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Takes the terminal out of raw mode, if it is in it: for a program that ends at a signal. Safe to call at any time.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        platform::restore(&before);
    }
}
