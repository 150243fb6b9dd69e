//! The words of `share`.

use clap::Subcommand;

use super::machines::Listing;

#[derive(Debug, Subcommand)]
pub enum Share {
    /// Let a machine see folders of this computer; a running one sees them at once
    Add {
        /// The machine
        machine: String,
        /// Each folder, under the same path or at PLACE; `:ro` to read only, `:events` to tell watchers inside of changes made here
        #[arg(required = true, value_name = "DIR[:PLACE][:OPTIONS]")]
        folders: Vec<String>,
    },
    /// List what a machine sees of this computer, and what containers miss
    Ls(Listing),
    /// Take folders away from a machine; nothing in them changes
    Rm {
        /// The machine
        machine: String,
        /// The folders, or their places in the machine
        #[arg(required = true, value_name = "DIR|PLACE")]
        folders: Vec<String>,
    },
}
