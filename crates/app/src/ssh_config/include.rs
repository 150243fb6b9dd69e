//! The line in the user's own configuration of OpenSSH that leads to ours.

/// Stands above the line, so that whoever finds it knows where it comes from.
const MARK: &str = "# The hosts of `machine`; `machine ssh-config --uninstall` takes these two lines away.";

/// The configuration with one line for `file` (as ssh_config(5) writes a path), at the top: further down it would belong to a `Host` block.
pub(super) fn with(config: &str, file: &str) -> String {
    let ending = if config.contains("\r\n") { "\r\n" } else { "\n" };
    let rest = without(config, file);
    format!("{MARK}{ending}{}{ending}{rest}", line(file))
}

/// The configuration without it, and otherwise as it was.
pub(super) fn without(config: &str, file: &str) -> String {
    let line = line(file);
    let lines: Vec<&str> = config.split_inclusive('\n').collect();
    let is = |at: usize, wanted: &str| lines.get(at).is_some_and(|found| found.trim() == wanted);
    let ours = |at: usize| is(at, &line) || (is(at, MARK) && is(at + 1, &line));
    lines.iter().enumerate().filter(|(at, _)| !ours(*at)).map(|(_, found)| *found).collect()
}

fn line(file: &str) -> String {
    format!("Include {file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\"/s/ssh_config\"";

    #[test]
    fn what_is_there_stays_and_a_second_time_changes_nothing() {
        for before in ["", "Host a\n  User b\n", "Host a\r\n  User b\r\n", "no newline at the end", "# a comment\n\n"] {
            let once = with(before, FILE);
            assert!(once.lines().nth(1) == Some("Include \"/s/ssh_config\""), "{once}");
            assert_eq!(with(&once, FILE), once);
            assert_eq!(without(&once, FILE), before);
        }
    }

    #[test]
    fn lines_of_another_store_stay() {
        let other = with("", "\"/other/ssh_config\"");
        let both = with(&other, FILE);
        assert_eq!(both.matches("Include ").count(), 2);
        assert_eq!(without(&both, FILE), other);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_configuration_is_the_line_comes_and_goes_without_a_trace(config in "[ -~\r\n]{0,80}") {
            proptest::prop_assert_eq!(without(&with(&config, FILE), FILE), config);
        }
    }
}
