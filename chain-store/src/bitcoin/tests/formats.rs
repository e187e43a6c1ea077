//! Genesis blocks, hashes, numbers and stored forms against known values.

use super::builder::{GENESIS_COINBASE, unhex};
use crate::bitcoin::hash::sha256d;
use crate::bitcoin::wire::{Cursor, push_leb128};
use crate::bitcoin::{
    Block, BtcHash, DecodeFault, Header, Network, OutPoint, SATOSHI_MAX, Satoshi, TxId,
    UnspentOutput, coinbase_height, is_unspendable,
};

const GENESIS_ROOT: &str = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";

fn genesis(time: u32, nonce: u32, bits: u32, coinbase: &[u8]) -> Vec<u8> {
    let root = sha256d(&[coinbase]);
    let numbers = [time, bits, nonce].map(u32::to_le_bytes).concat();
    [&[1, 0, 0, 0][..], &[0; 32], &root, &numbers, &[1], coinbase].concat()
}

/// Source of the numbers: Bitcoin Core `src/kernel/chainparams.cpp`.
#[test]
fn every_genesis_block_decodes_to_its_known_hash() {
    let usual = unhex(GENESIS_COINBASE);
    let text = b"03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e";
    let testnet4 = [
        &unhex(
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff",
        ),
        &[8 + 1 + text.len() as u8][..],
        &unhex("04ffff001d01044c"),
        &[text.len() as u8],
        text,
        &unhex("ffffffff0100f2052a010000002321"),
        &[0; 33],
        &unhex("ac00000000"),
    ]
    .concat();
    let cases = [
        (
            Network::Mainnet,
            genesis(1_231_006_505, 2_083_236_893, 0x1d00_ffff, &usual),
        ),
        (
            Network::Testnet3,
            genesis(1_296_688_602, 414_098_458, 0x1d00_ffff, &usual),
        ),
        (
            Network::Testnet4,
            genesis(1_714_777_860, 393_743_547, 0x1d00_ffff, &testnet4),
        ),
        (
            Network::Signet,
            genesis(1_598_918_400, 52_613_770, 0x1e03_77ae, &usual),
        ),
        (
            Network::Regtest,
            genesis(1_296_688_602, 2, 0x207f_ffff, &usual),
        ),
    ];
    assert_eq!(cases.len(), Network::ALL.len());
    for (network, bytes) in cases {
        let block = Block::decode(bytes.clone(), Some(network)).unwrap();
        assert_eq!(block.hash(), network.genesis_hash(), "{network}");
        assert_eq!(Network::from_genesis(&block.hash()), Some(network));
        assert!(block.is_genesis());
        assert_eq!(block.parent(), BtcHash::ZERO);
        assert_eq!(block.coinbase_height(), None, "version 1 states no height");
        assert_eq!(block.bytes(), bytes);
    }
}

#[test]
fn the_mainnet_genesis_block_has_its_known_parts() {
    let bytes = genesis(
        1_231_006_505,
        2_083_236_893,
        0x1d00_ffff,
        &unhex(GENESIS_COINBASE),
    );
    assert_eq!(bytes.len(), 285);
    let block = Block::decode(bytes, Some(Network::Mainnet)).unwrap();
    let header = *block.header();
    assert_eq!(header.merkle_root.to_string(), GENESIS_ROOT);
    assert_eq!(
        header.hash.to_string(),
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    );
    assert_eq!(
        (header.version, header.time, header.bits),
        (1, 1_231_006_505, 0x1d00_ffff)
    );
    let transactions: Vec<_> = block.transactions().collect();
    assert_eq!(transactions.len(), 1);
    let coinbase = transactions[0];
    assert_eq!(coinbase.tx_id().to_string(), GENESIS_ROOT);
    assert!(coinbase.is_coinbase() && !coinbase.has_witness());
    assert_eq!(coinbase.offset(), 81);
    assert_eq!(coinbase.bytes().len(), 204);
    let inputs: Vec<_> = coinbase.inputs().collect();
    assert_eq!(inputs.len(), 1);
    assert!(inputs[0].is_coinbase() && inputs[0].script.ends_with(b"bailout for banks"));
    let outputs: Vec<_> = coinbase.outputs().collect();
    assert_eq!(outputs.len(), 1);
    assert_eq!(
        (outputs[0].index, outputs[0].value),
        (0, Satoshi(5_000_000_000))
    );
    assert_eq!(outputs[0].script.len(), 67);
    assert!(!outputs[0].is_unspendable());
    assert_eq!(coinbase.output_value(), Satoshi(5_000_000_000));
}

#[test]
fn magics_are_distinct_and_begin_with_no_zero() {
    for network in Network::ALL {
        assert_eq!(Network::from_magic(network.magic()), Some(network));
        assert_ne!(network.magic()[0], 0);
    }
    assert_eq!(Network::Mainnet.magic(), 0xD9B4_BEF9_u32.to_le_bytes());
}

#[test]
fn a_hash_prints_reversed_and_parses_back() {
    let mut bytes = [0; 32];
    bytes[0] = 0xab;
    bytes[31] = 0x01;
    let hash = BtcHash::from_bytes(bytes);
    let text = hash.to_string();
    assert_eq!(text, format!("01{}ab", "00".repeat(30)));
    assert_eq!(text.parse(), Ok(hash));
    assert_eq!(text.to_uppercase().parse(), Ok(hash));
    assert_eq!(
        format!("{:?}", TxId::from_bytes(bytes)),
        format!("TxId({text})")
    );
    for bad in [
        "",
        "ab",
        &text[1..],
        &format!("{text}0"),
        &text.replace("ab", "ag"),
        "\u{e9}",
    ] {
        assert!(bad.parse::<BtcHash>().is_err(), "{bad:?}");
    }
}

#[test]
fn keys_of_outputs_sort_by_transaction_and_then_by_index() {
    let out = |id: u8, vout| OutPoint {
        tx_id: TxId::from_bytes([id; 32]),
        vout,
    };
    let sorted = [
        out(1, 0),
        out(1, 1),
        out(1, 255),
        out(1, 256),
        out(1, u32::MAX),
        out(2, 0),
    ];
    assert!(sorted.is_sorted());
    assert!(sorted.map(OutPoint::to_key).is_sorted());
    for point in sorted {
        assert_eq!(OutPoint::from_key(&point.to_key()), Some(point));
    }
    let key = out(7, 0x0102_0304).to_key();
    assert_eq!(key[..32], [7; 32]);
    assert_eq!(key[32..], [1, 2, 3, 4]);
    assert_eq!(OutPoint::from_key(&key[..35]), None);
    assert_eq!(OutPoint::from_key(&[&key[..], &[0]].concat()), None);
}

#[test]
fn the_stored_form_of_an_output_is_pinned() {
    let script = [0x76, 0xa9];
    let output = UnspentOutput {
        height: 170,
        is_coinbase: true,
        value: Satoshi(5_000_000_000),
        script: &script,
    };
    // 170 * 2 + 1 = 341 = 0xd5 0x02; 5,000,000,000 in groups of seven bits.
    let bytes = unhex("01d50280e497d01276a9");
    assert_eq!(output.encode(), bytes);
    assert_eq!(UnspentOutput::decode(&bytes), Ok(output));
    for (height, is_coinbase, satoshi) in [
        (0, false, 0),
        (0, true, 1),
        (63, true, 127),
        (64, false, 128),
        (u32::MAX, true, SATOSHI_MAX),
    ] {
        let output = UnspentOutput {
            height,
            is_coinbase,
            value: Satoshi(satoshi),
            script: &[],
        };
        assert_eq!(UnspentOutput::decode(&output.encode()), Ok(output));
    }
}

#[test]
fn a_stored_output_has_only_one_encoding() {
    let fault = |hex: &str| UnspentOutput::decode(&unhex(hex)).unwrap_err();
    assert!(matches!(fault("").fault, DecodeFault::Truncated { .. }));
    assert_eq!(
        fault("020000").fault,
        DecodeFault::Version {
            version: 2,
            known: 1
        }
    );
    assert!(matches!(fault("01").fault, DecodeFault::Truncated { .. }));
    assert!(matches!(fault("0180").fault, DecodeFault::Truncated { .. }));
    assert!(matches!(fault("0100").fault, DecodeFault::Truncated { .. }));
    assert!(matches!(
        fault("01800000").fault,
        DecodeFault::NonMinimal { .. }
    ));
    assert!(matches!(
        fault("01008000").fault,
        DecodeFault::NonMinimal { .. }
    ));
    // A height of 2^32, and a number of more than 64 bits.
    assert_eq!(
        fault("01808080802000").fault,
        DecodeFault::Overflow { what: "the height" }
    );
    assert_eq!(
        fault("01ffffffffffffffffff0200").fault,
        DecodeFault::Overflow { what: "the height" }
    );
    let error = fault("010080808080808080808002");
    assert_eq!(
        (error.offset, error.fault),
        (2, DecodeFault::Overflow { what: "the value" })
    );
    let mut rich = vec![1, 0];
    push_leb128(SATOSHI_MAX + 1, &mut rich);
    let error = UnspentOutput::decode(&rich).unwrap_err();
    assert_eq!(
        error.fault,
        DecodeFault::Value {
            satoshi: SATOSHI_MAX + 1
        }
    );
    assert_eq!(error.offset, 2);
}

#[test]
fn numbers_are_taken_only_in_their_shortest_form() {
    let read = |hex: &str| Cursor::at(&unhex(hex), 0).compact("a count");
    for (hex, value) in [
        ("00", 0),
        ("fc", 252),
        ("fdfd00", 253),
        ("fdffff", 0xffff),
        ("fe00000100", 0x1_0000),
        ("feffffffff", 0xffff_ffff),
        ("ff0000000001000000", 0x1_0000_0000),
        ("ffffffffffffffffff", u64::MAX),
    ] {
        assert_eq!(read(hex), Ok(value), "{hex}");
    }
    for (hex, value) in [
        ("fdfc00", 252),
        ("fe00000000", 0),
        ("feffff0000", 0xffff),
        ("ffffffffff00000000", 0xffff_ffff),
    ] {
        let fault = DecodeFault::NonMinimal {
            what: "a count",
            value,
        };
        assert_eq!(read(hex).unwrap_err().fault, fault, "{hex}");
    }
    for hex in ["", "fd", "fd00", "fe000000", "ff00000000000000"] {
        assert!(
            matches!(read(hex).unwrap_err().fault, DecodeFault::Truncated { .. }),
            "{hex}"
        );
    }
}

#[test]
fn provably_unspendable_scripts_are_those_of_bitcoin_core() {
    assert!(!is_unspendable(&[]));
    assert!(is_unspendable(&[0x6a]));
    assert!(is_unspendable(&[0x6a, 0x24]));
    assert!(!is_unspendable(&[0x51, 0x6a]));
    assert!(!is_unspendable(&[0; 10_000]));
    assert!(is_unspendable(&[0; 10_001]));
}

#[test]
fn the_height_is_read_from_the_front_of_a_coinbase_script() {
    for (hex, height) in [
        ("", None),
        ("00", Some(0)),
        ("51", Some(1)),
        ("60", Some(16)),
        ("61", None),
        ("0110", None),
        ("0111", Some(17)),
        ("017f", Some(127)),
        ("0180", None),
        ("028000", Some(128)),
        ("027f00", None),
        ("020000", None),
        ("01", None),
        ("03139d05", Some(367_891)),
        ("03139d05ffff", Some(367_891)),
        ("03139d", None),
        ("04ffff001d", Some(0x1d00_ffff)),
        ("04ffffffff", None),
        ("05ffffffff00", Some(u32::MAX)),
        ("050000000001", None),
        ("06010000000000", None),
    ] {
        assert_eq!(coinbase_height(&unhex(hex)), height, "{hex}");
    }
}

#[test]
fn targets_out_of_range_are_refused() {
    let mut bytes = genesis(1_231_006_505, 2_083_236_893, 0x1d00_ffff, &[]);
    for (bits, allowed) in [
        (0x1d00_ffff, true),
        (0x1c00_ffff, true),
        (0x1d01_0000, false),
        (0x0000_0000, false),
        (0x1d00_0000, false),
        (0x01ff_ffff, false),
        (0x0100_ffff, false),
        (0x1d80_ffff, false),
        (0x2300_0001, false),
        (0xff7f_ffff, false),
    ] {
        bytes[72..76].copy_from_slice(&u32::to_le_bytes(bits));
        let header = Header::decode(&bytes).unwrap();
        let refused = matches!(
            header.check_work(Some(Network::Mainnet)).map_err(|error| error.fault),
            Err(DecodeFault::Target { bits: named }) if named == bits
        );
        assert_eq!(refused, !allowed, "{bits:#010x}");
    }
    // Its upper bits do not fit in 256; the lower ones alone would be allowed on regtest.
    bytes[72..76].copy_from_slice(&0x2101_0001_u32.to_le_bytes());
    let error = Header::decode(&bytes)
        .unwrap()
        .check_work(None)
        .unwrap_err();
    assert_eq!(error.fault, DecodeFault::Target { bits: 0x2101_0001 });
    assert!(matches!(
        Header::decode(&bytes[..79]).unwrap_err().fault,
        DecodeFault::Truncated { .. }
    ));
}
