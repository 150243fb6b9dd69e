//! The one place in which QEMU's programs are started.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result};
use machine_images::Arch;

use crate::facts::{HostFacts, HostOs};

/// How long a question such as `--version` may take: 20 ms as a rule, but more than 10 s was seen on two cores with a load
/// of 14, and a virus scanner looks at the program first.
const LIMIT: Duration = Duration::from_secs(30);

/// A command of one of QEMU's programs: messages in English, no terminal to read from, no console window and no Ctrl-C of
/// ours on Windows. The arguments go to the log.
pub fn command<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Command {
    tracing::debug!(program = %program.display(), arguments = ?arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>(), "QEMU");
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    apart(&mut command);
    command
}

#[cfg(windows)]
fn apart(command: &mut Command) {
    use std::os::windows::process::CommandExt as _;
    // Process Creation Flags of the Windows API.
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

#[cfg(not(windows))]
fn apart(_: &mut Command) {}

/// What a program said and whether it was content.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code was 0.
    pub success: bool,
    /// Standard output, then standard error: older versions print help on the latter.
    pub text: String,
}

/// Asks one of QEMU's programs something that it answers at once.
///
/// # Errors
/// When it cannot be started or does not end in 30 s.
pub fn ask(program: &Path, arguments: &[&str]) -> Result<Answer> {
    ask_within(program, arguments, LIMIT)
}

fn ask_within(program: &Path, arguments: &[&str], limit: Duration) -> Result<Answer> {
    let about = || format!("cannot run {} {}", program.display(), arguments.join(" "));
    let started = Instant::now();
    let mut child = command(program, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::other(about()).because(error))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let status = loop {
        match child.try_wait().map_err(|error| Error::other(about()).because(error))? {
            Some(status) => break status,
            None if started.elapsed() >= limit => {
                let _killed = child.kill();
                let _status = child.wait();
                return Err(Error::new(Code::TimedOut, format!("{}: no answer within {} s", about(), limit.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    // A process that it left behind may hold the pipes open: what came until now is enough then.
    let rest = limit.saturating_sub(started.elapsed()).min(Duration::from_secs(1));
    let mut text = String::new();
    for pipe in [out, err].into_iter().flatten() {
        text.push_str(&pipe.recv_timeout(rest).unwrap_or_default());
    }
    Ok(Answer { success: status.success(), text })
}

/// Reads a pipe to its end on a thread of its own, so that none of the two can fill up and stop the program.
fn reader(mut pipe: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _read = pipe.read_to_end(&mut bytes);
        let _sent = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// How QEMU is installed on `host`, for guests of its own architecture.
pub fn install_hint(host: &HostFacts) -> String {
    install_hint_for(host.os, host.arch)
}

/// How QEMU for guests of architecture `guest` is installed.
pub fn install_hint_for(os: HostOs, guest: Arch) -> String {
    match os {
        HostOs::Linux => {
            let (debian, suse) = match guest {
                Arch::Amd64 => ("x86", "x86"),
                Arch::Arm64 => ("arm", "arm"),
            };
            let (fedora, arch) = match guest {
                Arch::Amd64 => ("x86-core", "x86"),
                Arch::Arm64 => ("aarch64-core", "aarch64"),
            };
            format!(
                "install QEMU: `sudo apt install qemu-system-{debian} qemu-utils`, `sudo dnf install qemu-system-{fedora} qemu-img`, \
                 `sudo pacman -S qemu-system-{arch} qemu-img` or `sudo zypper install qemu-{suse} qemu-tools`"
            )
        }
        HostOs::MacOs => "install QEMU: `brew install qemu`".to_owned(),
        HostOs::Windows => "install QEMU 11.1.1 or later: `winget install SoftwareFreedomConservancy.QEMU`".to_owned(),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_answer_is_ended_and_named() {
        let limit = Duration::from_millis(300);
        let error = ask_within(Path::new("/bin/sleep"), &["60"], limit).unwrap_err();
        assert_eq!(error.code(), Code::TimedOut);
        assert!(error.to_string().contains("cannot run /bin/sleep 60"), "{error}");
    }

    #[test]
    fn much_output_on_both_pipes_does_not_stop_it() {
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3";
        let answer = ask(Path::new("/bin/sh"), &["-c", script]).unwrap();
        assert_eq!((answer.success, answer.text.len()), (false, 600_000));
    }
}
