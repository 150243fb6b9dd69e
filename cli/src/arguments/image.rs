//! The words of `image`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::outcome::Format;

#[derive(Debug, Subcommand)]
pub enum Image {
    /// List images that are here, and those that can be had
    Ls {
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Download an image of the catalog
    Pull {
        /// Its name in `machine image ls`
        name: String,
    },
    /// Take in a disk image, or a folder made by `image build`
    Import {
        /// A qcow2 or raw file, or a folder with disk.qcow2, vmlinuz, initrd.img and manifest.json
        path: PathBuf,
        /// The name it gets [default: the manifest's, or the file's]
        #[arg(long)]
        name: Option<String>,
    },
    /// Build our own image from distribution packages
    Build {
        /// Package source: URI of a Debian archive [default: the one that this computer uses]
        #[arg(long, value_name = "URI")]
        package_source: Option<String>,
        /// Build inside a temporary machine made from Debian's cloud image [default on macOS and Windows]
        #[arg(long)]
        in_machine: bool,
    },
    /// Remove all warm states (`image ls` shows them); the next machines boot, and leave others
    Prune,
    /// Remove an image that no machine uses
    Rm {
        /// Its name, or the beginning of its digest
        name: String,
    },
    /// Print all that is known of an image, as JSON
    Show {
        /// Its name, or the beginning of its digest
        name: String,
    },
}
