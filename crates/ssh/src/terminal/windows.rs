//! Terminals by the Windows console, with its virtual terminal sequences (Windows 10 and later).
#![expect(unsafe_code, reason = "the console has no safe interface")]

use std::io;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT, ENABLE_PROCESSED_OUTPUT,
    ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetConsoleScreenBufferInfo,
    GetStdHandle, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetConsoleMode,
};

/// The console modes of standard input and, where it is a console, of standard output.
pub(super) struct Modes {
    input: u32,
    output: Option<u32>,
}

fn handle(which: STD_HANDLE) -> io::Result<HANDLE> {
    // SAFETY: takes a number and gives a handle, which stays the process's own.
    let handle = unsafe { GetStdHandle(which) };
    if handle.is_null() || handle == INVALID_HANDLE_VALUE { Err(io::Error::last_os_error()) } else { Ok(handle) }
}

fn mode(which: STD_HANDLE) -> io::Result<u32> {
    let mut mode = 0;
    // SAFETY: the handle is the process's own and `mode` outlives the call.
    if unsafe { GetConsoleMode(handle(which)?, &mut mode) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(mode)
}

fn set_mode(which: STD_HANDLE, mode: u32) -> io::Result<()> {
    // SAFETY: the handle is the process's own.
    if unsafe { SetConsoleMode(handle(which)?, mode) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn size() -> Option<(u32, u32)> {
    // SAFETY: the structure is plain numbers, for which all zero bytes are a value.
    let mut info: CONSOLE_SCREEN_BUFFER_INFO = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is the process's own and `info` outlives the call.
    if unsafe { GetConsoleScreenBufferInfo(handle(STD_OUTPUT_HANDLE).ok()?, &mut info) } == 0 {
        return None;
    }
    let span = |from: i16, to: i16| u32::try_from(i32::from(to) - i32::from(from) + 1).ok();
    Some((span(info.srWindow.Left, info.srWindow.Right)?, span(info.srWindow.Top, info.srWindow.Bottom)?))
}

pub(super) fn enter_raw() -> io::Result<Modes> {
    let input = mode(STD_INPUT_HANDLE)?;
    let output = mode(STD_OUTPUT_HANDLE).ok();
    let keys = input & !(ENABLE_ECHO_INPUT | ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT);
    set_mode(STD_INPUT_HANDLE, keys | ENABLE_VIRTUAL_TERMINAL_INPUT)?;
    if let Some(output) = output {
        // An older console shows the sequences as text, which is still better than no session.
        let _ = set_mode(STD_OUTPUT_HANDLE, output | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
    }
    Ok(Modes { input, output })
}

pub(super) fn restore(before: &Modes) {
    // Nothing is left to do where the console has gone.
    let _ = set_mode(STD_INPUT_HANDLE, before.input);
    if let Some(output) = before.output {
        let _ = set_mode(STD_OUTPUT_HANDLE, output);
    }
}
