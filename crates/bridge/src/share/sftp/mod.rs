//! SFTP, protocol version 3 (draft-ietf-secsh-filexfer-02) with those of OpenSSH's extensions that `sshfs` uses: the side that
//! has the files.

mod attributes;
mod exports;
mod failure;
mod folder;
mod names;
mod owners;
mod server;
mod session;
mod signs;
mod system;
#[cfg(test)]
mod tests;
mod troubles;
mod wire;

pub use exports::Exports;
pub use folder::{Access, Folder};
pub use session::serve;
pub(super) use signs::{AWAY, SIGN};
