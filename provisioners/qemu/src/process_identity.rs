//! Who a process is: its pid, the time at which it started, and a word of ours among its arguments.
//!
//! A pid alone says nothing: it is given to a stranger soon after its owner has ended. Nothing here believes a pid.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use machine_core::{Error, Result, ResultExt};

/// One process, and no later one that happens to get its pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its process identifier.
    pub pid: u32,
    /// When it started, in the unit of this operating system: only good for comparing. Linux: clock ticks since boot
    /// (`/proc/PID/stat`, field 22), which do not move when the clock is set; elsewhere seconds since 1970.
    pub start_time: u64,
    /// What one of its arguments is, exactly.
    pub token: String,
}

impl ProcessIdentity {
    /// The identity of the process `pid`, provided that it lives and has the argument `token`.
    pub fn of(pid: u32, token: &str) -> Option<Self> {
        let seen = look(pid)?;
        seen.has_argument(token).then(|| Self { pid, start_time: seen.start_time, token: token.to_owned() })
    }

    /// Whether it still runs. A process that has ended and is not yet waited for does not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid, &self.token).as_ref() == Some(self)
    }

    /// Its CPU time since its start, and the memory that it has, bytes; none when it has ended.
    pub fn usage(&self) -> Option<(Duration, u64)> {
        if !self.is_alive() {
            return None;
        }
        let pid = Pid::from_u32(self.pid);
        let mut system = System::new().ok()?;
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        let process = system.process(pid)?;
        Some((Duration::from_millis(process.accumulated_cpu_time()), process.memory()))
    }

    /// Ends it at once (SIGKILL, `TerminateProcess`). One that has ended already, and whose pid may be a stranger's by
    /// now, is left alone: that is no error.
    ///
    /// # Errors
    /// When the system does not let this user end it.
    pub fn kill(&self) -> Result<()> {
        self.kill_verified().map_err(|error| {
            Error::other(format!("cannot end process {}", self.pid))
                .because(error)
                .hint("end it by hand, then try again")
        })
    }

    #[cfg(target_os = "linux")]
    fn kill_verified(&self) -> std::io::Result<()> {
        use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        // The descriptor holds on to the process: verified after it was opened, nobody else can be hit.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&handle, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn kill_verified(&self) -> std::io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let system = refreshed(ProcessesToUpdate::Some(&[Pid::from_u32(self.pid)])).map_err(std::io::Error::other)?;
        let killed = system.process(Pid::from_u32(self.pid)).is_none_or(sysinfo::Process::kill);
        if killed || !self.is_alive() { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

/// All processes that have the argument `token`: what a crash between starting one and noting it down leaves behind.
/// Reads the whole process table (tens of milliseconds).
///
/// # Errors
/// When the system does not show its processes.
pub fn find_by_token(token: &str) -> Result<Vec<ProcessIdentity>> {
    let system = refreshed(ProcessesToUpdate::All).context(|| "cannot list the processes of this computer".into())?;
    let found = system
        .processes()
        .iter()
        .filter(|(_, process)| process.cmd().iter().any(|argument| argument == token))
        .filter_map(|(pid, _)| ProcessIdentity::of(pid.as_u32(), token))
        .collect();
    Ok(found)
}

struct Seen {
    start_time: u64,
    arguments: Vec<std::ffi::OsString>,
}

impl Seen {
    fn has_argument(&self, token: &str) -> bool {
        self.arguments.iter().any(|argument| argument == token)
    }
}

/// What the system says of `pid` now; tens of microseconds on Linux, for `machine env` asks it.
#[cfg(target_os = "linux")]
fn look(pid: u32) -> Option<Seen> {
    use std::os::unix::ffi::OsStringExt;
    let start_time = start_ticks(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)?;
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = arguments.split(|byte| *byte == 0).map(|part| OsStringExt::from_vec(part.to_vec())).collect();
    Some(Seen { start_time, arguments })
}

#[cfg(not(target_os = "linux"))]
fn look(pid: u32) -> Option<Seen> {
    let system = refreshed(ProcessesToUpdate::Some(&[Pid::from_u32(pid)])).ok()?;
    let process = system.process(Pid::from_u32(pid))?;
    Some(Seen { start_time: process.start_time(), arguments: process.cmd().to_vec() })
}

fn refreshed(which: ProcessesToUpdate<'_>) -> Result<System, sysinfo::Error> {
    let mut system = System::new()?;
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(which, true, what);
    Ok(system)
}

/// Field 22 of `/proc/PID/stat` (proc(5)). The name in field 2 may hold spaces and parentheses: counted from its end.
#[cfg(target_os = "linux")]
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process with `token` among its arguments, that waits.
    fn waiting(token: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read line", token]).stdin(Stdio::piped());
        let child = command.spawn().unwrap();
        // Between fork and exec it still has the arguments of this test.
        while ProcessIdentity::of(child.id(), token).is_none() {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn a_process_is_known_by_its_argument_and_no_longer_once_it_has_ended() {
        let token = uuid::Uuid::new_v4().to_string();
        let mut child = waiting(&token);
        let identity = ProcessIdentity::of(child.id(), &token).unwrap();
        assert!(identity.is_alive());
        assert!(identity.usage().is_some_and(|(_, memory)| memory > 0), "{:?}", identity.usage());
        assert_eq!(find_by_token(&token).unwrap(), std::slice::from_ref(&identity));
        assert_eq!(ProcessIdentity::of(child.id(), "another token"), None);
        identity.kill().unwrap();
        while identity.is_alive() {
            std::thread::yield_now();
        }
        assert!(!identity.is_alive(), "a zombie is not alive");
        child.wait().unwrap();
        identity.kill().unwrap();
        assert_eq!(find_by_token(&token).unwrap(), []);
    }

    #[test]
    fn a_stranger_that_got_the_pid_is_never_killed() {
        let token = uuid::Uuid::new_v4().to_string();
        let mut stranger = waiting("stranger");
        let real = ProcessIdentity::of(stranger.id(), "stranger").unwrap();
        let reused_pid = ProcessIdentity { token, ..real.clone() };
        let earlier = ProcessIdentity { start_time: real.start_time - 1, ..real.clone() };
        for identity in [reused_pid, earlier] {
            assert!(!identity.is_alive());
            identity.kill().unwrap();
            assert!(real.is_alive(), "{identity:?} hit a stranger");
        }
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    proptest::proptest! {
        #[test]
        fn any_bytes_in_a_stat_file_are_survived(stat: Vec<u8>) {
            let _ = start_ticks(&stat);
        }
    }
}
