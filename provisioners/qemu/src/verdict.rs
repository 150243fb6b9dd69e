//! What the first seconds of a machine showed about hardware acceleration, and the memory of it.
//!
//! An accelerator that exists may still abort or leave the guest silent for ever. On such a host one start is lost, never
//! two: the verdict is kept until QEMU or the host's kernel changes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::{Accelerator, HostFacts};

/// What a verdict holds for: another QEMU or another host kernel is asked anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictKey {
    /// The first line of `qemu --version`.
    pub qemu: String,
    /// The program file (see [`crate::fingerprint`]).
    pub program: String,
    /// The host's kernel release.
    pub kernel: String,
    /// The host's operating system version.
    pub os_version: String,
}

impl VerdictKey {
    /// The key for this host as it is now; none while there is no QEMU.
    pub fn of(facts: &HostFacts) -> Option<Self> {
        facts.qemu.as_ref().map(|qemu| Self {
            qemu: qemu.version_text.clone(),
            program: format!("{} {}", qemu.program.display(), qemu.fingerprint),
            kernel: facts.kernel.clone(),
            os_version: facts.os_version.clone(),
        })
    }
}

/// What was seen of one accelerator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Whether a guest came up with it.
    pub works: bool,
    /// What was seen, for people.
    pub reason: String,
    /// When.
    pub when: Timestamp,
    /// What it holds for.
    pub key: VerdictKey,
}

/// All verdicts of this computer: a small file of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdicts {
    /// At most one for each accelerator.
    pub entries: Vec<Verdict>,
}

impl Verdicts {
    /// What is known of `accelerator` on this host as it is now.
    pub fn about(&self, accelerator: Accelerator, facts: &HostFacts) -> Option<&Verdict> {
        let key = VerdictKey::of(facts)?;
        self.entries.iter().find(|entry| entry.accelerator == accelerator && entry.key == key)
    }

    /// Remembers `verdict` in place of what was known of its accelerator. Returns whether anything but the time changed,
    /// that is whether it is worth writing down.
    pub fn remember(&mut self, verdict: Verdict) -> bool {
        let known = self.entries.iter().find(|entry| entry.accelerator == verdict.accelerator);
        let same = known.is_some_and(|known| known.works == verdict.works && known.key == verdict.key);
        if !same {
            self.entries.retain(|entry| entry.accelerator != verdict.accelerator);
            self.entries.push(verdict);
        }
        !same
    }
}

/// How QEMU ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit<'a> {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The last lines of its standard error.
    pub stderr_tail: &'a str,
}

/// What can be seen of a machine in its first seconds.
#[derive(Clone, Copy, Debug)]
pub struct FirstSeconds<'a> {
    /// What it runs with.
    pub accelerator: Accelerator,
    /// QEMU loads the kernel itself: the kernel speaks within a second, not after firmware and boot loader.
    pub direct_boot: bool,
    /// Time since QEMU was started.
    pub elapsed: Duration,
    /// How QEMU ended, if it did.
    pub exit: Option<Exit<'a>>,
    /// The serial console's output of this start.
    pub serial: &'a [u8],
    /// Something inside has answered: a banner of sshd, say.
    pub answered: bool,
}

/// What the first seconds say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Wait,
    /// The guest's own kernel runs.
    Works,
    /// It does not and will not; the text says what was seen.
    Bad(String),
}

impl FirstSeconds<'_> {
    /// How long a guest may stay silent before its accelerator is given up. Software emulation is never given up for
    /// silence: there is nothing to fall back to, and its speed is that of the host.
    pub fn limit(accelerator: Accelerator, direct_boot: bool) -> Option<Duration> {
        match (accelerator.is_hardware(), direct_boot) {
            (false, _) => None,
            (true, true) => Some(Duration::from_secs(15)),
            // Firmware and boot loader have their own time-outs (menus of 5 s), and the kernel may not use the serial line.
            (true, false) => Some(Duration::from_secs(60)),
        }
    }
}

/// Judges the first seconds of a machine.
pub fn watch(seen: &FirstSeconds<'_>) -> Decision {
    if seen.answered || kernel_has_spoken(seen.serial) {
        return Decision::Works;
    }
    if let Some(exit) = &seen.exit {
        let how = exit.code.map_or("was ended by a signal".to_owned(), |code| format!("ended with exit code {code}"));
        let last = last_words(exit.stderr_tail);
        return Decision::Bad(match last {
            Some(line) => format!("QEMU {how} before the guest's kernel ran: {line}"),
            None => format!("QEMU {how} before the guest's kernel ran, without a message"),
        });
    }
    match FirstSeconds::limit(seen.accelerator, seen.direct_boot) {
        Some(limit) if seen.elapsed >= limit => {
            Decision::Bad(format!("the guest's kernel printed nothing within {} s", limit.as_secs()))
        }
        _ => Decision::Wait,
    }
}

/// The line that says most: what follows the first `error: ` (the assertion that QEMU ends with after it tells a user
/// nothing), or else the last line.
fn last_words(stderr: &str) -> Option<&str> {
    let lines = || stderr.lines().map(str::trim);
    lines()
        .find_map(|line| line.split_once("error: ").map(|(_, text)| text))
        .or_else(|| lines().rfind(|line| !line.is_empty()))
}

/// Lines that firmware and boot loaders print: they run even where the kernel then hangs (seen with KVM on a host whose
/// hypervisor lets SeaBIOS run and nothing after it).
const BEFORE_THE_KERNEL: &[&str] = &[
    "SeaBIOS",
    "iPXE",
    "Booting from",
    "UEFI firmware",
    "BdsDxe:",
    "Tpm2",
    "GRUB",
    "Welcome to GRUB",
    "error: no suitable",
    "Booting `",
    "Loading Linux",
    "Loading initial ramdisk",
    "EFI stub:",
    "Press any key",
    "Shell>",
    "ConvertPages:",
    "qemu-system",
];

fn kernel_has_spoken(serial: &[u8]) -> bool {
    let text = without_escapes(&String::from_utf8_lossy(serial));
    if text.contains("Linux version ") {
        return true;
    }
    // Only complete lines: half a firmware line would be taken for something else.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(str::trim).any(|line| {
        line.chars().filter(char::is_ascii_alphanumeric).count() >= 3
            && !BEFORE_THE_KERNEL.iter().any(|start| line.starts_with(start))
            // A time stamp, or a program inside that speaks under its name.
            && (line.starts_with('[') || line.contains(": ") || line.contains("login"))
    })
}

/// The text without terminal control sequences, with which firmware clears screens and boot loaders draw menus.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    let _final_byte = chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\n' => plain.push('\n'),
            '\r' => {}
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: FirstSeconds<'_> = FirstSeconds {
        accelerator: Accelerator::Kvm,
        direct_boot: true,
        elapsed: Duration::from_secs(1),
        exit: None,
        serial: b"",
        answered: false,
    };

    fn after(seconds: u64, serial: &str, direct_boot: bool) -> Decision {
        watch(&FirstSeconds {
            elapsed: Duration::from_secs(seconds),
            serial: serial.as_bytes(),
            direct_boot,
            ..HARDWARE
        })
    }

    #[test]
    fn a_kernel_that_speaks_means_that_it_works() {
        for serial in [
            "[    0.000000] Linux version 6.12.48+deb13-amd64",
            "machine-guest: ready\n",
            "[    0.51] virtio_blk virtio1: 2/0/0 default/read/poll queues\r\n",
            "SeaBIOS (version 1.16.3)\r\nBooting from ROM..\r\n\x1b[0m[  OK  ] Started sshd: serving\r\n",
            "\r\nDebian GNU/Linux 13 dev ttyS0\r\n\r\ndev login: \r\n",
        ] {
            assert_eq!(after(1, serial, true), Decision::Works, "{serial:?}");
        }
    }

    #[test]
    fn firmware_and_boot_loader_prove_nothing() {
        let firmware = "\x1bc\x1b[?7l\x1b[2JSeaBIOS (version 1.16.3-debian-1.16.3-2)\r\n\r\n\r\niPXE (https://ipxe.org) 00:02.0 CA00 PCI2.10\r\n\
            Booting from ROM...\r\n";
        assert_eq!(after(14, firmware, true), Decision::Wait);
        assert_eq!(after(15, firmware, true), Decision::Bad("the guest's kernel printed nothing within 15 s".into()));
        let loader = "UEFI firmware (version 2024.11 built at 00:00:00)\r\nBdsDxe: starting Boot0001 \"UEFI Misc Device\"\r\n\
            \x1b[2J\x1b[01;01HWelcome to GRUB!\r\n  Booting `Debian GNU/Linux'\r\n\r\nLoading Linux 6.12.48 ...\r\nEFI stub: Booting Linux Kernel...\r\n";
        assert_eq!(after(30, loader, false), Decision::Wait);
        assert_eq!(after(60, loader, false), Decision::Bad("the guest's kernel printed nothing within 60 s".into()));
    }

    #[test]
    fn an_answer_from_inside_counts_even_when_the_serial_line_is_not_used() {
        assert_eq!(watch(&FirstSeconds { answered: true, ..HARDWARE }), Decision::Works);
    }

    #[test]
    fn emulation_may_take_its_time() {
        let slow = FirstSeconds { accelerator: Accelerator::Tcg, elapsed: Duration::from_secs(3600), ..HARDWARE };
        assert_eq!(watch(&slow), Decision::Wait);
    }

    #[test]
    fn an_exit_before_the_kernel_is_bad_with_qemus_last_words() {
        // Word for word from a host whose /dev/kvm exists and does not work.
        let stderr_tail = "2026-11-22T03:12:09.696838Z qemu-system-x86_64: error: failed to set MSR 0x10a to 0xc000069\n\
            qemu-system-x86_64: target/i386/kvm/kvm.c:3849: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.\n";
        let aborted = FirstSeconds { exit: Some(Exit { code: None, stderr_tail }), ..HARDWARE };
        assert_eq!(
            watch(&aborted),
            Decision::Bad(
                "QEMU was ended by a signal before the guest's kernel ran: failed to set MSR 0x10a to 0xc000069".into()
            )
        );
        let unknown =
            FirstSeconds { exit: Some(Exit { code: Some(1), stderr_tail: "a\nno space left\n\n" }), ..HARDWARE };
        assert!(
            matches!(watch(&unknown), Decision::Bad(why) if why.ends_with("before the guest's kernel ran: no space left"))
        );
        let refused = FirstSeconds { exit: Some(Exit { code: Some(1), stderr_tail: "" }), ..HARDWARE };
        assert_eq!(
            watch(&refused),
            Decision::Bad("QEMU ended with exit code 1 before the guest's kernel ran, without a message".into())
        );
    }

    #[test]
    fn verdicts_are_kept_once_for_each_accelerator_and_read_again() {
        let key = VerdictKey { qemu: "q".into(), program: "p".into(), kernel: "k".into(), os_version: "1".into() };
        let bad = Verdict {
            accelerator: Accelerator::Kvm,
            works: false,
            reason: "silent".into(),
            when: Timestamp::UNIX_EPOCH,
            key,
        };
        let mut verdicts = Verdicts::default();
        assert!(verdicts.remember(bad.clone()));
        assert!(!verdicts.remember(bad.clone()), "the same again is not worth a write");
        assert!(verdicts.remember(Verdict { works: true, ..bad.clone() }));
        assert!(verdicts.remember(Verdict { accelerator: Accelerator::Tcg, ..bad }));
        assert_eq!(verdicts.entries.len(), 2);
        let kept = serde_json::to_string(&verdicts).unwrap();
        insta::assert_snapshot!(kept);
        assert_eq!(serde_json::from_str::<Verdicts>(&kept).unwrap(), verdicts);
        assert_eq!(serde_json::from_str::<Verdicts>("{}").unwrap(), Verdicts::default());
    }
}
