//! No tracked file may name a package mirror of this computer, or one of its folders.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use super::stages::{Context, Outcome};
use crate::Result;
use crate::command::{Output, Program};

/// Looks through every tracked file (and those not ignored that may become one).
pub fn check(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let hosts = hosts_in(&package_configuration());
    let folders = folders_of_this_computer(&context.root);
    let names = Program::line("git ls-files --cached --others --exclude-standard").folder(&context.root).read()?;
    let mut found = 0;
    for name in names.lines() {
        // Not text: nothing to read. Listed and gone: a deletion that is not committed yet.
        let Ok(text) = fs::read_to_string(context.root.join(name)) else { continue };
        for problem in problems(name, &text, &hosts, &folders) {
            output.line(&problem);
            found += 1;
        }
    }
    output.line(&format!(
        "{} files, {} hosts, {} folders looked for",
        names.lines().count(),
        hosts.len(),
        folders.len()
    ));
    if found == 0 { Ok(Outcome::Done) } else { Err(format!("{found} lines must go")) }
}

/// What is wrong with one file. The host or folder itself is not repeated: the report may be published too.
fn problems(name: &str, text: &str, hosts: &BTreeSet<String>, folders: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        // The name of the one registry of Rust, which cargo itself writes into every lock file.
        let lock = name.ends_with("Cargo.lock") && line.trim_start().starts_with("source = \"registry+");
        if !lock && hosts.iter().any(|host| contains_host(line, host)) {
            problems.push(format!("{place}: a host that a package client of this computer is configured with"));
        }
        if folders.iter().any(|folder| line.contains(folder.as_str())) {
            problems.push(format!("{place}: an absolute path of this computer"));
        }
        if name.ends_with("package-lock.json") && line.contains("\"resolved\": \"http") {
            problems.push(format!("{place}: a download address (npm install --omit-lockfile-registry-resolved)"));
        }
    }
    problems
}

/// Whether the line has the host's name, not merely a longer one that ends or begins with it.
fn contains_host(line: &str, host: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    line.match_indices(host).any(|(at, _)| {
        !line[..at].ends_with(part_of_name)
            && !line[at + host.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// Folders of this computer that would mean nothing on another one.
fn folders_of_this_computer(root: &Path) -> Vec<String> {
    let mut folders = vec![format!("{}/", root.display())];
    if let Some(home) = env::home_dir() {
        let home = home.display();
        // `/root` is in every guest too; what a developer's home has in it is not.
        if home.to_string() == "/root" {
            folders.extend([".cargo", ".rustup", ".cache", ".npm", ".pyenv"].map(|name| format!("{home}/{name}")));
        } else {
            folders.push(format!("{home}/"));
        }
    }
    folders
}

/// The configuration of the package clients, as far as it can be found: nothing but addresses is taken from it.
fn package_configuration() -> String {
    let mut text = String::new();
    let mut add = |more: Result<String>| text.push_str(&format!("{}\n", more.unwrap_or_default()));
    add(Program::line("apt-get indextargets --format $(SITE)").read());
    add(Program::line("apt-config dump")
        .read()
        .map(|dump| dump.lines().filter(|line| line.contains("Proxy")).map(|line| format!("{line}\n")).collect()));
    add(Program::line("pip config list").read());
    add(Program::line("npm config get registry").read());
    for name in ["CARGO_HOME", "HOME"] {
        let Some(folder) = env::var_os(name).map(std::path::PathBuf::from) else { continue };
        for file in ["config.toml", "config", ".cargo/config.toml"] {
            add(fs::read_to_string(folder.join(file)).map_err(|error| error.to_string()));
        }
    }
    let of_client = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.ends_with("_proxy") || ["cargo_", "pip_", "npm_config_"].iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, value) in env::vars_os() {
        if of_client(&name.to_string_lossy()) && !name.to_string_lossy().starts_with("CARGO_PKG_") {
            add(Ok(value.to_string_lossy().into_owned()));
        }
    }
    text
}

/// The hosts of the addresses (`scheme://[user@]host[:port]/...`) in a text, this computer's own aside.
fn hosts_in(text: &str) -> BTreeSet<String> {
    let host_of = |rest: &str| {
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#')).unwrap_or(rest.len());
        let host = rest[..end].rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        host.to_ascii_lowercase()
    };
    let is_elsewhere = |host: &String| {
        host.contains('.')
            && !host.starts_with("127.")
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    text.split("://").skip(1).map(host_of).filter(is_elsewhere).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> BTreeSet<String> {
        hosts_in("URIs: https://user:word@mirror.example:8080/debian\nindex-url='http://127.0.0.1/simple'\n")
    }

    #[test]
    fn hosts_are_taken_from_addresses_without_user_and_port() {
        assert_eq!(hosts().into_iter().collect::<Vec<_>>(), ["mirror.example"]);
    }

    #[test]
    fn a_line_with_a_mirror_is_a_problem_and_its_name_is_not_repeated() {
        let problems = problems("docs/a.md", "fine\nsee http://mirror.example/x\n", &hosts(), &[]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("docs/a.md:2:") && !problems[0].contains("mirror.example"), "{problems:?}");
    }

    #[test]
    fn a_longer_name_is_another_host() {
        assert!(problems("a", "http://my-mirror.example http://mirror.example-two", &hosts(), &[]).is_empty());
        assert_eq!(problems("a", "at mirror.example.", &hosts(), &[]).len(), 1);
    }

    #[test]
    fn the_registry_line_of_a_lock_file_is_no_problem_and_a_folder_is_one() {
        let line = "source = \"registry+https://mirror.example/index\"\n";
        assert!(problems("Cargo.lock", line, &hosts(), &[]).is_empty());
        assert_eq!(problems("Other.lock", line, &hosts(), &[]).len(), 1);
        assert_eq!(problems("a", "in /home/me/clone/x", &hosts(), &["/home/me/clone/".to_owned()]).len(), 1);
    }

    #[test]
    fn download_addresses_in_the_lock_file_of_npm_are_problems() {
        let line = "\"resolved\": \"https://elsewhere.example/a.tgz\"";
        assert_eq!(problems("package-lock.json", line, &hosts(), &[]).len(), 1);
        assert!(problems("notes.json", line, &hosts(), &[]).is_empty());
    }
}
