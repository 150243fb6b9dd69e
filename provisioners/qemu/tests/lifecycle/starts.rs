//! Starting, and what can go wrong with it.

use std::time::Duration;

use machine_core::MachineState;

use crate::fake_qemu::{Behaviour, attempts};
use crate::house::{House, PATIENCE, until};

#[tokio::test]
async fn a_machine_starts_is_seen_running_and_stops() {
    let house = House::with_machine(&Behaviour::default()).await;
    assert_eq!(house.observe().await.state, MachineState::Stopped);
    assert_eq!(house.endpoints(), None);

    let endpoints = house.start().await.unwrap();
    assert!(endpoints.ssh.ip().is_loopback() && endpoints.ssh.port() != 0 && endpoints.engine != endpoints.ssh);
    assert!(std::net::TcpStream::connect(endpoints.ssh).is_ok());
    let seen = house.observe().await;
    assert_eq!((seen.state, seen.endpoints), (MachineState::Running, Some(endpoints)));
    assert_eq!(house.endpoints(), Some(endpoints));
    assert_eq!(house.record().driver_state["ports"]["ssh"], endpoints.ssh.port());
    assert_eq!(house.start().await.unwrap(), endpoints, "a second start finds it running");
    assert_eq!(attempts(&house.dir()).len(), 1);

    assert!(!house.stop(PATIENCE).await.unwrap());
    let seen = house.observe().await;
    assert_eq!((seen.state, seen.endpoints, seen.warnings), (MachineState::Stopped, None, vec![]));
    assert_eq!((house.processes(), house.endpoints()), (vec![], None));
    assert_eq!(std::fs::read_dir(house.runtime()).unwrap().count(), 0, "no socket stays");
    assert!(!house.stop(PATIENCE).await.unwrap(), "stopping again is no error");
}

#[tokio::test]
async fn starts_at_the_same_time_make_one_qemu() {
    let house = House::with_machine(&Behaviour { slow_monitor_ms: 300, ..Behaviour::default() }).await;
    let (one, two, three) = tokio::join!(house.start(), house.start(), house.start());
    let endpoints = one.unwrap();
    assert_eq!((two.unwrap(), three.unwrap()), (endpoints, endpoints));
    assert_eq!(house.processes().len(), 1);
    assert!(!house.stop(PATIENCE).await.unwrap());
    // Supervisors that came too late must have gone, not be waiting for their turn.
    let tries = attempts(&house.dir()).len();
    house.start().await.unwrap();
    assert!(!house.stop(PATIENCE).await.unwrap());
    assert_eq!((attempts(&house.dir()).len(), house.processes()), (tries + 1, vec![]));
}

#[tokio::test]
async fn a_qemu_that_refuses_says_why_at_the_start_and_at_the_next_look() {
    let mut house =
        House::with_machine(&Behaviour { refuses: Some("could not open 'x': Not so".into()), ..Behaviour::default() })
            .await;
    let error = house.start().await.unwrap_err();
    assert!(error.to_string().contains("could not open 'x': Not so"), "{error:?}");
    let MachineState::Broken(reason) = house.observe().await.state else { panic!("{:?}", house.observe().await) };
    assert!(reason.contains("could not open 'x': Not so"), "{reason}");
    house.change(&Behaviour::default());
    house.start().await.unwrap();
    assert_eq!(house.observe().await.state, MachineState::Running);
}

#[tokio::test]
async fn a_stop_during_the_start_ends_both() {
    let house = House::with_machine(&Behaviour { slow_monitor_ms: 5000, ..Behaviour::default() }).await;
    let stop = async {
        until("starting", async || {
            house.observe().await.state == MachineState::Starting && !house.processes().is_empty()
        })
        .await;
        house.stop(Duration::from_secs(1)).await
    };
    let (started, stopped) = tokio::join!(house.start(), stop);
    assert!(started.unwrap_err().to_string().contains("stopped while it was starting"));
    assert!(stopped.unwrap(), "a QEMU without monitor can only be ended by force");
    assert_eq!(house.observe().await.state, MachineState::Stopped);
    assert!(house.processes().is_empty());
}

#[tokio::test]
async fn a_machine_without_its_disk_is_missing_and_does_not_start() {
    let house = House::with_machine(&Behaviour::default()).await;
    std::fs::remove_file(house.dir().join("data.qcow2")).unwrap();
    assert_eq!(house.observe().await.state, MachineState::Missing);
    assert!(house.start().await.unwrap_err().to_string().contains("data.qcow2 is gone"));
    assert_eq!(attempts(&house.dir()), [""; 0]);
}
