//! help, manual

use std::path::Path;

use clap::Parser as _;
use machine_core::{Code, Error, Result};

use crate::arguments::Arguments;
use crate::{manual, topics};

pub fn run(words: &[String]) -> Result<i32> {
    if let [word] = words {
        if word == "topics" {
            print!("{}", topics::list());
            return Ok(0);
        }
        if let Some(topic) = topics::find(word) {
            println!("{}\n\n{}", topic.title, topic.text.trim_end());
            return Ok(0);
        }
    }
    // `help ls` is `ls --help`.
    let line = std::iter::once("machine").chain(words.iter().map(String::as_str)).chain(["--help"]);
    match Arguments::try_parse_from(line) {
        Err(help) if !help.use_stderr() => {
            let _ = help.print();
            Ok(0)
        }
        _ => Err(Error::new(Code::Usage, format!("there is no command and no topic {:?}", words.join(" ")))
            .hint("`machine --help` lists the commands, `machine help topics` the topics")),
    }
}

pub fn write_manual(folder: &Path) -> Result<i32> {
    let pages = manual::write(folder)?;
    eprintln!("{pages} manual pages are in {}", folder.display());
    Ok(0)
}
