//! What a failed step means, by the words of the tools that failed.

/// What went wrong and what to do about it.
pub(crate) struct Diagnosis {
    pub(crate) what: &'static str,
    pub(crate) hints: &'static [&'static str],
}

/// Words in a tool's output, any of which tells the case. The first case that fits counts: the more telling ones stand first.
const CASES: &[(&[&str], Diagnosis)] = &[
    (
        &[
            "No space left on device",
            "You don't have enough free space",
            "Disk quota exceeded",
            "insufficient space",
            "not enough free disk space",
        ],
        Diagnosis {
            what: "the disk of the host is full",
            hints: &["make room there: `machine ssh`, then `df -h` and `sudo du -xh / | sort -h | tail`"],
        },
    ),
    (
        &["Read-only file system"],
        Diagnosis {
            what: "a file system of the host is read-only",
            hints: &["after an error of its disk Linux mounts it so: `machine ssh`, then `sudo dmesg`, tells"],
        },
    ),
    (
        &[
            "Could not get lock",
            "Unable to acquire the dpkg",
            "Unable to lock",
            "dpkg frontend lock",
            "System management is locked",
            "unable to lock database",
            "Unable to lock database",
            "Waiting for process with pid",
        ],
        Diagnosis {
            what: "another program on the host holds the lock of its package manager",
            hints: &[
                "it is often an automatic update: wait for it, then provision again",
                "`machine ssh`, then `ps aux | grep -E 'apt|dpkg|dnf|zypper|apk|pacman'` shows it",
            ],
        },
    ),
    (
        &[
            "is not valid yet",
            "certificate is not yet valid",
            "certificate has expired",
            "is not yet valid",
            "Release file for",
        ],
        Diagnosis {
            what: "the clock of the host and that of the package source do not agree",
            hints: &["`machine ssh`, then `date`, tells; provision again sets it by this computer's clock"],
        },
    ),
    (
        &[
            "NO_PUBKEY",
            "is not signed",
            "GPG check FAILED",
            "Signature verification failed",
            "Hash Sum mismatch",
            "BAD signature",
            "UNTRUSTED signature",
            "Hash mismatch",
        ],
        Diagnosis {
            what: "packages came without the right signature, and were not installed",
            hints: &["a proxy or mirror on the way may change them; try another one"],
        },
    ),
    (
        &[
            "Temporary failure resolving",
            "Could not resolve",
            "Name or service not known",
            "bad address",
            "Couldn't resolve host",
            "temporary error (try again later)",
        ],
        Diagnosis {
            what: "the host cannot look up names of the network",
            hints: &[
                "`machine ssh`, then `cat /etc/resolv.conf`; behind a proxy, its package manager has to know of it",
            ],
        },
    ),
    (
        &[
            "Failed to fetch",
            "Could not connect to",
            "Connection timed out",
            "Connection refused",
            "Network is unreachable",
            "Cannot download",
            "Failed to download metadata",
            "Curl error",
            "curl: (",
            "failed retrieving file",
            "Cannot retrieve metalink",
            "Valid metadata not found",
            "Download (curl) error",
            "Failed to connect",
        ],
        Diagnosis {
            what: "the source of its packages does not answer",
            hints: &[
                "try again later; behind a proxy, the host's package manager has to know of it",
                "`--engine-source distro` takes the distribution's own packages in place of Docker's",
            ],
        },
    ),
    (
        &[
            "conflicts with",
            "problem with installed package",
            "Conflicts:",
            "have unmet dependencies",
            "conflicting requests",
        ],
        Diagnosis {
            what: "other packages of the host stand in the way",
            hints: &[
                "often podman's or an older Docker's: remove those that are named (`machine ssh`), then provision again",
            ],
        },
    ),
    (
        &[
            "Unable to locate package",
            "has no installation candidate",
            "No match for argument",
            "unable to select packages",
            "target not found",
            "not found in package names",
            "No package docker",
            "Unable to find a match",
        ],
        Diagnosis {
            what: "the host's package sources do not have the engine",
            hints: &[
                "make the part of the distribution known that has it (Ubuntu: universe; Alpine: community; SLES: the containers module)",
            ],
        },
    ),
];

/// What the output of a failed step means, where that is known.
pub(crate) fn diagnose(output: &str) -> Option<&'static Diagnosis> {
    CASES.iter().find(|(words, _)| words.iter().any(|words| output.contains(words))).map(|(_, diagnosis)| diagnosis)
}

/// The words of our own scripts among a tool's.
pub(crate) fn own_words(output: &str) -> Option<&str> {
    output.lines().rev().find_map(|line| line.strip_prefix("machine: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_words_of_package_managers_are_told_apart() {
        for (output, what) in [
            (
                "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)",
                "holds the lock",
            ),
            (
                "dpkg: error processing archive x.deb: cannot copy extracted data: failed to write (No space left on device)",
                "disk",
            ),
            ("E: Release file for http://d/InRelease is not valid yet (invalid for another 364d 1h).", "clock"),
            (
                "Err:1 http://d trixie InRelease\n  Temporary failure resolving 'd'\nE: Unable to locate package docker.io",
                "names",
            ),
            (
                "Err:1 http://d trixie InRelease\n  Could not connect to d:80 (127.0.0.1). - connect (111: Connection refused)\nE: Unable to locate package docker.io",
                "source",
            ),
            ("E: Unable to locate package docker.io", "package sources"),
            ("mkdir: cannot create directory '/etc/docker': Read-only file system", "read-only"),
            ("ERROR: unable to select packages:\n  docker (no such package):", "package sources"),
            ("Error: GPG check FAILED", "signature"),
        ] {
            let found = diagnose(output).map(|diagnosis| diagnosis.what).unwrap_or_default();
            assert!(found.contains(what), "{output}: {found}");
        }
        assert!(diagnose("all is well").is_none());
        assert_eq!(own_words("a\nmachine: there is no account x\nb"), Some("there is no account x"));
    }
}
