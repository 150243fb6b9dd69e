//! Passwords that are read from paper and typed once.

/// 32 characters that nobody takes for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new password of 14 characters, 70 bits, from the operating system's random source.
pub(super) fn generate() -> String {
    let mut text = String::new();
    // Two bytes of a UUID of version 4 have fixed bits (RFC 9562).
    let random = uuid::Uuid::new_v4().into_bytes().into_iter().enumerate().filter(|(at, _)| *at != 6 && *at != 8);
    for (count, (_, byte)) in random.enumerate() {
        if count == 5 || count == 10 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte & 31)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_have_nothing_to_mistake() {
        let all: std::collections::BTreeSet<String> = (0..1000).map(|_| generate()).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|one| one.len() == 16 && !one.contains(['l', 'o', '0', '1', ':', ' '])));
        let used: std::collections::BTreeSet<char> = all.iter().flat_map(|one| one.chars()).collect();
        assert_eq!(used.len(), 33, "every letter is used, and the hyphen");
    }
}
