//! The words of `sync`.

use clap::Args;

use crate::outcome::Format;

#[derive(Debug, Args)]
pub struct Sync {
    /// The folder to copy: of this computer, or NAME:PLACE
    #[arg(value_name = "FROM")]
    pub from: String,
    /// The folder to copy it to: of this computer, or NAME:PLACE
    #[arg(value_name = "TO")]
    pub to: String,
    /// Each side gets what changed on the other; what changed on both is kept twice
    #[arg(long, conflicts_with = "delete")]
    pub two_way: bool,
    /// Also remove from TO what FROM does not have
    #[arg(long)]
    pub delete: bool,
    /// Leave out what PATTERN says, as in a .gitignore; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Leave out what .gitignore files in the folders say
    #[arg(long)]
    pub gitignore: bool,
    /// Print what would be done, and do nothing
    #[arg(long, conflicts_with = "watch")]
    pub dry_run: bool,
    /// Go on: copy again whenever something changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}
