//! The ports of this computer that lead into a machine.

use std::net::TcpListener;

use crate::fake_qemu::Behaviour;
use crate::house::{House, PATIENCE};

#[tokio::test]
async fn ports_stay_the_same_over_restarts_until_somebody_else_takes_one() {
    let house = House::with_machine(&Behaviour::default()).await;
    let first = house.start().await.unwrap();
    house.stop(PATIENCE).await.unwrap();
    let second = house.start().await.unwrap();
    assert_eq!(first, second);
    house.stop(PATIENCE).await.unwrap();

    let _taken = TcpListener::bind(first.ssh).unwrap();
    let third = house.start().await.unwrap();
    assert_ne!(third.ssh, first.ssh);
    assert_eq!(third.engine, first.engine);
    let warnings = house.observe().await.warnings;
    let text = format!("port {} of this computer, used before, is taken", first.ssh.port());
    assert_eq!(warnings.iter().filter(|warning| warning.starts_with(&text)).count(), 1, "{warnings:?}");
    assert_eq!(house.record().driver_state["ports"]["ssh"], third.ssh.port());
}
