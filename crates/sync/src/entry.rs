//! What is at a place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::place::Place;

/// Permissions that are copied: who may read, write and execute.
pub(crate) const PERMISSIONS: u32 = 0o777;

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A folder.
    Folder {
        /// Its permissions, where its side has any (Windows has none).
        mode: Option<u32>,
    },
    /// A regular file.
    File {
        /// Its permissions, where its side has any.
        mode: Option<u32>,
        /// Its length, bytes.
        size: u64,
        /// When it was last written to.
        modified: Time,
    },
    /// A symbolic link, and what it says.
    Link {
        /// As the machine writes paths.
        #[serde(with = "text")]
        target: Vec<u8>,
    },
}

/// All that is in a folder.
pub(crate) type Tree = BTreeMap<Place, Entry>;

/// A time since 1970, possibly before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Time {
    /// Whole seconds, rounded down.
    pub(crate) seconds: i64,
    /// The rest, nanoseconds.
    pub(crate) nanoseconds: u32,
}

impl Time {
    /// Whether two sides mean the same: a file system may keep less of a time than another (NTFS: 100 ns; some: whole seconds).
    fn is(self, other: Self) -> bool {
        let near = self.nanoseconds / 1000 == other.nanoseconds / 1000;
        self.seconds == other.seconds && (near || self.nanoseconds == 0 || other.nanoseconds == 0)
    }
}

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }

    /// Its length if it is a file, bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            _ => 0,
        }
    }

    pub(crate) fn mode(&self) -> Option<u32> {
        match self {
            Self::Folder { mode } | Self::File { mode, .. } => *mode,
            Self::Link { .. } => None,
        }
    }

    /// Whether nothing needs to be copied to make one the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let modes = match (self.mode(), other.mode()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        match (self, other) {
            (Self::Folder { .. }, Self::Folder { .. }) => modes,
            (Self::File { size: a, modified: x, .. }, Self::File { size: b, modified: y, .. }) => {
                modes && a == b && x.is(*y)
            }
            (Self::Link { target: one }, Self::Link { target: other }) => one == other,
            _ => false,
        }
    }

    /// Whether one can only take the place of the other when that has been removed.
    pub(crate) fn is_of_another_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) != std::mem::discriminant(other)
    }
}

/// Whether both sides have the same there, or nothing.
pub(crate) fn same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is_same(other),
        _ => false,
    }
}

/// The target of a link in JSON: bytes that are mostly text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(bytes) {
            Ok(text) => text.serialize(serializer),
            Err(_) => bytes.serialize(serializer),
        }
    }

    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => text.into_bytes(),
            Either::Bytes(bytes) => bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: Option<u32>, size: u64, seconds: i64, nanoseconds: u32) -> Entry {
        Entry::File { mode, size, modified: Time { seconds, nanoseconds } }
    }

    #[test]
    fn files_differ_by_size_time_or_permissions_as_far_as_both_sides_have_them() {
        let one = file(Some(0o644), 3, 9, 123_456_789);
        assert!(one.is_same(&file(Some(0o644), 3, 9, 123_456_700)), "NTFS keeps 100 ns");
        assert!(one.is_same(&file(None, 3, 9, 0)), "no permissions, whole seconds");
        for other in [
            file(Some(0o755), 3, 9, 123_456_789),
            file(Some(0o644), 4, 9, 123_456_789),
            file(Some(0o644), 3, 8, 123_456_789),
            file(Some(0o644), 3, 9, 123_000_000),
            Entry::Folder { mode: Some(0o644) },
        ] {
            assert!(!one.is_same(&other) && !other.is_same(&one), "{other:?}");
        }
    }

    #[test]
    fn an_entry_is_kept_in_json_whatever_its_bytes() {
        for target in [b"../a".to_vec(), b"\xff\x00".to_vec()] {
            let link = Entry::Link { target };
            let text = serde_json::to_string(&link).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), link);
        }
    }
}
