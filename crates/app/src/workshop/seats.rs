//! Hosts and accounts by their names.

use machine_core::{Code, Error, MachineName, Result};
use unicode_normalization::UnicodeNormalization as _;

use super::record::{MOST, Seat};
use super::roster::Person;

/// The account where nobody in particular sits.
const ANYBODY: &str = "student";
/// Names that images have accounts or groups of already.
const TAKEN: &[&str] = &[
    "adm", "admin", "alpine", "arch", "backup", "bin", "daemon", "debian", "docker", "ec2-user", "fedora", "ftp",
    "games", "irc", "kvm", "list", "lp", "lxd", "machine", "mail", "man", "news", "nobody", "nogroup", "operator",
    "opensuse", "polkitd", "proxy", "rocky", "root", "shutdown", "sshd", "staff", "sudo", "sync", "sys", "syslog",
    "systemd", "tape", "tty", "ubuntu", "users", "uucp", "video", "wheel", "www-data",
];

/// The seats of a workshop: `lab-01`, `lab-02`, ...
///
/// # Errors
/// [`Code::Usage`]: no number, more people than hosts, or a name that has no room for a number.
pub(crate) fn seats(name: &MachineName, count: Option<usize>, people: Vec<Person>) -> Result<Vec<Seat>> {
    let count = match count {
        Some(count) if count < people.len() => {
            return Err(usage(format!("the roster has {} people, and --count is {count}", people.len()))
                .hint("leave --count out for a host each"));
        }
        Some(count) => count,
        None if people.is_empty() => {
            return Err(usage("how many hosts?").hint("--count 30, or --roster FILE.csv for one each"));
        }
        None => people.len(),
    };
    if !(1..=MOST).contains(&count) {
        return Err(usage(format!("a workshop has from 1 to {MOST} hosts")));
    }
    let width = if count > 99 { 3 } else { 2 };
    let mut people = people.into_iter();
    (1..=count)
        .map(|number| {
            let host = format!("{name}-{number:0width$}").parse()?;
            let person = people.next();
            let account = person.as_ref().map_or_else(|| ANYBODY.to_owned(), account);
            Ok(Seat { host, person, account, prepared: false, password_given: false })
        })
        .collect()
}

fn usage(text: impl Into<String>) -> Error {
    Error::new(Code::Usage, text)
}

/// A login name by useradd(8)'s rule: of the e-mail address's first part, else of the name.
fn account(person: &Person) -> String {
    let local = person.email.as_deref().and_then(|email| email.split(['@', '+']).next());
    [local, Some(person.name.as_str())]
        .into_iter()
        .flatten()
        .map(login_name)
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| ANYBODY.to_owned())
}

fn login_name(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .replace('ß', "ss")
        .replace('ø', "o")
        .replace('ł', "l")
        .replace('æ', "ae")
        .nfd()
        .filter_map(|c| match c {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => Some(c),
            ' ' | '.' | '-' | '_' => Some('-'),
            _ => None,
        })
        .collect();
    let name: String = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase()).chars().take(24).collect();
    let name = name.trim_end_matches('-').to_owned();
    if TAKEN.contains(&name.as_str()) { format!("{name}-1") } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(name: &str, email: &str) -> Person {
        Person { name: name.into(), email: Some(email.to_owned()).filter(|email| !email.is_empty()) }
    }

    #[test]
    fn hosts_are_numbered_and_accounts_are_of_the_people() {
        let name: MachineName = "lab".parse().unwrap();
        let people = vec![person("Ann Lee", "Ann.Lee+x@example.org"), person("Łukasz Groß", ""), person("李", "")];
        let made = seats(&name, Some(4), people.clone()).unwrap();
        let shown: Vec<_> = made.iter().map(|seat| (seat.host.as_str(), seat.account.as_str())).collect();
        let expected =
            [("lab-01", "ann-lee"), ("lab-02", "lukasz-gross"), ("lab-03", "student"), ("lab-04", "student")];
        assert_eq!(shown, expected);
        assert_eq!(seats(&name, None, people.clone()).unwrap().len(), 3);
        assert_eq!(seats(&name, Some(100), Vec::new()).unwrap()[7].host.as_str(), "lab-008");
        assert_eq!(account(&person("Root", "root@example.org")), "root-1");
        for (count, people) in [(None, vec![]), (Some(2), people), (Some(0), vec![]), (Some(MOST + 1), vec![])] {
            assert_eq!(seats(&name, count, people).unwrap_err().code(), Code::Usage);
        }
        let long: MachineName = "x".repeat(62).parse().unwrap();
        assert!(seats(&long, Some(1), Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn every_account_is_a_login_name(name in "\\PC{0,60}", email in "\\PC{0,30}") {
            machine_engine::check_account_name(&account(&person(&name, &email))).unwrap();
        }
    }
}
