//! What fits where: machines, images, and words that only the application knows.

use std::ffi::OsStr;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use machine_app::{App, DRIVERS, Shell};

use crate::arguments::Arguments;
use crate::topics::TOPICS;

/// What an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    /// A machine.
    Machine,
    /// A machine, then what nobody knows here.
    MachineFirst,
    /// `NAME:PLACE` in a machine, or a path of this computer.
    Place,
    /// An image of the store, or one that can be had.
    Image,
    /// A command, or a topic.
    Explained,
    /// One of these.
    Words(&'static [&'static str]),
}

/// What the argument `id` of the command `path` (without `machine`) takes, where clap itself does not know.
fn fits(path: &[&str], id: &str) -> Option<Fits> {
    match (path, id) {
        // What is made has a name of its own, and so has an account.
        (["create" | "import" | "import-docker-machine", ..] | ["image", "import"], "name" | "names")
        | (["user", ..], "user")
        | (["docker"], "words") => None,
        (["create"], "driver") => Some(Fits::Words(DRIVERS)),
        (["create", ..], "accelerator") => Some(Fits::Words(&["auto", "kvm", "hvf", "whpx", "tcg", "none"])),
        (["create"], "image") | (["image", ..], "name") => Some(Fits::Image),
        (["env" | "shell-init"], "shell") => Some(Fits::Words(Shell::NAMES)),
        (["ls"], "format") => Some(Fits::Words(&["text", "json", "table"])),
        (["ls"], "filters") => Some(Fits::Words(&["driver=", "label=", "name=", "state="])),
        (["help"], "words") => Some(Fits::Explained),
        (["rename"], "from") => Some(Fits::Machine),
        (["ssh"], "words") => Some(Fits::MachineFirst),
        (["sync" | "scp" | "mount"], "from" | "to" | "source" | "target" | "paths" | "places") => Some(Fits::Place),
        (_, "name" | "names" | "machine" | "machines") => Some(Fits::Machine),
        _ => None,
    }
}

/// `command` with what fits for each of its arguments. Nothing is read before it is asked for.
pub(super) fn with_values(command: Command, app: &App, named: &[String]) -> Command {
    below(command, &[], app, named)
}

fn below(command: Command, path: &[&str], app: &App, named: &[String]) -> Command {
    let command = command.mut_args(|argument| match fits(path, argument.get_id().as_str()) {
        Some(fits) => {
            let several = argument.get_action().takes_values() && is_list(&argument);
            let named = if several { named.to_vec() } else { Vec::new() };
            argument.add(ArgValueCompleter::new(Values { fits, app: app.clone(), named }))
        }
        None => argument,
    });
    command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        below(sub, &[path, &[name.as_str()]].concat(), app, named)
    })
}

fn is_list(argument: &Arg) -> bool {
    argument.is_positional() && matches!(argument.get_action(), clap::ArgAction::Append)
}

struct Values {
    fits: Fits,
    app: App,
    /// What the line has already: nobody wants a machine twice.
    named: Vec<String>,
}

impl Values {
    /// The machines; none where the store cannot be read.
    fn machines(&self) -> Vec<String> {
        self.app.names().unwrap_or_default().into_iter().filter(|name| !self.named.contains(name)).collect()
    }
}

impl ValueCompleter for Values {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        self.complete_at(0, current)
    }

    fn complete_at(&self, index: usize, current: &OsStr) -> Vec<CompletionCandidate> {
        let typed = current.to_string_lossy();
        let fitting = |words: Vec<String>| {
            words.into_iter().filter(|word| word.starts_with(&*typed)).map(CompletionCandidate::new).collect()
        };
        match self.fits {
            Fits::Machine => fitting(self.machines()),
            Fits::MachineFirst if index == 0 => fitting(self.machines()),
            Fits::MachineFirst => Vec::new(),
            Fits::Place => {
                let mut places: Vec<CompletionCandidate> =
                    fitting(self.machines().into_iter().map(|name| format!("{name}:")).collect());
                places.extend(PathCompleter::any().complete(current));
                places
            }
            Fits::Image => {
                let mut names: Vec<String> =
                    self.app.images().unwrap_or_default().into_iter().map(|image| image.name).collect();
                names.sort_unstable();
                names.dedup();
                fitting(names)
            }
            Fits::Explained => {
                let command = Arguments::command();
                let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
                let commands = shown.map(|command| command.get_name().to_owned());
                fitting(commands.chain(TOPICS.iter().map(|topic| topic.name.to_owned())).collect())
            }
            Fits::Words(words) => fitting(words.iter().map(|word| (*word).to_owned()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_something_takes_no_name_that_is_there() {
        assert_eq!(fits(&["create"], "name"), None);
        assert_eq!(fits(&["image", "import"], "name"), None);
        assert_eq!(fits(&["user", "rm"], "user"), None);
        assert_eq!(fits(&["image", "rm"], "name"), Some(Fits::Image));
        assert_eq!(fits(&["rm"], "names"), Some(Fits::Machine));
        assert_eq!(fits(&["share", "add"], "machine"), Some(Fits::Machine));
    }
}
