//! Hardware acceleration that exists and does not work. Where this computer has no `/dev/kvm` that may be opened, it is
//! never tried, and that is what is tested.

use machine_core::MachineState;
use machine_qemu::load_verdicts;

use crate::fake_qemu::{Behaviour, attempts};
use crate::house::{House, PATIENCE};

fn has_kvm() -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

async fn ends_in_software(behaviour: &Behaviour, seen: &str) {
    let house = House::with_machine(behaviour).await;
    house.start().await.unwrap();
    let observed = house.observe().await;
    assert_eq!(observed.state, MachineState::Running);
    let first = attempts(&house.dir());
    assert_eq!(first, if has_kvm() { vec!["kvm", "tcg"] } else { vec!["tcg"] });
    assert_eq!(observed.warnings.iter().filter(|text| text.contains("slow")).count(), 1, "{:?}", observed.warnings);
    let verdicts = load_verdicts(&house.dir().join("../verdicts.json"));
    if has_kvm() {
        assert!(verdicts.entries.iter().any(|entry| !entry.works && entry.reason.contains(seen)), "{verdicts:?}");
    }

    assert!(!house.stop(PATIENCE).await.unwrap());
    house.start().await.unwrap();
    assert_eq!(attempts(&house.dir()).len(), first.len() + 1, "the second start loses no time");
    assert_eq!(attempts(&house.dir()).last().unwrap(), "tcg");
}

#[tokio::test]
async fn kvm_that_aborts_is_replaced_by_tcg_once_and_remembered() {
    ends_in_software(&Behaviour { kvm_aborts: true, ..Behaviour::default() }, "failed to set MSR 0x10a").await;
}

#[tokio::test]
async fn kvm_under_which_the_guest_stays_silent_is_replaced_by_tcg_once_and_remembered() {
    ends_in_software(&Behaviour { kvm_is_silent: true, ..Behaviour::default() }, "printed nothing").await;
}

#[tokio::test]
async fn kvm_that_works_is_kept_and_one_that_is_insisted_on_and_does_not_is_an_error() {
    let house = House::with_machine(&Behaviour::default()).await;
    house.start().await.unwrap();
    assert_eq!(attempts(&house.dir()), [if has_kvm() { "kvm" } else { "tcg" }]);

    let house = House::empty(&Behaviour { kvm_aborts: true, ..Behaviour::default() }, "kvm".into());
    house.create().await;
    let error = house.start().await.unwrap_err();
    assert!(error.to_string().contains(if has_kvm() { "kvm does not work" } else { "kvm" }), "{error:?}");
    assert!(house.processes().is_empty());
    assert!(matches!(house.observe().await.state, MachineState::Broken(_)));
}
