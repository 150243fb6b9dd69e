//! Machines from create to rm, with a scripted QEMU: real processes, sockets, signals and files.
//!
//! The test binary is started again as each supervisor and as each fake QEMU (the two ignored tests below), so that they
//! are processes that can be killed.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::exit,
    reason = "tests, and processes that play a part in them"
)]

mod accelerators;
mod adoption;
mod disks;
mod ends;
mod fake_qemu;
mod folders;
mod house;
mod ports;
mod starts;

#[test]
#[ignore = "the process of a supervisor, started by the other tests"]
fn the_supervisor() {
    house::supervise();
}

#[test]
#[ignore = "the process of a fake QEMU, started by supervisors"]
fn the_fake_qemu() {
    fake_qemu::run();
}
