//! Buffers for pieces on their way: a connection at rest has none.

use std::sync::{Mutex, PoisonError};

/// What is carried at once, bytes: the largest datagram fits.
const SIZE: usize = 64 << 10;
/// How many are kept for the next pieces.
const SPARE: usize = 16;

static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer. Dropping it leaves it to the next one who needs one.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

impl Buffer {
    pub(crate) fn take() -> Self {
        let spare = SPARES.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(spare.unwrap_or_else(|| vec![0; SIZE]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARE {
            spares.push(std::mem::take(&mut self.0));
        }
    }
}
