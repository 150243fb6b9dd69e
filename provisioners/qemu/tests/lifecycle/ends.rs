//! The ways in which a machine ends.

use std::time::{Duration, Instant};

use machine_core::MachineState;
use machine_qemu::LastExit;

use crate::fake_qemu::Behaviour;
use crate::house::{House, PATIENCE, until};

async fn running(behaviour: &Behaviour) -> House {
    let house = House::with_machine(behaviour).await;
    house.start().await.unwrap();
    house
}

#[tokio::test]
async fn a_guest_that_hears_the_second_press_of_its_power_button_needs_no_force() {
    let house = running(&Behaviour { hears_second_press: true, ..Behaviour::default() }).await;
    assert!(!house.stop(Duration::from_secs(2)).await.unwrap());
    assert_eq!(house.observe().await.state, MachineState::Stopped);
}

#[tokio::test]
async fn a_guest_that_does_not_hear_is_ended_by_force_after_the_deadline_and_that_is_said() {
    let house = running(&Behaviour { ignores_power_button: true, ..Behaviour::default() }).await;
    let began = Instant::now();
    assert!(house.stop(Duration::from_secs(1)).await.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(house.observe().await.state, MachineState::Stopped);
    let said = house.said.lock().unwrap().clone();
    assert!(said.iter().any(|line| line.contains("did not shut down in time")), "{said:?}");
}

#[tokio::test]
async fn a_qemu_that_does_not_obey_is_killed() {
    let house = running(&Behaviour { ignores_power_button: true, ignores_quit: true, ..Behaviour::default() }).await;
    assert!(house.stop(Duration::from_millis(100)).await.unwrap());
    assert_eq!((house.processes(), house.observe().await.state), (vec![], MachineState::Stopped));
}

#[tokio::test]
async fn kill_ends_at_once_also_during_a_stop() {
    let house = running(&Behaviour { ignores_power_button: true, ..Behaviour::default() }).await;
    let began = Instant::now();
    let kill = async {
        until("stopping", async || house.observe().await.state == MachineState::Stopping).await;
        house.kill().await
    };
    let (stopped, killed) = tokio::join!(house.stop(Duration::from_secs(600)), kill);
    killed.unwrap();
    assert!(stopped.unwrap());
    assert!(began.elapsed() < PATIENCE);
    assert_eq!((house.processes(), house.observe().await.state), (vec![], MachineState::Stopped));
    house.kill().await.unwrap();
}

#[tokio::test]
async fn a_qemu_that_is_killed_behind_our_back_leaves_the_reason_and_starts_again() {
    let house = running(&Behaviour::default()).await;
    house.run_file().qemu.kill().unwrap();
    until("the end noticed", async || LastExit::read(&house.dir()).is_some() && house.endpoints().is_none()).await;
    until("the supervisor gone", async || {
        !matches!(house.observe().await.state, MachineState::Starting | MachineState::Running)
    })
    .await;
    let MachineState::Broken(reason) = house.observe().await.state else { panic!("{:?}", house.observe().await) };
    assert!(reason.contains("signal: 9") && reason.contains("Linux version 6.12"), "{reason}");
    house.start().await.unwrap();
    assert_eq!(house.observe().await.state, MachineState::Running);
}

#[tokio::test]
async fn a_guest_that_powers_off_by_itself_is_stopped_and_one_that_panics_says_so() {
    let house = running(&Behaviour { powers_off_after_ms: Some(100), ..Behaviour::default() }).await;
    until("the guest off", async || house.observe().await.state == MachineState::Stopped).await;
    assert!(LastExit::read(&house.dir()).unwrap().clean);

    let house = House::with_machine(&Behaviour { panics: true, ..Behaviour::default() }).await;
    let error = house.start().await.unwrap_err();
    assert!(error.to_string().contains("Kernel panic - not syncing: no working init found"), "{error:?}");
}

#[tokio::test]
async fn a_supervisor_told_to_terminate_shuts_the_guest_down_and_one_whose_terminal_closes_does_not() {
    let house = running(&Behaviour::default()).await;
    let supervisor = house.run_file().supervisor.unwrap();
    let pid = rustix::process::Pid::from_raw(supervisor.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(house.observe().await.state, MachineState::Running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("the machine off", async || house.observe().await.state == MachineState::Stopped).await;
    assert!(LastExit::read(&house.dir()).unwrap().clean);
    assert!(house.processes().is_empty());
}

#[tokio::test]
async fn removing_leaves_no_process_and_no_socket_whatever_the_machine_is_doing() {
    let house = running(&Behaviour { ignores_power_button: true, ..Behaviour::default() }).await;
    house.remove().await.unwrap();
    assert!(house.processes().is_empty());
    assert_eq!(std::fs::read_dir(house.runtime()).unwrap().count(), 0);
    house.remove().await.unwrap();

    let untouched = House::empty(&Behaviour::default(), serde_json::Value::Null);
    untouched.remove().await.unwrap();
}
