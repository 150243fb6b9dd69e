//! Folders that 9p carries.

use machine_core::MachineState;

use crate::fake_qemu::Behaviour;
use crate::house::{House, PATIENCE};

#[tokio::test]
async fn a_machine_with_folders_by_9p_starts_without_those_that_are_gone_and_is_not_suspended() {
    let house = House::with_machine(&Behaviour::default()).await;
    let folders = tempfile::tempdir().unwrap();
    let (there, gone) = (folders.path().to_owned(), folders.path().join("gone"));
    house.share_by_nine_p(&[there.clone(), gone]);
    house.start().await.unwrap();
    assert_eq!(house.run_file().folders, std::slice::from_ref(&there));

    let error = house.suspend().await.unwrap_err();
    assert!(error.to_string().contains(&format!("started with folders by 9p ({})", there.display())), "{error}");
    assert!(error.hints()[0].contains("machine stop dev"), "{error:?}");
    assert_eq!(house.observe().await.state, MachineState::Running);
    assert!(!house.dir().join("suspended.new").exists());
    assert!(!house.stop(PATIENCE).await.unwrap());
}
