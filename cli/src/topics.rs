//! Texts on what lies behind the commands: `machine help TOPIC`, and pages of the manual.

/// A concept, explained in one screen.
pub struct Topic {
    /// What people type.
    pub name: &'static str,
    /// What else they may type.
    pub aliases: &'static [&'static str],
    /// One line on it.
    pub title: &'static str,
    /// The text, lines of at most 80 characters; what is indented by four spaces is kept as it is.
    pub text: &'static str,
}

const fn topic(name: &'static str, aliases: &'static [&'static str], title: &'static str, text: &'static str) -> Topic {
    Topic { name, aliases, title, text }
}

/// All of them, in the order in which they are listed.
pub const TOPICS: &[Topic] = &[
    topic("machines", &["concepts"], "What a machine is, and its states", include_str!("topics/machines.txt")),
    topic("drivers", &[], "What provides machines", include_str!("topics/drivers.txt")),
    topic("sharing", &["folders"], "Folders of this computer in a machine", include_str!("topics/sharing.txt")),
    topic("publishing", &[], "Ports of containers on this computer", include_str!("topics/publishing.txt")),
    topic("trust", &["certificates", "security"], "Certificates, host keys, secrets", include_str!("topics/trust.txt")),
    topic("contexts", &[], "How Docker clients find a machine", include_str!("topics/contexts.txt")),
    topic("amazon", &["aws"], "Machines at Amazon EC2", include_str!("topics/amazon.txt")),
    topic("docker-machine", &[], "For those who come from docker-machine", include_str!("topics/docker-machine.txt")),
    topic("files", &[], "What lies where", include_str!("topics/files.txt")),
    topic("environment", &["variables"], "Variables that are read and set", include_str!("topics/environment.txt")),
    topic("exit-codes", &[], "What a script may rely on", include_str!("topics/exit-codes.txt")),
];

/// The topic of that name.
pub fn find(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name || topic.aliases.contains(&name))
}

/// The names and titles, one a line.
pub fn list() -> String {
    let width = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
    TOPICS.iter().map(|topic| format!("  {:width$}  {}\n", topic.name, topic.title)).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn topics_fit_a_terminal_and_hide_no_command() {
        let commands = Arguments::command();
        for topic in TOPICS {
            for line in topic.text.lines() {
                assert!(line.chars().count() <= 80 && line == line.trim_end(), "{}: {line:?}", topic.name);
            }
            for name in std::iter::once(&topic.name).chain(topic.aliases) {
                assert!(commands.find_subcommand(name).is_none(), "{name} is a command");
            }
        }
    }

    #[test]
    fn every_command_that_a_topic_names_is_there() {
        let commands = Arguments::command();
        for topic in TOPICS {
            for (at, _) in topic.text.match_indices("machine ") {
                let line = topic.text[..at].rsplit('\n').next().unwrap();
                if !line.ends_with(['`', '(']) && line != "    " {
                    continue;
                }
                let word = topic.text[at + 8..].split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
                let known = word == "help" || word.is_empty() || commands.find_subcommand(word).is_some();
                assert!(known, "{}: machine {word}", topic.name);
            }
        }
    }
}
