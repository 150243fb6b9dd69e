//! The engine API against a real TLS server with a scripted engine behind it, and contexts against the real `docker`.
#![expect(clippy::unwrap_used, reason = "the exception for tests does not reach what tests share")]

mod authority;
mod contexts;
mod engine;
mod scripted_engine;
mod terminals;
