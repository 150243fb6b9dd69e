//! The source of a distribution's backports, derived from the source that apt is configured with for its main suite.

/// One source of binary packages, in either of apt's two forms (`man 5 sources.list`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// Everything else (`Signed-By`, `Architectures`, `Trusted`, ...), ready for a `.sources` file.
    fields: Vec<String>,
}

/// What there is to do so that apt knows the suite `codename-backports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backports {
    /// It knows it already.
    Known,
    /// This text in a file of its own, named `.sources`, makes it known.
    Add(String),
    /// apt has no source of the main suite from which it could be derived.
    Unknown,
}

/// Derives the source of backports from apt's files, given as `(file name, content)`.
pub fn derive(files: &[(String, String)], codename: &str) -> Backports {
    let suite = format!("{codename}-backports");
    let sources: Vec<_> = files
        .iter()
        .flat_map(|(name, text)| if name.ends_with(".sources") { deb822_sources(text) } else { line_sources(text) })
        .collect();
    if sources.iter().any(|source| source.suites.contains(&suite)) {
        return Backports::Known;
    }
    let of_main = |source: &&Source| {
        source.suites.iter().any(|suite| suite == codename) && source.components.iter().any(|name| name == "main")
    };
    match sources.iter().find(of_main) {
        Some(source) => {
            let head = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", source.uris.join(" "));
            Backports::Add(source.fields.iter().fold(head, |text, field| text + field + "\n"))
        }
        None => Backports::Unknown,
    }
}

/// Reads the one-line form: `deb [option=value ...] uri suite component ...`.
fn line_sources(text: &str) -> Vec<Source> {
    text.lines().filter_map(line_source).collect()
}

fn line_source(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        fields: options.split_whitespace().filter_map(field_of_option).collect(),
    })
}

/// The field of a `.sources` file that means the same as an option of the one-line form.
fn field_of_option(option: &str) -> Option<String> {
    let (name, value) = option.split_once('=')?;
    let field = match name.to_ascii_lowercase().as_str() {
        "signed-by" => "Signed-By",
        "arch" => "Architectures",
        "trusted" => "Trusted",
        "check-valid-until" => "Check-Valid-Until",
        _ => return None,
    };
    Some(format!("{field}: {}", value.replace(',', " ")))
}

/// Reads the stanzas of a `.sources` file.
fn deb822_sources(text: &str) -> Vec<Source> {
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{}\n", line.trim_end())).collect();
    text.split("\n\n").filter_map(deb822_source).collect()
}

fn deb822_source(stanza: &str) -> Option<Source> {
    let mut source = Source::default();
    let mut is_binary = false;
    for (name, value) in deb822_fields(stanza) {
        let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match name.to_ascii_lowercase().as_str() {
            "types" => is_binary = words().iter().any(|kind| kind == "deb"),
            "uris" => source.uris = words(),
            "suites" => source.suites = words(),
            "components" => source.components = words(),
            "enabled" if value.trim().eq_ignore_ascii_case("no") => return None,
            "enabled" => {}
            // A key may stand in the field itself, over many lines: kept as it is.
            _ => source.fields.push(format!("{name}:{value}")),
        }
    }
    (is_binary && !source.uris.is_empty()).then_some(source)
}

/// The fields of a stanza; a value keeps its continuation lines and the space before it.
fn deb822_fields(stanza: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in stanza.lines().filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str, text: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), text.to_owned())]
    }

    fn added(name: &str, text: &str) -> String {
        match derive(&files(name, text), "bookworm") {
            Backports::Add(text) => text,
            other => panic!("{other:?}"),
        }
    }

    const SOURCES: &str = "\
Types: deb
# where snapshots lie
URIs: http://packages.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/example.gpg

Types: deb
URIs: http://packages.example/debian-security
Suites: bookworm-security
Components: main
";

    #[test]
    fn a_sources_file_gives_its_address_and_key_with_the_suite_replaced() {
        assert_eq!(
            added("debian.sources", SOURCES),
            "Types: deb\nURIs: http://packages.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Signed-By: /usr/share/keyrings/example.gpg\n"
        );
    }

    #[test]
    fn a_line_gives_its_address_and_options_with_the_suite_replaced() {
        let text = "# deb http://old.example bookworm main\n\
                    deb-src http://source.example bookworm main\n\
                    deb [signed-by=/k.gpg arch=amd64,i386] https://packages.example/debian bookworm main contrib # ours\n";
        assert_eq!(
            added("sources.list", text),
            "Types: deb\nURIs: https://packages.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Signed-By: /k.gpg\nArchitectures: amd64 i386\n"
        );
    }

    #[test]
    fn a_key_inside_the_field_keeps_its_lines() {
        let text = "Types: deb deb-src\nURIs: http://a.example\nSuites: bookworm\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n";
        assert!(added("a.sources", text).ends_with(
            "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n"
        ));
    }

    #[test]
    fn backports_that_are_configured_already_are_not_added_again() {
        let line = "deb http://packages.example/debian bookworm-backports main\n";
        assert_eq!(derive(&files("sources.list", line), "bookworm"), Backports::Known);
        let stanza = SOURCES.replace("bookworm-updates", "bookworm-backports");
        assert_eq!(derive(&files("debian.sources", &stanza), "bookworm"), Backports::Known);
    }

    #[test]
    fn sources_that_are_off_or_of_another_suite_are_no_basis() {
        let off = SOURCES.replace("Types: deb", "Enabled: no\nTypes: deb");
        assert_eq!(derive(&files("debian.sources", &off), "bookworm"), Backports::Unknown);
        assert_eq!(derive(&files("debian.sources", SOURCES), "trixie"), Backports::Unknown);
        assert_eq!(
            derive(&files("sources.list", "deb http://a.example bookworm contrib"), "bookworm"),
            Backports::Unknown
        );
    }
}
