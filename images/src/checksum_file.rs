//! The vendors' checksum files (`SHA256SUMS`, `SHA512SUMS`), in the form of coreutils' `sha256sum`.

use machine_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The kind of digests in a checksum file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
    /// SHA-512: 128 hexadecimal digits.
    Sha512,
}

impl Checksum {
    /// The name in front of a digest: `sha256` or `sha512`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Finds the digest of `file_name`, in lower case. Pure.
///
/// Every line has to be `DIGEST  NAME` or `DIGEST *NAME`, so that a web page or a file of another kind is noticed.
///
/// # Errors
/// Text of another form; no digest of the file, or different ones.
pub(crate) fn find_digest(text: &str, kind: Checksum, file_name: &str) -> Result<String> {
    let mut found: Option<String> = None;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let Some((digest, name)) = entry(line, kind) else {
            return Err(Error::other(format!(
                "line {} of the checksum file is not a {} line",
                number + 1,
                kind.as_str()
            )));
        };
        if name != file_name {
            continue;
        }
        let digest = digest.to_ascii_lowercase();
        if found.as_ref().is_some_and(|other| *other != digest) {
            return Err(Error::other(format!("the checksum file has different digests of {file_name}")));
        }
        found = Some(digest);
    }
    found.ok_or_else(|| Error::other(format!("the checksum file has no digest of {file_name}")))
}

fn entry(line: &str, kind: Checksum) -> Option<(&str, &str)> {
    let (digest, rest) = line.split_at_checked(kind.digits())?;
    let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    (digest.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.is_empty()).then_some((digest, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_of_line_are_read_and_names_are_exact() {
        let (a, b) = ("A".repeat(64), "b".repeat(64));
        let text = format!("{b}  disk.img.manifest\n{a} *disk.img\n\n{a}  disk.img\n");
        assert_eq!(find_digest(&text, Checksum::Sha256, "disk.img").unwrap(), "a".repeat(64));
        assert!(find_digest(&text, Checksum::Sha256, "disk").unwrap_err().to_string().contains("no digest of disk"));
        assert!(find_digest(&text, Checksum::Sha512, "disk.img").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn contradictions_and_other_text_are_refused() {
        let text = format!("{}  x\n{}  x\n", "a".repeat(64), "b".repeat(64));
        assert!(find_digest(&text, Checksum::Sha256, "x").unwrap_err().to_string().contains("different digests"));
        for text in ["<html>", &format!("{} x", "a".repeat(64)), &format!("{}  ", "a".repeat(64)), &"é".repeat(40)] {
            assert!(find_digest(text, Checksum::Sha256, "x").unwrap_err().to_string().contains("line 1"), "{text}");
        }
        assert!(find_digest("", Checksum::Sha256, "x").is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_text_a_digest_found_is_one_that_stands_in_it(text in "([0-9a-fA-F]{64}[ *]{0,2}\\PC{0,9}\n?|\\PC*\n){0,6}") {
            if let Ok(digest) = find_digest(&text, Checksum::Sha256, "x") {
                prop_assert!(digest.len() == 64 && text.to_ascii_lowercase().contains(&digest));
            }
        }

        #[test]
        fn the_digest_of_a_listed_file_is_found(digests in proptest::collection::vec("[0-9a-f]{128}", 1..8), pick: prop::sample::Index) {
            let text: String = digests.iter().enumerate().map(|(i, digest)| format!("{digest}  file-{i}\n")).collect();
            let i = pick.index(digests.len());
            prop_assert_eq!(find_digest(&text, Checksum::Sha512, &format!("file-{i}")).unwrap(), digests[i].clone());
        }
    }
}
