use proptest::prelude::*;

use super::*;
use crate::test_disk::{QCOW2_SIZE, qcow2_head};

fn why(head: &[u8]) -> String {
    parse(head, 1 << 30).unwrap_err().to_string()
}

fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut head = qcow2_head();
    head[offset..offset + bytes.len()].copy_from_slice(bytes);
    head
}

#[test]
fn a_qcow2_disk_that_stands_alone_is_taken_with_the_size_that_the_guest_sees() {
    let header = parse(&qcow2_head(), QCOW2_SIZE).unwrap();
    assert_eq!(header, DiskHeader { format: DiskFormat::Qcow2, virtual_size: 8 << 30 });
    // Version 2 has no feature bits; its extensions begin at 72, where version 3 keeps zeros.
    assert_eq!(parse(&with(4, &[0, 0, 0, 2]), QCOW2_SIZE).unwrap().format, DiskFormat::Qcow2);
}

#[test]
fn a_qcow2_disk_that_leads_to_another_file_is_refused() {
    assert!(why(&with(8, &512u64.to_be_bytes())).contains("backing file"));
    assert!(why(&with(16, &9u32.to_be_bytes())).contains("backing file"));
    assert!(why(&with(72, &4u64.to_be_bytes())).contains("another file"));
    assert!(why(&with(104, &[0xE2, 0x79, 0x2A, 0xCA, 0, 0, 0, 3])).contains("backing file"));
    assert!(why(&with(104, &[0x44, 0x41, 0x54, 0x41, 0, 0, 0, 3])).contains("another file"));
    // Behind another extension too.
    let mut behind = with(104, &[0x68, 0x03, 0xF8, 0x57, 0, 0, 0, 8]);
    behind[120..124].copy_from_slice(&[0x44, 0x41, 0x54, 0x41]);
    assert!(why(&behind).contains("another file"));
}

#[test]
fn impossible_qcow2_headers_are_refused_with_what_is_wrong() {
    for (offset, bytes, reason) in [
        (4, &9u32.to_be_bytes()[..], "version 9"),
        (20, &40u32.to_be_bytes(), "cluster size"),
        (20, &8u32.to_be_bytes(), "cluster size"),
        (24, &0u64.to_be_bytes(), "disk size of 0 bytes"),
        (24, &u64::MAX.to_be_bytes(), "disk size"),
        (32, &1u32.to_be_bytes(), "encrypted"),
        (36, &0u32.to_be_bytes(), "L1 table"),
        (36, &u32::MAX.to_be_bytes(), "L1 table"),
        (40, &u64::MAX.to_be_bytes(), "L1 table"),
        (48, &0u64.to_be_bytes(), "refcount table"),
        (56, &u32::MAX.to_be_bytes(), "refcount table"),
        (72, &2u64.to_be_bytes(), "corrupt"),
        (72, &(1u64 << 40).to_be_bytes(), "not known"),
        (96, &7u32.to_be_bytes(), "refcount width"),
        (100, &8u32.to_be_bytes(), "header length"),
        (100, &u32::MAX.to_be_bytes(), "header length"),
        (104, &[1, 1, 1, 1, 255, 255, 255, 255], ""),
    ] {
        match parse(&with(offset, bytes), QCOW2_SIZE) {
            Err(error) => assert!(error.to_string().contains(reason) && !reason.is_empty(), "{offset}: {error}"),
            // An unknown extension that goes beyond the first cluster: nothing of it is read by anyone.
            Ok(_) => assert!(reason.is_empty(), "{offset}: taken, expected {reason}"),
        }
    }
    assert!(parse(&qcow2_head(), 4096).unwrap_err().to_string().contains("cut off"));
    assert!(parse(&qcow2_head()[..60], QCOW2_SIZE).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn raw_disks_are_known_by_partition_table_or_file_system() {
    let mut partitioned = vec![0u8; 4096];
    partitioned[510..512].copy_from_slice(&[0x55, 0xAA]);
    let header = parse(&partitioned, 1 << 20).unwrap();
    assert_eq!(header, DiskHeader { format: DiskFormat::Raw, virtual_size: 1 << 20 });
    let mut file_system = vec![0u8; 4096];
    file_system[1080..1082].copy_from_slice(&[0x53, 0xEF]);
    assert_eq!(parse(&file_system, 1 << 20).unwrap().format, DiskFormat::Raw);
    assert!(parse(&partitioned, (1 << 20) + 1).unwrap_err().to_string().contains("cut off"));
    assert!(parse(&partitioned, 512).unwrap_err().to_string().contains("too small"));
}

#[test]
fn what_is_no_disk_is_named_for_what_it_is() {
    let mut iso = vec![0u8; 40_000];
    iso[510..512].copy_from_slice(&[0x55, 0xAA]);
    iso[32769..32774].copy_from_slice(b"CD001");
    let mut vdi = vec![0u8; 4096];
    vdi[0x40..0x44].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
    for (head, name) in [
        (&b""[..], "empty"),
        (b"\n <!DOCTYPE html><title>404</title>", "web page"),
        (b"hello, this is not a disk\n", "text file"),
        (&[1, 2, 3, 0, 200], "not a disk image"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\xfd7zXZ\0\0", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"PK\x03\x04", "compressed with zip"),
        (b"KDMV\x01", "VMDK"),
        (b"vhdxfile", "VHDX"),
        (&vdi, "VDI"),
        (&iso, "ISO"),
    ] {
        assert!(why(head).contains(name), "{name}: {}", why(head));
    }
    assert!(parse(b"\x1f\x8b", 2).unwrap_err().hints()[0].contains("unpack it first"));
}

/// Whether a qcow2 header names another file, by its plain fields alone.
fn names_another_file(head: &[u8]) -> bool {
    head[8..20].iter().any(|byte| *byte != 0) || (head[7] == 3 && head[79] & 4 != 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_whatever_make_the_parser_panic(head in proptest::collection::vec(any::<u8>(), 0..2000), size: u64) {
        let _ = parse(&head, size);
    }

    #[test]
    fn a_changed_header_is_refused_or_stands_alone(
        changes in proptest::collection::vec((0usize..160, any::<u8>()), 1..6), size in 0u64..1 << 24, cut in 0usize..3000,
    ) {
        let mut head = qcow2_head();
        for (offset, byte) in changes {
            head[offset] = byte;
        }
        if head.starts_with(b"QFI\xfb") && let Ok(header) = parse(&head, size) {
            prop_assert!(!names_another_file(&head));
            prop_assert!(header.virtual_size > 0 && header.virtual_size <= 64 << 40);
        }
        head.truncate(cut);
        let _ = parse(&head, size);
    }
}
