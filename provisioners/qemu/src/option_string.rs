//! QEMU's option syntax: `key=value,key=value`, in which a comma within a value is written twice.
//!
//! Source: `get_opt_value` in QEMU's `util/keyval.c` and `util/qemu-option.c`. Nothing but the comma is special: quotes,
//! backslashes, spaces and `=` stand for themselves within a value.

use std::path::Path;

use machine_core::{Code, Error, Result};

/// `value` as it is written within an option string.
pub fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// The path as text: QEMU's arguments and its JSON are UTF-8 on every host.
///
/// # Errors
/// When the path is not Unicode.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::new(Code::PreCreate, format!("the path {} is not Unicode", path.display()))
            .hint("QEMU cannot be given such a path: use a store folder with another name")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// QEMU's own reading of an option string (`util/keyval.c`), written here from its description.
    fn parsed(options: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut rest = options.chars().peekable();
        while rest.peek().is_some() {
            let key: String = rest.by_ref().take_while(|c| *c != '=').collect();
            let mut value = String::new();
            while let Some(c) = rest.next() {
                if c == ',' && rest.next_if_eq(&',').is_none() {
                    break;
                }
                value.push(c);
            }
            pairs.push((key, value));
        }
        pairs
    }

    proptest! {
        #[test]
        fn any_value_comes_out_of_qemus_reading_as_it_went_in(first in "\\PC{0,40}", second in "[,=\"\\\\ a]{0,12}") {
            let line = format!("path={},append=on,id={},last=1", escaped(&first), escaped(&second));
            let expected = [("path", first.as_str()), ("append", "on"), ("id", second.as_str()), ("last", "1")];
            let read = parsed(&line);
            let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn only_commas_change() {
        assert_eq!(escaped(r#"C:\Ünal, "J"\x=1"#), r#"C:\Ünal,, "J"\x=1"#);
    }
}
