//! The roster: a CSV file of names and e-mail addresses, as spreadsheets write it (RFC 4180; a BOM, semicolons and tabs too).

use std::path::Path;

use machine_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use super::record::MOST;
use crate::files;

/// The most that a roster may have, bytes.
const LARGEST: u64 = 1 << 20;
/// The most that a field may have, characters.
const LONGEST: usize = 200;

/// Somebody on a roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// As it is shown.
    pub name: String,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Reads a roster from its file.
pub(crate) fn read(path: &Path) -> Result<Vec<Person>> {
    let at = |error: std::io::Error| files::explain(error, "cannot read", path);
    let size = std::fs::metadata(path).map_err(at)?.len();
    if size > LARGEST {
        return Err(wrong(format!("{} has {size} bytes, a roster has {LARGEST} at most", path.display())));
    }
    parse(&std::fs::read(path).map_err(at)?).map_err(|error| error.within(path.display().to_string()))
}

fn wrong(text: impl Into<String>) -> Error {
    Error::new(Code::Usage, text).hint("one person a line: NAME,E-MAIL (the e-mail address may be left out)")
}

/// Reads a roster.
///
/// # Errors
/// [`Code::Usage`] with the line and what is wrong there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Person>> {
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(|error| {
        wrong("the roster is not UTF-8").because(error).hint("in Excel: Save as, \"CSV UTF-8 (Comma delimited)\"")
    })?;
    let rows = rows(text, separator(text))?;
    let mut columns = (0, 1);
    let mut people = Vec::new();
    for (line, fields) in rows {
        let fields: Vec<String> = fields.iter().map(|field| field.trim().to_owned()).collect();
        if fields.iter().all(String::is_empty) {
            continue;
        }
        if let Some(found) = header(&fields).filter(|_| people.is_empty()) {
            columns = found;
            continue;
        }
        let at = |why: &str| wrong(format!("line {line} of the roster {why}"));
        let field = |column: usize| fields.get(column).cloned().unwrap_or_default();
        let (name, email) = (field(columns.0), field(columns.1));
        if [&name, &email].iter().any(|field| field.chars().any(char::is_control)) {
            return Err(at("has a control character or a line end in a field"));
        }
        if name.chars().count() > LONGEST || email.chars().count() > LONGEST {
            return Err(at(&format!("has a field of more than {LONGEST} characters")));
        }
        if !email.is_empty() && !is_email(&email) {
            return Err(at(&format!("has {email:?} where an e-mail address should be")));
        }
        if name.is_empty() && email.is_empty() {
            return Err(at("has neither a name nor an e-mail address"));
        }
        let name = if name.is_empty() { email.clone() } else { name };
        people.push(Person { name, email: Some(email).filter(|email| !email.is_empty()) });
        if people.len() > MOST {
            return Err(wrong(format!("the roster has more than {MOST} people, which is the most for one workshop")));
        }
    }
    match people.is_empty() {
        true => Err(wrong("the roster has nobody on it")),
        false => Ok(people),
    }
}

/// The columns of name and e-mail, where a row names its columns.
fn header(fields: &[String]) -> Option<(usize, usize)> {
    let is = |field: &String, words: &[&str]| words.contains(&field.to_lowercase().as_str());
    let name = fields.iter().position(|field| is(field, &["name", "full name", "participant", "attendee"]));
    let email =
        fields.iter().position(|field| is(field, &["email", "e-mail", "mail", "email address", "e-mail address"]));
    // A column that there is not is one behind the last.
    (name.is_some() || email.is_some()).then(|| (name.unwrap_or(fields.len()), email.unwrap_or(fields.len())))
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(' '))
}

/// What separates fields: a comma, or what spreadsheets of other countries write in its place, whichever the first line has
/// outside of quotes.
fn separator(text: &str) -> char {
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' | ';' | '\t' if !quoted => return c,
            '\n' if !quoted => break,
            _ => {}
        }
    }
    ','
}

/// The rows, each with the number of its line.
fn rows(text: &str, separator: char) -> Result<Vec<(usize, Vec<String>)>> {
    let mut rows = Vec::new();
    let (mut line, mut begun) = (1, 1);
    let (mut row, mut field) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if field.is_empty() => loop {
                match chars.next() {
                    Some('"') if chars.peek() == Some(&'"') => field.extend(chars.next()),
                    Some('"') => break,
                    Some(c) => {
                        line += usize::from(c == '\n');
                        field.push(c);
                    }
                    None => return Err(wrong(format!("a quotation mark of line {begun} of the roster is not closed"))),
                }
            },
            '\r' if chars.peek() == Some(&'\n') => {}
            // Old spreadsheets on the Mac end lines so.
            '\n' | '\r' => {
                row.push(std::mem::take(&mut field));
                rows.push((begun, std::mem::take(&mut row)));
                line += 1;
                begun = line;
            }
            c if c == separator => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    row.push(field);
    rows.push((begun, row));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people(text: &str) -> Vec<(String, String)> {
        let all = parse(text.as_bytes()).unwrap();
        all.into_iter().map(|person| (person.name, person.email.unwrap_or_default())).collect()
    }

    fn pair(name: &str, email: &str) -> (String, String) {
        (name.to_owned(), email.to_owned())
    }

    #[test]
    fn rosters_are_read_as_spreadsheets_write_them() {
        let ann = [pair("Ann Lee", "ann@example.org"), pair("Bo", "")];
        for text in [
            "Ann Lee,ann@example.org\nBo\n",
            "Name,E-Mail\r\nAnn Lee,ann@example.org\r\n\r\nBo,\r\n",
            "\u{feff}name;email\r\n\"Ann Lee\";ann@example.org\r\nBo;\r\n",
            "E-Mail\tGroup\tName\nann@example.org\t1\tAnn Lee\n\t2\tBo",
            " Ann Lee , ann@example.org \rBo\r",
        ] {
            assert_eq!(people(text), ann, "{text:?}");
        }
        assert_eq!(people("\"Lee, \"\"Ann\"\"\",a@b\n"), [pair("Lee, \"Ann\"", "a@b")]);
        assert_eq!(people("email\na@b\n"), [pair("a@b", "a@b")]);
    }

    #[test]
    fn what_is_no_roster_is_refused_with_its_line() {
        let many: String = (0..=MOST).map(|number| format!("p{number}\n")).collect();
        for (text, told) in [
            ("", "nobody on it"),
            ("name,email\n", "nobody on it"),
            ("Ann,ann@x\nBo,bo\n", "line 2 of the roster has \"bo\" where an e-mail"),
            ("Ann,a@b@c", "e-mail"),
            ("\"Ann,a@b\n", "line 1 of the roster is not closed"),
            ("\"Ann\nLee\",a@b\n", "control character or a line end"),
            (&format!("{},a@b", "x".repeat(201)), "more than 200"),
            (&many, "more than 200 people"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(told), "{text:.40?}: {error}");
            assert_eq!(error.code(), Code::Usage);
        }
        let error = parse(b"J\xfcrgen,j@x\n").unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("CSV UTF-8")), "{error:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_roster_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_was_written_with_quotes_is_read_back(names in proptest::collection::vec("[^\\p{C}]{1,30}", 1..20), at in 0_usize..3) {
            let separator = [",", ";", "\t"][at];
            let names: Vec<String> = names.iter().map(|name| format!("x{}y", name.trim())).collect();
            let text: String = names.iter().enumerate().map(|(number, name)| format!("\"{}\"{separator}p{number}@example.org\r\n", name.replace('"', "\"\""))).collect();
            let read: Vec<String> = parse(text.as_bytes()).unwrap().into_iter().map(|person| person.name).collect();
            prop_assert_eq!(read, names);
        }
    }
}
