//! What a person should know of a share: things that the machine wanted and this computer cannot give.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// So many are kept; what comes after them is told by nobody.
const MOST: usize = 20;

/// Characters of one: the machine chooses names, and all of them go into one answer.
const LONGEST: usize = 300;

/// Texts, each once.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeSet<String>>);

impl Troubles {
    pub(super) fn note(&self, text: &str) {
        let text: String = text.chars().take(LONGEST).collect();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < MOST && !texts.contains(&text) {
            tracing::warn!("{text}");
            texts.insert(text);
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
