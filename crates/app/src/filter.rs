//! Which machines `ls` lists: docker-machine's filters.

use machine_core::{Code, Error, Result};
use regex::Regex;

use crate::list::Row;

/// Conditions: of one kind, any; of several kinds, all.
#[derive(Debug, Default)]
pub struct Filter {
    drivers: Vec<String>,
    states: Vec<String>,
    labels: Vec<String>,
    names: Vec<Regex>,
    /// Nothing is in a swarm here.
    swarm: bool,
}

impl Filter {
    /// Understands `key=value`, each.
    ///
    /// # Errors
    /// [`Code::Usage`] for other words and other keys, or a `name` that is no regular expression.
    pub fn parse(words: &[String]) -> Result<Self> {
        let mut filter = Self::default();
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| {
                Error::new(Code::Usage, format!("Unsupported filter syntax: {word:?}"))
                    .hint("say key=value, such as `--filter state=running`; keys are driver, label, name, state")
            })?;
            match key.trim().to_lowercase().as_str() {
                "driver" => filter.drivers.push(value.to_lowercase()),
                "state" => filter.states.push(value.to_lowercase()),
                "label" => filter.labels.push(value.to_owned()),
                "name" => filter.names.push(Regex::new(value).map_err(|error| {
                    // Its last line says what, those before it show where.
                    let error = error.to_string().lines().last().unwrap_or_default().replace("error: ", "");
                    Error::new(Code::Usage, format!("the filter {word:?} is no regular expression"))
                        .because(error)
                        .hint("a backslash before a character takes it as it is: `--filter 'name=a\\.b'`")
                })?),
                "swarm" => filter.swarm = true,
                _ => {
                    return Err(Error::new(Code::Usage, format!("Unsupported filter key '{key}'"))
                        .hint("keys are driver, label, name, state"));
                }
            }
        }
        Ok(filter)
    }

    /// Whether nothing but the name of a machine is asked about.
    pub fn is_about_names(&self) -> bool {
        self.drivers.is_empty() && self.states.is_empty() && self.labels.is_empty() && !self.swarm
    }

    /// Whether a machine of that name passes, as far as that counts.
    pub fn takes_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted.is_match(name))
    }

    /// Whether a machine passes.
    pub fn takes(&self, row: &Row) -> bool {
        let any =
            |wanted: &[String], has: &dyn Fn(&str) -> bool| wanted.is_empty() || wanted.iter().any(|one| has(one));
        !self.swarm
            && self.takes_name(&row.name)
            && any(&self.drivers, &|one| row.driver.as_ref().is_some_and(|driver| driver.to_lowercase() == one))
            && any(&self.states, &|one| row.state.to_lowercase() == one)
            && any(&self.labels, &|one| row.labels.iter().any(|label| label == one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, driver: &str, state: &str, labels: &[&str]) -> Row {
        Row {
            name: name.into(),
            active: false,
            driver: Some(driver.into()),
            state: state.into(),
            url: None,
            docker_version: None,
            cpus: 1,
            memory_mib: 1,
            disk_mib: 1,
            error: None,
            warnings: Vec::new(),
            response_time: std::time::Duration::ZERO,
            labels: labels.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn conditions_of_one_kind_are_alternatives_and_kinds_add_up() {
        let rows = [
            row("dev", "qemu", "Running", &["a=1"]),
            row("lab-1", "ec2", "Stopped", &[]),
            row("lab-2", "ec2", "Running", &["a=2"]),
        ];
        let found = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let filter = Filter::parse(&words).unwrap();
            rows.iter().filter(|row| filter.takes(row)).map(|row| row.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), ["dev", "lab-1", "lab-2"]);
        assert_eq!(found(&["driver=EC2"]), ["lab-1", "lab-2"]);
        assert_eq!(found(&["driver=ec2", "State=running"]), ["lab-2"]);
        assert_eq!(found(&["name=^lab", "name=dev$"]), ["dev", "lab-1", "lab-2"]);
        assert_eq!(found(&["label=a=1", "label=a=2", "driver=qemu"]), ["dev"]);
        assert!(found(&["swarm=x"]).is_empty());
    }

    #[test]
    fn other_words_are_refused_in_docker_machines_words() {
        for (word, why) in [
            ("running", "Unsupported filter syntax"),
            ("size=1", "Unsupported filter key 'size'"),
            ("name=(", "is no regular expression"),
        ] {
            let error = Filter::parse(&[word.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(why) && error.code() == Code::Usage, "{error}");
        }
    }
}
