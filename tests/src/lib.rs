//! What the tests of the real program stand on: a scene of its own for each test, the program run in it with a time limit,
//! images, and a look at what is left behind.
//!
//! The program is the one beside the test's own binary (`cargo build` makes it), or `MACHINE_TEST_BINARY`.
//! Linux only, by way of `/proc`: the other systems have the tests of each crate.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a harness of tests: whatever fails here fails the test")]

mod busybox;
mod cloud;
#[path = "bin/fake-qemu/containers.rs"]
mod containers;
#[path = "bin/fake-qemu/engine.rs"]
#[expect(dead_code, reason = "the played QEMU makes its engine from a seed disk")]
mod engine;
mod host;
mod image;
mod mount;
mod process;
mod program;
mod record;
mod registry;
mod run;
mod scene;
mod service;
mod terminal;
mod wait;
mod webdriver;
mod window;

pub use busybox::busybox;
pub use cloud::PlayedCloud;
pub use host::{PlayedHost, login_name};
pub use image::{bare_images, fake_images, real_images};
pub use mount::Mount;
pub use process::{Process, listeners, process};
pub use program::{find_program, kept, machine_program, nushell};
pub use record::Record;
pub use registry::Registry;
pub use run::{Invocation, Run, Running};
pub use scene::Scene;
pub use service::{page, service_image};
pub use terminal::Terminal;
pub use wait::until;
pub use window::Window;
