//! `machine`: arguments in, text or JSON out. What it does is in `machine-app`; how it looks is here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the room that prints and exits")]

mod arguments;
mod commands;
mod completion;
mod confirm;
mod dispatch;
mod go_duration;
mod manual;
mod outcome;
mod progress;
mod sizes;
mod table;
mod topics;

use std::io::IsTerminal as _;

use machine_app::{App, Environment};
use machine_core::{Code, Error, Result};

use crate::arguments::{Arguments, Command};
use crate::progress::plain;

fn main() {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data; everything else is a wrong word: exit code 2, and nothing on stdout.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            std::process::exit(code);
        }
    };
    // What goes on for long writes to sockets, which must not end it (std's `writev` to one raises the signal).
    if !matches!(arguments.command, Command::Supervise { .. } | Command::Tunnel(_)) {
        reset_sigpipe();
    }
    log_to_stderr(&arguments);
    let outcome = Environment::read(arguments.global.storage_path.as_deref())
        .map(App::new)
        .and_then(|app| dispatch::run(&app, arguments));
    match outcome {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            print_error(&error);
            std::process::exit(exit_code(&error));
        }
    }
}

/// What a script may rely on; the list is in `machine help` and docs/.
fn exit_code(error: &Error) -> i32 {
    match error.code() {
        Code::Usage => 2,
        Code::PreCreate => 3,
        Code::Interrupted => 130,
        _ => 1,
    }
}

fn print_error(error: &Error) {
    let (bold, end) = colours("\x1b[1;31m");
    eprintln!("{bold}error:{end} {}", plain(&error.to_string()));
    let (dim, end) = colours("\x1b[36m");
    for hint in error.hints() {
        eprintln!("{dim}hint:{end} {}", plain(hint));
    }
}

/// The escape for `colour` and the one that ends it; both empty where colours are not wanted.
fn colours(colour: &'static str) -> (&'static str, &'static str) {
    if std::io::stderr().is_terminal() && !Environment::no_color() { (colour, "\x1b[0m") } else { ("", "") }
}

/// As [`colours`], for standard output.
fn stdout_colours(colour: &'static str) -> (&'static str, &'static str) {
    if std::io::stdout().is_terminal() && !Environment::no_color() { (colour, "\x1b[0m") } else { ("", "") }
}

/// Logging, on standard error: everything for `--debug`; a supervisor always logs what it does, into its own log.
fn log_to_stderr(arguments: &Arguments) {
    let level = match arguments.command {
        _ if arguments.global.debug || Environment::debug() => "debug",
        Command::Supervise { .. } => "info",
        _ => return,
    };
    let rooms = [
        "machine",
        "machine_app",
        "machine_bridge",
        "machine_docker",
        "machine_ec2",
        "machine_images",
        "machine_qemu",
        "machine_ssh",
    ];
    let filter = rooms.map(|room| format!("{room}={level}")).join(",");
    let filter = tracing_subscriber::EnvFilter::new(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// A reader that goes away (`machine ls | head -1`) ends this program quietly, as it does every Unix tool.
#[cfg(unix)]
fn reset_sigpipe() {
    // Rust ignores SIGPIPE and turns it into a panic in `println!`; std offers no stable switch yet (rust-lang/rust#97889).
    #[expect(unsafe_code, reason = "signal(2) has no safe form here")]
    // SAFETY: called before any thread or handler exists; SIG_DFL is always a valid disposition.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

#[cfg(not(unix))]
fn reset_sigpipe() {}

/// Runs async work of a command to its end, or to Ctrl-C.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::other("cannot start the runtime").because(e))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(Error::new(Code::Interrupted, "interrupted")),
        }
    });
    // Blocking work that was interrupted sees its cancellation and cleans up; one that hangs must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    result
}
