//! The messages of 2018: laid out here once more by the field numbers of RepChain's `peer.proto`,
//! and no bytes at all make a panic.

use compat::repchain::{BlockCodec, Codec2018, CodecError, proto};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::blocks::TxId;

use super::{SEED, random_chain};

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [
        varint(field << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

fn timestamp(seconds: i64, nanos: u64) -> Vec<u8> {
    [number(1, seconds as u64), number(2, nanos)].concat()
}

/// A block with every field of every message, by hand.
fn golden() -> Vec<u8> {
    let chaincode = [bytes(1, b"path"), bytes(2, b"name")].concat();
    let call = [
        bytes(1, b"set"),
        bytes(2, b"a"),
        bytes(2, b""),
        bytes(2, b"b"),
    ]
    .concat();
    let payload = [
        bytes(1, &chaincode),
        bytes(2, &call),
        number(3, 1_000),
        bytes(4, b"user"),
        bytes(5, b"code"),
        number(6, 1),
    ];
    let transaction = [
        number(1, 2),
        bytes(2, b"chaincode"),
        bytes(3, &payload.concat()),
        bytes(4, b"metadata"),
        bytes(5, b"txid"),
        bytes(6, &timestamp(-5, 7)),
        number(7, 1),
        bytes(8, b"version"),
        bytes(9, b"nonce"),
        bytes(10, b"validators"),
        bytes(11, b"cert"),
        bytes(12, b"signature"),
    ];
    let oper_log = [bytes(1, b"key"), bytes(2, b"old"), bytes(3, b"new")].concat();
    let result = [
        bytes(1, b"txid"),
        bytes(2, &oper_log),
        bytes(2, b""),
        number(3, 500),
        bytes(4, b"error"),
    ];
    let beside = [bytes(1, &timestamp(9, 1)), bytes(2, &result.concat())].concat();
    let endorsement = [bytes(1, b"endorser"), bytes(2, b"signature")].concat();
    let block = [
        number(1, 1),
        bytes(2, &timestamp(1_524_000_000, 999_999_999)),
        bytes(3, &transaction.concat()),
        bytes(3, &bytes(5, b"second")),
        bytes(4, b"state"),
        bytes(5, b"previous"),
        bytes(6, &endorsement),
        bytes(7, &beside),
    ];
    block.concat()
}

fn decoded() -> proto::Block {
    let transaction = proto::Transaction {
        r#type: proto::TransactionType::ChaincodeInvoke as i32,
        chaincode_id: b"chaincode".to_vec(),
        payload: Some(proto::ChaincodeSpec {
            chaincode_id: Some(proto::ChaincodeId {
                path: "path".to_owned(),
                name: "name".to_owned(),
            }),
            ctor_msg: Some(proto::ChaincodeInput {
                function: "set".to_owned(),
                args: ["a", "", "b"].map(str::to_owned).to_vec(),
            }),
            timeout: 1_000,
            secure_context: "user".to_owned(),
            code_package: b"code".to_vec(),
            ctype: proto::CodeType::Scala as i32,
        }),
        metadata: b"metadata".to_vec(),
        txid: "txid".to_owned(),
        timestamp: Some(proto::Timestamp {
            seconds: -5,
            nanos: 7,
        }),
        confidentiality_level: proto::ConfidentialityLevel::Confidential as i32,
        confidentiality_protocol_version: "version".to_owned(),
        nonce: b"nonce".to_vec(),
        to_validators: b"validators".to_vec(),
        cert: b"cert".to_vec(),
        signature: b"signature".to_vec(),
    };
    let second = proto::Transaction {
        txid: "second".to_owned(),
        ..proto::Transaction::default()
    };
    let change = proto::OperLog {
        key: "key".to_owned(),
        old_value: b"old".to_vec(),
        new_value: b"new".to_vec(),
    };
    proto::Block {
        version: 1,
        timestamp: Some(proto::Timestamp {
            seconds: 1_524_000_000,
            nanos: 999_999_999,
        }),
        transactions: vec![transaction, second],
        state_hash: b"state".to_vec(),
        previous_block_hash: b"previous".to_vec(),
        consensus_metadata: vec![proto::Endorsement {
            endorser: b"endorser".to_vec(),
            signature: b"signature".to_vec(),
        }],
        non_hash_data: Some(proto::NonHashData {
            local_ledger_commit_timestamp: Some(proto::Timestamp {
                seconds: 9,
                nanos: 1,
            }),
            transaction_results: vec![proto::TransactionResult {
                txid: "txid".to_owned(),
                ol: vec![change, proto::OperLog::default()],
                error_code: 500,
                error: "error".to_owned(),
            }],
        }),
    }
}

#[test]
fn a_block_of_every_field_is_laid_out_by_the_numbers() {
    let codec = Codec2018::default();
    assert_eq!(codec.encode(&decoded()), golden());
    assert_eq!(codec.decode(&golden()).unwrap(), decoded());
    assert_eq!(codec.encode(&proto::Block::default()), b"");
    assert_eq!(codec.decode(b"").unwrap(), proto::Block::default());
}

#[test]
fn what_is_known_of_a_block() {
    let codec = Codec2018::default();
    let facts = codec.facts(&golden(), &decoded()).unwrap();
    assert_eq!(facts.previous.unwrap().as_bytes(), b"previous");
    let ids: Vec<&[u8]> = facts.tx_ids.iter().map(TxId::as_bytes).collect();
    assert_eq!(ids, [b"txid".as_slice(), b"second"]);
    assert_eq!(facts.state_hash, b"state");
    // SHA-256 of nothing, a published vector, as text.
    let empty = codec.facts(b"", &proto::Block::default()).unwrap();
    let expected = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty.hash.as_bytes(), expected);
    assert_eq!((empty.previous, empty.tx_ids.len()), (None, 0));
    for (mut block, bytes) in [(decoded(), 0), (decoded(), 65)] {
        block.transactions[1].txid = "x".repeat(bytes);
        let refused = codec.facts(b"", &block).unwrap_err();
        assert!(
            matches!(refused, CodecError::TxId { position: 1, bytes: of } if of == bytes),
            "{refused:?}"
        );
    }
    let mut block = decoded();
    block.previous_block_hash = vec![b'0'; 65];
    let refused = codec.facts(b"", &block).unwrap_err();
    assert!(
        matches!(refused, CodecError::PreviousHash { bytes: 65 }),
        "{refused:?}"
    );
    let short = Codec2018 { block_bytes_max: 9 };
    assert!(short.decode(&golden()[..0]).is_ok());
    let refused = short.decode(&golden()).unwrap_err();
    assert!(
        matches!(refused, CodecError::TooLong { max: 9, .. }),
        "{refused:?}"
    );
}

/// So many times these bytes as a field of this number.
fn many(field: u64, value: &[u8], count: usize) -> Vec<u8> {
    bytes(field, value).repeat(count)
}

#[test]
fn a_block_of_nothing_but_empty_parts_is_refused_before_it_is_decoded() {
    let codec = Codec2018::default();
    let result = |inner: &[u8]| bytes(7, &bytes(2, inner));
    let hostile = [
        many(3, b"", 1 << 20),
        many(3, &number(1, 1), 1 << 18),
        many(6, b"", 1 << 20),
        bytes(7, &many(2, b"", 1 << 20)),
        result(&many(2, b"", 1 << 20)),
        [golden(), many(3, b"", 1 << 20), golden()].concat(),
        // Behind an unknown group, a field of each kind of number, and a repeated single field.
        [vec![0xa3, 6, 8, 1, 0xa4, 6], many(3, b"", 1 << 20)].concat(),
        [
            vec![0x51, 1, 2, 3, 4, 5, 6, 7, 8, 0x5d, 1, 2, 3, 4],
            many(3, b"", 1 << 20),
        ]
        .concat(),
        many(7, &many(2, b"", 1 << 10), 1 << 10),
    ];
    for (case, bytes) in hostile.iter().enumerate() {
        let refused = codec.decode(bytes);
        let is_refused = matches!(refused, Err(CodecError::TooManyParts { .. }));
        // Of these an endorsement takes no more than the factor.
        assert_eq!(is_refused, case != 2, "{case}");
    }
    // Strings of arguments take less than that as well.
    let arguments = bytes(3, &bytes(3, &bytes(2, &many(2, b"", 1 << 20))));
    assert_eq!(codec.decode(&arguments).unwrap().transactions.len(), 1);
    // Small transactions in great number are a block.
    let small = bytes(5, b"0123456789abcdef");
    let block = codec.decode(&many(3, &small, 50_000)).unwrap();
    assert_eq!(block.transactions.len(), 50_000);
    // A few empty ones are left to what is known of them.
    let few = codec.decode(&many(3, b"", 100)).unwrap();
    let refused = codec.facts(b"", &few).unwrap_err();
    assert!(
        matches!(
            refused,
            CodecError::TxId {
                position: 0,
                bytes: 0
            }
        ),
        "{refused:?}"
    );
}

/// Decodes bytes and, where they are a block, everything else that is done with one.
fn swallow(bytes: &[u8]) -> bool {
    let codec = Codec2018::default();
    let Ok(block) = codec.decode(bytes) else {
        return false;
    };
    let again = codec.encode(&block);
    assert!(
        codec.decode(&again).unwrap() == block,
        "what is decoded can be kept"
    );
    let _facts = codec.facts(bytes, &block);
    true
}

#[test]
fn no_bytes_make_a_panic() {
    println!("seed {SEED:#x}");
    let golden = golden();
    for len in 0..golden.len() {
        swallow(&golden[..len]);
    }
    for bit in 0..golden.len() * 8 {
        let mut flipped = golden.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        swallow(&flipped);
    }
    let mut dice = ChaCha8Rng::seed_from_u64(SEED ^ 0x70);
    let sample = random_chain(SEED ^ 0x71, 20);
    let mut decoded = 0;
    let rounds = scaled(200_000);
    for _ in 0..rounds {
        let mut bytes = sample[dice.random_range(0..sample.len())].bytes.clone();
        match dice.random_range(0..3) {
            0 => {
                let len = dice.random_range(0..60);
                bytes = (0..len).map(|_| dice.random()).collect();
            }
            1 => {
                for _ in 0..dice.random_range(1..4) {
                    let at = dice.random_range(0..bytes.len());
                    bytes[at] = dice.random();
                }
            }
            _ => {
                let at = dice.random_range(0..bytes.len());
                let len = dice.random_range(0..bytes.len() - at);
                bytes.drain(at..at + len);
            }
        }
        decoded += usize::from(swallow(&bytes));
    }
    println!("{decoded} of {rounds} were blocks");
    assert!(decoded > 0 && decoded < rounds);
}

#[test]
fn lengths_that_are_not_there_cost_no_memory() {
    // Fields that say that they are up to 2^63 bytes long, also within one another.
    for field in 2..=7 {
        for length in [100, 1 << 20, 1 << 31, 1 << 40, u64::MAX >> 1, u64::MAX] {
            let head = [varint(field << 3 | 2), varint(length)].concat();
            assert!(!swallow(&head));
            // The same within a transaction, and within its payload.
            let within = bytes(3, &head);
            assert!(!swallow(&within), "{field}, {length}");
            assert!(!swallow(&bytes(3, &within)), "{field}, {length}");
        }
    }
    // Groups in groups, which no message here has, end at a depth.
    assert!(!swallow(&vec![0x4b; 100_000]));
}
