use std::path::PathBuf;

use machine_core::{Carrier, Code, SharedFolder};
use machine_images::{Arch, Boot, Image, SeedKind};
use serde_json::{Value, json};

use super::{AcceleratorChoice, MachinePaths, Plan, PlanInput, check_carrier, plan};
use crate::facts::{Accelerator, HostFacts};
use crate::verdict::{Verdict, VerdictKey, Verdicts};

pub(super) const TOKEN: &str = "0b1c2d3e-4f50-4172-8394-a5b6c7d8e9f0";

/// Facts as they are kept: JSON, with `changes` laid over those of a common Linux host.
fn facts(changes: &Value) -> HostFacts {
    let mut facts = json!({
        "os": "linux", "os_version": "12", "kernel": "6.1.0-40-amd64", "arch": "amd64", "cpus": 4, "memory_mib": 16384,
        "kvm": "present",
        "qemu": {
            "program": "/usr/bin/qemu-system-x86_64", "fingerprint": "28686560-1757030400.000000000", "img": "/usr/bin/qemu-img",
            "guest": "amd64", "version": "10.0.2", "version_text": "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)",
            "accelerators": ["kvm", "tcg"], "user_network": true, "sandbox": true, "nine_p": true, "virtiofs": true
        }
    });
    overlay(&mut facts, changes);
    serde_json::from_value(facts).unwrap()
}

fn overlay(base: &mut Value, changes: &Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (key, value) in changes {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, changes) => *base = changes.clone(),
    }
}

fn mac(arch: &str, os_version: &str, changes: &Value) -> HostFacts {
    let (program, prefix) = match arch {
        "arm64" => ("qemu-system-aarch64", "/opt/homebrew"),
        _ => ("qemu-system-x86_64", "/usr/local"),
    };
    let mut all = json!({
        "os": "macos", "os_version": os_version, "kernel": "24.3.0", "arch": arch, "kvm": "absent", "hv_support": true,
        "qemu": {
            "program": format!("{prefix}/bin/{program}"), "img": format!("{prefix}/bin/qemu-img"), "guest": arch,
            "accelerators": ["hvf", "tcg"], "sandbox": false,
            "firmware": if arch == "arm64" { json!("/opt/homebrew/share/qemu/edk2-aarch64-code.fd") } else { Value::Null }
        }
    });
    overlay(&mut all, changes);
    facts(&all)
}

fn windows(version: &str) -> HostFacts {
    facts(&json!({
        "os": "windows", "os_version": "11 (26100)", "kernel": "26100", "kvm": "absent",
        "qemu": {
            "program": r"C:\Program Files\qemu\qemu-system-x86_64.exe", "img": r"C:\Program Files\qemu\qemu-img.exe",
            "version": version, "version_text": format!("QEMU emulator version {version} (v{version})"),
            "accelerators": ["whpx", "tcg"], "sandbox": false
        }
    }))
}

pub(super) fn ours(arch: Arch, folder: &str) -> Image {
    Image {
        name: "machine".into(),
        digest: "00".repeat(32),
        arch,
        disk: format!("{folder}/disk.qcow2").into(),
        format: "qcow2".into(),
        virtual_size: 4 << 30,
        boot: Boot::Direct {
            kernel: format!("{folder}/vmlinuz").into(),
            initrd: format!("{folder}/initrd").into(),
            args: "console=ttyS0 panic=10".into(),
        },
        seed: SeedKind::Machine,
        engine_version: Some("26.1.5".into()),
        channel: None,
        kernel_version: Some("6.12.48+deb13-amd64".into()),
    }
}

pub(super) fn vendors(arch: Arch) -> Image {
    Image {
        name: "debian-13".into(),
        boot: Boot::Firmware,
        seed: SeedKind::NoCloud,
        kernel_version: None,
        ..ours(arch, "/i")
    }
}

pub(super) fn files(folder: &str, separator: &str) -> MachinePaths {
    let file = |name: &str| PathBuf::from(format!("{folder}{separator}{name}"));
    MachinePaths {
        os_disk: file("os.qcow2"),
        data_disk: file("data.qcow2"),
        seed: file("seed.img"),
        serial_log: file("serial.log"),
        qmp_socket: file("qmp.sock"),
        channel_socket: file("channel.sock"),
        folder_socket: file("fs"),
        vars: None,
    }
}

/// A plan for 2 CPUs and 2 GiB of which a test changes what it is about.
struct Wish {
    facts: HostFacts,
    image: Image,
    paths: MachinePaths,
    cpus: u32,
    memory_mib: u64,
    accelerator: AcceleratorChoice,
    verdicts: Verdicts,
    extra: Vec<String>,
    folders: Vec<SharedFolder>,
    carrier: Carrier,
}

impl Wish {
    fn on(facts: HostFacts) -> Self {
        let arch = facts.qemu.as_ref().map_or(Arch::Amd64, |qemu| qemu.guest);
        Self {
            facts,
            image: ours(arch, "/images/machine"),
            paths: files("/machines/dev", "/"),
            cpus: 2,
            memory_mib: 2048,
            accelerator: AcceleratorChoice::Auto,
            verdicts: Verdicts::default(),
            extra: Vec::new(),
            folders: Vec::new(),
            carrier: Carrier::NineP,
        }
    }

    fn plan(&self) -> machine_core::Result<Plan> {
        plan(&PlanInput {
            facts: &self.facts,
            machine: "dev",
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            image: &self.image,
            paths: &self.paths,
            token: TOKEN,
            accelerator: self.accelerator,
            verdicts: &self.verdicts,
            extra_arguments: &self.extra,
            folders: &self.folders,
            carrier: self.carrier,
        })
    }

    fn refused(&self) -> String {
        let error = self.plan().unwrap_err();
        assert_eq!(error.code(), Code::PreCreate);
        assert!(!error.hints().is_empty(), "{error} has no hint");
        format!("{error} | {}", error.hints().join(" | "))
    }
}

/// The plan as a page: one option with its value a line.
fn page(wish: &Wish) -> String {
    let plan = wish.plan().unwrap();
    let mut page = format!("{}\n", plan.program.display());
    for argument in &plan.arguments {
        let end = if argument.starts_with('-') { "\n  " } else { " " };
        page.push_str(end);
        page.push_str(argument);
    }
    page.push_str(&format!("\n\nfallback: {:?}\n", plan.fallback));
    for warning in &plan.warnings {
        page.push_str(&format!("warning: {warning}\n"));
    }
    page
}

fn value<'a>(plan: &'a Plan, option: &str) -> Vec<&'a str> {
    plan.arguments.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn linux_with_kvm() {
    insta::assert_snapshot!(page(&Wish::on(facts(&json!({})))));
}

#[test]
fn linux_with_emulation_and_qemu_10() {
    insta::assert_snapshot!(page(&Wish::on(facts(&json!({"kvm": "absent"})))));
}

#[test]
fn linux_with_emulation_and_qemu_7_2_hides_cmpxchg16b_from_new_kernels_only() {
    let old = json!({"kvm": "not_permitted", "qemu": {"version": "7.2.22"}});
    let mut wish = Wish::on(facts(&old));
    insta::assert_snapshot!(page(&wish));
    assert_eq!(wish.plan().unwrap().cpu_model, "max,-cx16");
    wish.image.kernel_version = None;
    assert_eq!(wish.plan().unwrap().cpu_model, "max,-cx16", "an unknown kernel may be a new one");
    wish.image.kernel_version = Some("6.1.0-40-amd64".into());
    assert_eq!(wish.plan().unwrap().cpu_model, "max");
}

#[test]
fn linux_with_kvm_and_a_vendors_image() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.image = vendors(Arch::Amd64);
    insta::assert_snapshot!(page(&wish));
}

#[test]
fn intel_mac() {
    insta::assert_snapshot!(page(&Wish::on(mac("amd64", "14.7", &json!({})))));
}

#[test]
fn apple_silicon_m1() {
    insta::assert_snapshot!(page(&Wish::on(mac("arm64", "15.3.1", &json!({})))));
}

#[test]
fn apple_silicon_m4_with_a_vendors_image_and_variables() {
    let mut wish = Wish::on(mac("arm64", "15.3.1", &json!({"apple_sme": true})));
    wish.image = vendors(Arch::Arm64);
    wish.paths.vars = Some("/machines/dev/vars.qcow2".into());
    insta::assert_snapshot!(page(&wish));
}

#[test]
fn old_macos_on_apple_silicon_gets_3_gib_at_most() {
    let mut wish = Wish::on(mac("arm64", "12.3", &json!({})));
    assert_eq!(value(&wish.plan().unwrap(), "-m"), ["2048M"]);
    assert!(wish.plan().unwrap().warnings.is_empty());
    wish.memory_mib = 8192;
    let plan = wish.plan().unwrap();
    assert_eq!(value(&plan, "-m"), ["3072M"]);
    assert!(plan.warnings[0].contains("upgrade macOS"), "{:?}", plan.warnings);
}

#[test]
fn windows_with_qemu_11_1_1() {
    let mut wish = Wish::on(windows("11.1.1"));
    wish.paths = files(r"C:\Users\Ünal, J\machines\dev", "\\");
    insta::assert_snapshot!(page(&wish));
}

#[test]
fn windows_before_qemu_11_1_1_gets_a_named_cpu_and_before_11_is_refused() {
    let plan = Wish::on(windows("11.0.0")).plan().unwrap();
    assert_eq!(
        (plan.accelerator, plan.cpu_model.as_str()),
        (Accelerator::Whpx, "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt")
    );
    let mut emulated = Wish::on(windows("11.0.0"));
    emulated.accelerator = AcceleratorChoice::Only(Accelerator::Tcg);
    assert!(emulated.plan().unwrap().warnings[0].contains("systemd"));
    let refused = Wish::on(windows("10.2.0")).refused();
    assert!(refused.contains("is QEMU 10.2.0, and 11.0.0 is the oldest supported on Windows"), "{refused}");
    assert!(refused.contains("winget install"), "{refused}");
}

#[test]
fn paths_with_spaces_commas_quotes_and_other_scripts_stay_whole() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.paths = files(r#"/home/Ünal, "J" \x/ 機"#, "/");
    wish.image = ours(Arch::Amd64, "/home/Ünal, J");
    insta::assert_snapshot!(page(&wish));
    let plan = wish.plan().unwrap();
    let os: Value = serde_json::from_str(value(&plan, "-blockdev")[0]).unwrap();
    assert_eq!(os["file"]["filename"], r#"/home/Ünal, "J" \x/ 機/os.qcow2"#);
}

#[test]
fn an_accelerator_that_failed_is_not_tried_again_until_the_host_changes() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.verdicts.remember(Verdict {
        accelerator: Accelerator::Kvm,
        works: false,
        reason: "failed to set MSR 0x10a to 0x0".into(),
        when: "2026-11-22T01:00:00Z".parse().unwrap(),
        key: VerdictKey::of(&wish.facts).unwrap(),
    });
    let slow = wish.plan().unwrap();
    assert_eq!((slow.accelerator, slow.fallback), (Accelerator::Tcg, None));
    assert_eq!(
        slow.warnings,
        [
            "slow mode (software emulation): kvm did not work on this computer on 2026-11-22: failed to set MSR 0x10a to 0x0; it is tried \
             again when QEMU or the system changes"
        ]
    );
    wish.accelerator = AcceleratorChoice::Only(Accelerator::Kvm);
    assert_eq!(wish.plan().unwrap().accelerator, Accelerator::Kvm, "the user insists");
    wish.accelerator = AcceleratorChoice::Auto;
    wish.facts.kernel = "6.1.0-41-amd64".into();
    let again = wish.plan().unwrap();
    assert_eq!((again.accelerator, again.fallback), (Accelerator::Kvm, Some(Accelerator::Tcg)));
}

#[test]
fn hardware_that_cannot_be_used_means_slow_mode_with_the_reason() {
    let cases = [
        (facts(&json!({"kvm": "absent"})), "there is no /dev/kvm"),
        (facts(&json!({"kvm": "not_permitted"})), "usermod -aG kvm"),
        (facts(&json!({"qemu": {"accelerators": ["tcg"]}})), "was built without kvm"),
        (mac("amd64", "14.7", &json!({"hv_support": false})), "kern.hv_support is 0"),
        (mac("arm64", "15.3", &json!({"qemu": {"accelerators": ["tcg"]}})), "Rosetta"),
    ];
    for (facts, reason) in cases {
        let mut wish = Wish::on(facts);
        let plan = wish.plan().unwrap();
        assert_eq!(plan.accelerator, Accelerator::Tcg);
        assert!(plan.warnings[0].starts_with("slow mode") && plan.warnings[0].contains(reason), "{:?}", plan.warnings);
        wish.accelerator =
            AcceleratorChoice::Only(if wish.facts.hv_support.is_some() { Accelerator::Hvf } else { Accelerator::Kvm });
        let refused = wish.refused();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn a_guest_of_another_architecture_is_emulated_without_threads_that_would_break_its_memory_order() {
    let mut wish =
        Wish::on(mac("arm64", "15.3", &json!({"qemu": {"guest": "amd64", "accelerators": ["tcg"], "firmware": null}})));
    wish.image = ours(Arch::Amd64, "/i");
    let plan = wish.plan().unwrap();
    assert_eq!(value(&plan, "-accel"), ["tcg,tb-size=512"]);
    assert!(plan.warnings[0].contains("another CPU architecture"), "{:?}", plan.warnings);

    let mut arm = Wish::on(facts(&json!({"qemu": {"guest": "arm64", "accelerators": ["tcg"]}})));
    arm.image = ours(Arch::Arm64, "/i");
    assert_eq!(value(&arm.plan().unwrap(), "-accel"), ["tcg,thread=multi,tb-size=512"]);
    arm.image = vendors(Arch::Arm64);
    let refused = arm.refused();
    assert!(refused.contains("no UEFI firmware") && refused.contains("qemu-efi-aarch64"), "{refused}");
}

#[test]
fn what_the_host_cannot_carry_is_refused_with_a_number_that_it_can() {
    type Change = fn(&mut Wish);
    let cases: [(Change, &str); 9] = [
        (|w| w.cpus = 0, "at least one CPU | this computer has 4"),
        (|w| w.cpus = 17, "17 CPUs are asked for, this computer has 4 | use 4 or fewer"),
        (|w| w.memory_mib = 64, "64 MiB of memory are too little for Docker Engine | use 256 MiB or more"),
        (
            |w| w.memory_mib = 16385,
            "16385 MiB of memory are asked for, this computer has 16384 MiB | use 8192 MiB or less",
        ),
        (|w| w.paths.qmp_socket = format!("/{}", "x".repeat(107)).into(), "is 108 bytes long, 107 at most on Linux"),
        (
            |w| w.facts.qemu = None,
            "QEMU was not found on this computer | install QEMU: `sudo apt install qemu-system-x86",
        ),
        (
            |w| w.facts.qemu.as_mut().unwrap().version = crate::Version::new(6, 2, 0),
            "is QEMU 6.2.0, and 7.2.0 is the oldest",
        ),
        (|w| w.facts.qemu.as_mut().unwrap().user_network = false, "without the user network"),
        (
            |w| w.image = ours(Arch::Arm64, "/i"),
            "for another CPU architecture | install QEMU: `sudo apt install qemu-system-arm",
        ),
    ];
    for (change, expected) in cases {
        let mut wish = Wish::on(facts(&json!({})));
        change(&mut wish);
        let refused = wish.refused();
        assert!(refused.contains(expected), "{refused:?} does not contain {expected:?}");
    }
    let mut socket = Wish::on(mac("amd64", "14.7", &json!({})));
    socket.paths.qmp_socket = format!("/{}", "x".repeat(103)).into();
    assert!(socket.refused().contains("104 bytes long, 103 at most on macOS"));
}

#[test]
fn much_of_the_host_is_given_with_a_warning() {
    let mut wish = Wish::on(facts(&json!({})));
    (wish.cpus, wish.memory_mib) = (8, 14000);
    let warnings = wish.plan().unwrap().warnings;
    assert!(warnings[0].contains("8 CPUs are more than the 4"), "{warnings:?}");
    assert!(warnings[1].contains("14000 of this computer's 16384 MiB"), "{warnings:?}");
}

#[test]
fn the_users_own_arguments_come_last_and_are_not_held_back_by_the_sandbox() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.extra = vec!["-device".into(), "usb-ehci".into()];
    let plan = wish.plan().unwrap();
    assert_eq!(plan.arguments[plan.arguments.len() - 2..], ["-device", "usb-ehci"]);
    assert!(value(&plan, "-sandbox").is_empty());
}

fn share(folder: &str, read_only: bool) -> SharedFolder {
    SharedFolder { folder: folder.into(), guest: "/src".into(), read_only, events: false }
}

#[test]
fn folders_by_9p_are_devices_that_the_sandbox_does_not_hold_back() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.folders = vec![share("/home/Ünal, \"J\"/src", false), share("/docs", true)];
    insta::assert_snapshot!(page(&wish));
    assert_eq!(wish.plan().unwrap().folders, [PathBuf::from("/home/Ünal, \"J\"/src"), "/docs".into()]);

    let mut arm = Wish::on(mac("arm64", "15.3.1", &json!({})));
    arm.folders = vec![share("/Users/me/src", false)];
    assert_eq!(value(&arm.plan().unwrap(), "-fsdev").len(), 1);
}

#[test]
fn where_there_is_no_9p_a_start_goes_without_and_a_wish_is_refused() {
    for (facts, why) in [
        (windows("11.1.1"), "QEMU for Windows has no 9p server"),
        (facts(&json!({"qemu": {"nine_p": false}})), "/usr/bin/qemu-system-x86_64 was built without it (virtfs)"),
    ] {
        let refused = check_carrier(&facts, Carrier::NineP).unwrap_err();
        assert_eq!(refused.code(), Code::PreCreate);
        assert!(refused.to_string().contains(why) && refused.hints()[0].contains("--share-type"), "{refused:?}");
        let mut wish = Wish::on(facts);
        assert!(wish.plan().unwrap().warnings.iter().all(|warning| !warning.contains("9p")));
        wish.folders = vec![share("/src", false)];
        let plan = wish.plan().unwrap();
        assert!(value(&plan, "-fsdev").is_empty() && plan.folders.is_empty());
        assert!(plan.warnings.iter().any(|warning| warning.contains(why)), "{:?}", plan.warnings);
    }
}

#[test]
fn folders_by_virtiofs_are_devices_with_a_process_each_that_has_the_guests_memory() {
    let virtiofsd = |version: &str| json!({"virtiofsd": {"program": "/usr/libexec/virtiofsd", "version": version}});
    let mut wish = Wish::on(facts(&virtiofsd("1.13.2")));
    wish.carrier = Carrier::Virtiofs;
    assert!(wish.plan().unwrap().daemons.is_empty() && value(&wish.plan().unwrap(), "-object").is_empty());
    wish.folders = vec![share("/home/me/src", false), share("/docs", true)];
    insta::assert_snapshot!(page(&wish));
    let plan = wish.plan().unwrap();
    let daemons: Vec<_> = plan.daemons.iter().map(|daemon| (daemon.folder.clone(), daemon.read_only)).collect();
    assert_eq!(daemons, [(PathBuf::from("/home/me/src"), false), ("/docs".into(), true)]);

    for (facts, why) in [
        (facts(&json!({})), "virtiofsd is not installed"),
        (facts(&virtiofsd("0.0.0")), "is too old"),
        (mac("arm64", "15.3.1", &json!({})), "only Linux has virtiofsd"),
    ] {
        let refused = check_carrier(&facts, Carrier::Virtiofs).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        let mut wish = Wish { carrier: Carrier::Virtiofs, ..Wish::on(facts) };
        wish.folders = vec![share("/src", false)];
        let plan = wish.plan().unwrap();
        assert!(plan.folders.is_empty() && plan.daemons.is_empty() && value(&plan, "-object").is_empty());
        assert!(plan.warnings.iter().any(|warning| warning.contains(why)), "{:?}", plan.warnings);
    }
}

#[test]
fn more_folders_than_the_bus_has_places_go_by_sftp() {
    let mut wish = Wish::on(facts(&json!({})));
    wish.folders = (0..18).map(|number| share(&format!("/{number}"), false)).collect();
    let plan = wish.plan().unwrap();
    assert_eq!((value(&plan, "-fsdev").len(), plan.folders.len()), (16, 16));
    assert_eq!(plan.warnings, ["9p carries the first 16 folders of the machine, SFTP the other 2"]);
    wish.folders.truncate(16);
    assert!(wish.plan().unwrap().warnings.is_empty());
}

mod any_path {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn survives_in_the_json_of_a_disk(folder in "/[^\\x00]{0,60}") {
            let mut wish = Wish::on(facts(&json!({})));
            wish.paths = files(&folder, "/");
            wish.paths.qmp_socket = "/q".into();
            let plan = wish.plan().unwrap();
            let disks: Vec<Value> = value(&plan, "-blockdev").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            prop_assert_eq!(&disks[1]["file"]["filename"], &format!("{folder}/data.qcow2"));
            prop_assert_eq!(&disks[2]["file"]["filename"], &format!("{folder}/seed.img"));
        }
    }
}
