//! `ssh-config`: machines as hosts of OpenSSH, each with its pinned key.

mod host;
mod include;
mod installed;

pub use host::SshConfig;
