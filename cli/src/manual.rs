//! The manual pages: one of the program, one of each command, one of each topic.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use machine_core::{Error, Result};

use crate::arguments::Arguments;
use crate::topics::{TOPICS, Topic};

/// Writes all pages into `folder`, which is made; returns how many.
///
/// # Errors
/// What cannot be written.
pub fn write(folder: &Path) -> Result<usize> {
    let failed = |error: std::io::Error| {
        Error::other(format!("cannot write the manual pages into {}", folder.display()))
            .because(error)
            .hint("name a folder that you may write to")
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut written = commands(&command, &[], folder).map_err(failed)?;
    for topic in TOPICS {
        let mut text = Vec::new();
        page(topic).to_writer(&mut text).map_err(failed)?;
        fs::write(folder.join(format!("machine-{}.7", topic.name)), text).map_err(failed)?;
        written += 1;
    }
    Ok(written)
}

fn commands(command: &clap::Command, above: &[&str], folder: &Path) -> std::io::Result<usize> {
    let names = [above, &[command.get_name()]].concat();
    let mut written = 1;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        written += commands(sub, &names, folder)?;
    }
    let name = names.join("-");
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("machine ", env!("CARGO_PKG_VERSION")))
        .manual("machine manual");
    let mut text = Vec::new();
    man.render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)?;
    Ok(written)
}

fn page(topic: &Topic) -> Roff {
    let name = format!("machine-{}", topic.name);
    let mut roff = Roff::new();
    roff.control(
        "TH",
        [name.to_uppercase().as_str(), "7", "", concat!("machine ", env!("CARGO_PKG_VERSION")), "machine manual"],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", topic.title))]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut verbatim = false;
    for (index, part) in topic.text.split("\n\n").enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        for line in part.lines() {
            let is_verbatim = line.starts_with("    ");
            if is_verbatim != verbatim {
                roff.control(if is_verbatim { "nf" } else { "fi" }, []);
                verbatim = is_verbatim;
            }
            roff.text([if verbatim { bold(line) } else { roman(line) }]);
        }
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("machine"), roman("(1)")]);
    roff
}
