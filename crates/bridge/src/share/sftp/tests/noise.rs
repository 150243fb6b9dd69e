use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::exports::Exports;
use super::super::folder::{Access, Folder};
use super::super::session::serve;
use super::super::wire::{Framed, LONGEST, frame};
use super::client::packet;

/// What the server says to these bytes, sent in pieces; it must come to an end.
fn said_to(bytes: &[u8], piece: usize) -> (Vec<u8>, std::io::Result<()>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), b"content").unwrap();
    let exports = Arc::new(Exports::default());
    exports.add("s".into(), Arc::new(Folder::open(dir.path(), Access::ReadWrite).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (theirs, ours) = tokio::io::duplex(64 * 1024);
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let mut said = Vec::new();
        let talk = async {
            for piece in bytes.chunks(piece.max(1)) {
                if writer.write_all(piece).await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
        };
        let both = async {
            let (served, (), heard) = tokio::join!(serve(ours, exports), talk, reader.read_to_end(&mut said));
            heard.unwrap();
            served
        };
        let served = tokio::time::timeout(std::time::Duration::from_secs(60), both).await.expect("it ends");
        (said, served)
    })
}

/// A packet with a length that is right, of any kind and content.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3..=20_u8, Just(200), any::<u8>()];
    let field = prop_oneof![
        any::<u32>().prop_map(|word| word.to_be_bytes().to_vec()),
        "(/|s|f|\\.\\.|[a-z]){0,6}".prop_map(|path| {
            let mut bytes = u32::try_from(path.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(path.as_bytes());
            bytes
        }),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    (kind, any::<u32>(), proptest::collection::vec(field, 0..6)).prop_map(|(kind, id, fields)| {
        let mut bytes = packet(kind, id, &[]);
        bytes.extend(fields.concat());
        let length = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600), piece in 1..64_usize) {
        match frame(&bytes) {
            Framed::Packet(_, length) => prop_assert!(length <= bytes.len()),
            Framed::Incomplete | Framed::Broken => {}
        }
        let _ = said_to(&bytes, piece);
    }

    #[test]
    fn each_request_of_any_content_gets_one_answer(packets in proptest::collection::vec(framed(), 1..20), piece in 1..200_usize) {
        let (said, served) = said_to(&packets.concat(), piece);
        prop_assert!(served.is_ok());
        let mut answers = Vec::new();
        let mut rest = &said[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            prop_assert!(length >= 5 && length <= after.len());
            answers.push(u32::from_be_bytes(after[1..5].try_into().unwrap()));
            rest = &after[length..];
        }
        // INIT is answered with a version, which has no id.
        let expected: Vec<u32> = packets
            .iter()
            .map(|packet| if packet[4] == 1 { 3 } else { u32::from_be_bytes(packet[5..9].try_into().unwrap()) })
            .collect();
        prop_assert_eq!(answers, expected);
    }
}

#[test]
fn a_length_that_cannot_be_ends_the_connection() {
    for length in [0, u32::try_from(LONGEST).unwrap() + 1, u32::MAX] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        assert!(said_to(&bytes, 3).1.is_err(), "{length}");
    }
}

/// How long [`noise_for_a_long_time_is_survived`] goes on.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

/// By hand: `cargo test -p machine-bridge --release noise -- --ignored`.
#[test]
#[ignore = "a long run, by hand"]
fn noise_for_a_long_time_is_survived() {
    use proptest::strategy::ValueTree as _;
    let end = std::time::Instant::now() + LONG;
    let mut runner = proptest::test_runner::TestRunner::default();
    let packets = proptest::collection::vec(framed(), 1..200);
    let mut rounds = 0_u64;
    while std::time::Instant::now() < end {
        let mut bytes = packets.new_tree(&mut runner).unwrap().current().concat();
        // Every third time a few bytes are others, lengths among them.
        if rounds.is_multiple_of(3) {
            for _ in 0..4 {
                let at = (0..bytes.len()).new_tree(&mut runner).unwrap().current();
                bytes[at] = any::<u8>().new_tree(&mut runner).unwrap().current();
            }
        }
        let _ = said_to(&bytes, 4096);
        rounds += 1;
    }
    eprintln!("{rounds} rounds");
}
