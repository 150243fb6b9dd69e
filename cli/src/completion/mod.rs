//! Completions: a short script per shell, which asks this program what fits.

mod answer;
mod line;
mod scripts;
mod values;

pub use answer::answer;
pub use scripts::script;
