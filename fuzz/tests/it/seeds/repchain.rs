//! Blocks of RepChain by its own messages, and Protocol Buffers that are none of its blocks.

use compat::repchain::proto::{
    Block, ChaincodeSpec, Endorsement, Timestamp, Transaction, TransactionType,
};
use compat::repchain::{BlockCodec, Codec2018};

use super::{Seed, seed};

fn block() -> Block {
    let transaction = |number: i32| Transaction {
        r#type: TransactionType::ChaincodeInvoke.into(),
        txid: format!("transaction {number}"),
        payload: Some(ChaincodeSpec {
            timeout: number,
            code_package: vec![7; 20],
            ..ChaincodeSpec::default()
        }),
        timestamp: Some(Timestamp {
            seconds: -1,
            nanos: number,
        }),
        ..Transaction::default()
    };
    Block {
        version: 1,
        transactions: vec![transaction(1), transaction(2)],
        state_hash: vec![5; 32],
        previous_block_hash: vec![b'a'; 64],
        consensus_metadata: vec![Endorsement {
            endorser: vec![1; 8],
            signature: vec![2; 16],
        }],
        ..Block::default()
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let codec = Codec2018::default();
    let good = codec.encode(&block());
    let mut long = block();
    long.previous_block_hash = vec![b'a'; 65];
    let mut nameless = block();
    nameless.transactions[1].txid.clear();
    // Messages in messages, each of the field of a transaction and its payload.
    let mut nested = Vec::new();
    for _ in 0..100 {
        let length = nested.len() as u8 & 0x7f;
        nested.splice(0..0, [0x12, length]);
    }
    let cases = [
        ("good", good.clone()),
        ("empty", Vec::new()),
        ("cut", good[..good.len() - 3].to_vec()),
        ("twice", [&good[..], &good[..]].concat()),
        ("previous-hash-long", codec.encode(&long)),
        ("transaction-without-id", codec.encode(&nameless)),
        (
            "length-bomb",
            vec![0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2],
        ),
        (
            "number-without-end",
            vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("number-overlong", vec![0x08, 0x81, 0x80, 0x00]),
        (
            "unknown-field",
            [&good[..], &[0xfa, 0x01, 2, 1, 2]].concat(),
        ),
        ("group-without-end", vec![0x0b; 40]),
        ("empty-transactions", [0x12, 0].repeat(300)),
        ("nested", nested),
    ];
    cases
        .iter()
        .map(|(name, bytes)| seed("repchain_block", name, bytes))
        .collect()
}
