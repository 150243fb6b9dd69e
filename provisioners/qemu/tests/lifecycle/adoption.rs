//! Supervisors that die, and what they leave behind.

use std::process::{Command, Stdio};

use machine_core::MachineState;
use machine_qemu::{ProcessIdentity, RunFile};

use crate::fake_qemu::{Behaviour, attempts};
use crate::house::{House, PATIENCE, until};

async fn orphaned(behaviour: &Behaviour) -> (House, ProcessIdentity) {
    let house = House::with_machine(behaviour).await;
    house.start().await.unwrap();
    let run = house.run_file();
    let supervisor = run.supervisor.unwrap();
    supervisor.kill().unwrap();
    until("the supervisor dead", async || !supervisor.is_alive()).await;
    (house, run.qemu)
}

#[tokio::test]
async fn a_machine_whose_supervisor_was_killed_runs_on_and_is_adopted() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    let endpoints = house.endpoints().unwrap();
    let seen = house.observe().await;
    assert_eq!((seen.state, seen.endpoints), (MachineState::Running, Some(endpoints)));
    assert!(seen.warnings.iter().any(|text| text.contains("supervisor is gone")), "{:?}", seen.warnings);

    // The system takes a lock from a killed process a moment after it has taken its memory.
    until("a new supervisor called for", async || house.adopt_if_orphaned()).await;
    until("adopted", async || !house.observe().await.warnings.iter().any(|text| text.contains("supervisor"))).await;
    assert_eq!(house.start().await.unwrap(), endpoints);
    assert!(!house.adopt_if_orphaned(), "it is looked after");
    assert!(qemu.is_alive());
    assert_eq!(house.run_file().qemu, qemu);
    let tries = attempts(&house.dir()).len();

    assert!(!house.stop(PATIENCE).await.unwrap());
    assert!(!qemu.is_alive());
    assert_eq!(attempts(&house.dir()).len(), tries);
    assert_eq!(house.observe().await.state, MachineState::Stopped);
}

#[tokio::test]
async fn a_stop_without_a_supervisor_is_graceful_all_the_same() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    assert!(!house.stop(PATIENCE).await.unwrap());
    assert!(!qemu.is_alive());
    assert_eq!(house.observe().await.state, MachineState::Stopped);
}

#[tokio::test]
async fn a_kill_without_a_supervisor_ends_the_machine() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    house.kill().await.unwrap();
    assert!(!qemu.is_alive());
    assert_eq!(house.observe().await.state, MachineState::Stopped);
    assert_eq!(std::fs::read_dir(house.runtime()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_crash_before_the_note_is_written_leaves_a_qemu_that_is_found_by_its_token() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    RunFile::remove(&house.dir()).unwrap();
    assert_eq!(house.observe().await.state, MachineState::Running);
    house.start().await.unwrap();
    assert_eq!(house.run_file().qemu, qemu);
    house.kill().await.unwrap();
    assert!(house.processes().is_empty());
}

#[tokio::test]
async fn when_both_have_died_the_machine_is_off_with_a_warning_and_starts_again() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    qemu.kill().unwrap();
    until("QEMU dead", async || !qemu.is_alive()).await;
    let seen = house.observe().await;
    assert_eq!((seen.state, seen.endpoints, house.endpoints()), (MachineState::Stopped, None, None));
    assert!(seen.warnings[0].contains("without a shutdown"), "{:?}", seen.warnings);
    house.start().await.unwrap();
    assert_eq!(house.observe().await.state, MachineState::Running);
}

#[tokio::test]
async fn a_stranger_that_got_the_pid_of_a_dead_qemu_is_neither_seen_nor_killed() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    qemu.kill().unwrap();
    until("QEMU dead", async || !qemu.is_alive()).await;
    let mut stranger =
        Command::new("/bin/sh").args(["-c", "read line", "stranger"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut run = house.run_file();
    run.qemu.pid = stranger.id();
    run.supervisor.as_mut().unwrap().pid = stranger.id();
    run.write(&house.dir()).unwrap();

    assert_eq!((house.observe().await.state, house.endpoints()), (MachineState::Stopped, None));
    assert!(!house.adopt_if_orphaned());
    assert!(!house.stop(PATIENCE).await.unwrap());
    house.kill().await.unwrap();
    house.remove().await.unwrap();
    assert_eq!(stranger.try_wait().unwrap(), None, "it lives");
    house.start().await.unwrap();
    assert_eq!(stranger.try_wait().unwrap(), None, "it lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn what_a_lost_record_leaves_running_is_still_removed() {
    let (house, qemu) = orphaned(&Behaviour::default()).await;
    let dir = house.dir();
    let record = machine_core::MachineRecord { driver_state: serde_json::Value::Null, ..house.record() };
    let work = machine_core::Work {
        machine: machine_core::MachineRef { record: &record, dir: &dir },
        checkpoint: &house,
        reporter: &machine_core::Reporter::silent(),
    };
    machine_core::Driver::remove(house.driver(), work).await.unwrap();
    assert!(!qemu.is_alive());
    assert_eq!(std::fs::read_dir(house.runtime()).unwrap().count(), 0);
}
