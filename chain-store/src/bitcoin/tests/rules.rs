//! The rules of blocks and transactions, each broken once in a block that is otherwise whole.

use super::builder::{
    TestTx, block, committed, mine, mine_at, plain_root, twice, unhex, witness_spend,
};
use crate::bitcoin::hash::merkle;
use crate::bitcoin::{Block, BtcHash, DecodeFault, Network, SATOSHI_MAX, Transaction};

fn fault_of(bytes: Vec<u8>) -> DecodeFault {
    Block::decode(bytes, Some(Network::Regtest))
        .unwrap_err()
        .fault
}

fn fault_in(transactions: &[TestTx]) -> DecodeFault {
    fault_of(block(BtcHash::ZERO, transactions))
}

fn coinbase() -> TestTx {
    TestTx::coinbase(&[0x01, 0x64])
}

#[test]
fn a_built_block_is_taken_whole() {
    let spend = TestTx::spend([3; 32], 9);
    let bytes = block(BtcHash::from_bytes([5; 32]), &[coinbase(), spend.clone()]);
    let block = Block::decode(bytes.clone(), Some(Network::Regtest)).unwrap();
    assert_eq!(block.parent(), BtcHash::from_bytes([5; 32]));
    assert_eq!(block.hash().to_bytes(), twice(&bytes[..80]));
    assert_eq!(block.coinbase_height(), Some(100));
    assert!(!block.is_genesis());
    let transactions: Vec<_> = block.transactions().collect();
    assert_eq!(transactions[1].tx_id().to_bytes(), spend.tx_id());
    let inputs: Vec<_> = transactions[1].inputs().collect();
    assert_eq!(inputs.len(), 1);
    assert_eq!(inputs[0].previous.tx_id.to_bytes(), [3; 32]);
    assert_eq!((inputs[0].previous.vout, inputs[0].sequence), (9, u32::MAX));
    assert_eq!(inputs[0].script, [1, 2]);
    let outputs: Vec<_> = transactions[1].outputs().collect();
    assert_eq!(
        outputs
            .iter()
            .map(|o| (o.index, o.value.0))
            .collect::<Vec<_>>(),
        [(0, 7), (1, 0)]
    );
    assert!(!outputs[0].is_unspendable() && outputs[1].is_unspendable());
    assert!(std::ptr::addr_eq(
        outputs[0].script.as_ptr(),
        block.bytes()[transactions[1].offset()..][outputs_at(&spend)..].as_ptr()
    ));
    assert_eq!(block.into_bytes(), bytes);
}

/// Offset of the first output's script in a plain transaction of one input.
fn outputs_at(spend: &TestTx) -> usize {
    4 + 1 + 36 + 1 + spend.inputs[0].2.len() + 4 + 1 + 8 + 1
}

#[test]
fn witnesses_are_bound_by_the_commitment() {
    let transactions = committed(vec![witness_spend(), TestTx::spend([8; 32], 1)]);
    let good = block(BtcHash::ZERO, &transactions);
    let decoded = Block::decode(good, Some(Network::Regtest)).unwrap();
    let witnesses: Vec<_> = decoded.transactions().map(|tx| tx.has_witness()).collect();
    assert_eq!(witnesses, [true, true, false]);
    for (found, made) in decoded.transactions().zip(&transactions) {
        assert_eq!(found.tx_id().to_bytes(), made.tx_id());
        assert_eq!(found.bytes(), made.bytes());
    }

    let mut changed = transactions.clone();
    changed[1].witnesses[0][0][1] ^= 1;
    assert!(matches!(fault_in(&changed), DecodeFault::Commitment { .. }));

    let mut reserved = transactions.clone();
    reserved[0].witnesses[0][0][31] ^= 1;
    assert!(matches!(
        fault_in(&reserved),
        DecodeFault::Commitment { .. }
    ));
    reserved[0].witnesses[0][0].pop();
    assert_eq!(fault_in(&reserved), DecodeFault::ReservedValue);
    reserved[0].witnesses[0] = vec![vec![7; 32], vec![7; 32]];
    assert_eq!(fault_in(&reserved), DecodeFault::ReservedValue);
    reserved[0].witnesses.clear();
    assert_eq!(fault_in(&reserved), DecodeFault::ReservedValue);

    let mut bare = transactions.clone();
    bare[0].outputs.pop();
    assert_eq!(fault_in(&bare), DecodeFault::CommitmentMissing);

    // The last output that looks like a commitment counts, not the first.
    let mut two = transactions.clone();
    let mut wrong = two[0].outputs[1].clone();
    wrong.1[6] ^= 1;
    two[0].outputs.push(wrong.clone());
    assert!(matches!(fault_in(&two), DecodeFault::Commitment { .. }));
    two[0].outputs.swap(1, 2);
    Block::decode(block(BtcHash::ZERO, &two), None).unwrap();

    // Without any witness there is nothing to hold against the commitment.
    let mut stripped = transactions;
    stripped.iter_mut().for_each(|tx| tx.witnesses.clear());
    Block::decode(block(BtcHash::ZERO, &stripped), None).unwrap();
}

#[test]
fn coinbases_stand_first_and_only_first() {
    let spend = TestTx::spend([3; 32], 9);
    let second = TestTx::coinbase(&[1, 2, 3]);
    assert!(matches!(
        fault_in(std::slice::from_ref(&spend)),
        DecodeFault::CoinbaseMissing { .. }
    ));
    assert!(matches!(
        fault_in(&[coinbase(), spend.clone(), second]),
        DecodeFault::CoinbaseMisplaced { index: 2, .. }
    ));
    for length_bytes in [0, 1, 101] {
        let script = vec![1; length_bytes];
        assert_eq!(
            fault_in(&[TestTx::coinbase(&script)]),
            DecodeFault::CoinbaseScript { length_bytes }
        );
    }
    let mut mixed = spend;
    mixed.inputs.push(([0; 32], u32::MAX, vec![1, 2]));
    assert_eq!(fault_in(&[coinbase(), mixed]), DecodeFault::NullOutPoint);
    assert_eq!(
        fault_of(mine(BtcHash::ZERO, [0; 32], &[])),
        DecodeFault::NoTransactions
    );
}

#[test]
fn values_and_their_sums_stay_in_range() {
    for values in [vec![SATOSHI_MAX], vec![SATOSHI_MAX - 1, 1]] {
        let mut rich = coinbase();
        rich.outputs = values
            .into_iter()
            .map(|value| (value, vec![0x51]))
            .collect();
        Block::decode(block(BtcHash::ZERO, &[rich]), None).unwrap();
    }
    for (values, satoshi) in [
        (vec![SATOSHI_MAX + 1], SATOSHI_MAX + 1),
        (vec![u64::MAX], u64::MAX),
        (vec![1, SATOSHI_MAX], SATOSHI_MAX + 1),
        (vec![SATOSHI_MAX, SATOSHI_MAX], 2 * SATOSHI_MAX),
    ] {
        let mut rich = coinbase();
        rich.outputs = values
            .into_iter()
            .map(|value| (value, vec![0x51]))
            .collect();
        assert_eq!(fault_in(&[rich]), DecodeFault::Value { satoshi });
    }
}

#[test]
fn the_forms_of_a_transaction_are_checked() {
    let fault = |tx: &TestTx| Transaction::decode(&tx.bytes()).unwrap_err().fault;
    let mut spend = witness_spend();
    spend.witnesses = vec![vec![]];
    assert_eq!(fault(&spend), DecodeFault::EmptyWitness);
    spend.witnesses = vec![vec![vec![]]];
    assert!(Transaction::decode(&spend.bytes()).unwrap().has_witness());
    spend.outputs.clear();
    assert_eq!(fault(&spend), DecodeFault::NoOutputs);
    spend.inputs.clear();
    spend.witnesses = vec![vec![vec![1]]];
    assert!(matches!(fault(&spend), DecodeFault::NoInputs));

    let mut flagged = witness_spend().bytes();
    for flag in [0, 2, 0xff] {
        flagged[5] = flag;
        let error = Transaction::decode(&flagged).unwrap_err();
        assert_eq!((error.offset, error.fault), (5, DecodeFault::Flag { flag }));
    }
    let mut long = TestTx::spend([1; 32], 0).bytes();
    long.push(0);
    let error = Transaction::decode(&long).unwrap_err();
    assert_eq!(error.fault, DecodeFault::TrailingBytes { count_bytes: 1 });
    assert_eq!(error.offset, long.len() - 1);
}

#[test]
fn counts_and_lengths_are_held_against_what_is_left() {
    let tx = TestTx::spend([1; 32], 0).bytes();
    // Offsets of the input count, the input script's length, the output count, an output's length.
    for (at, is_count) in [(4, true), (41, false), (48, true), (57, false)] {
        for bomb in ["fdffff", "feffffffff", "ffffffffffffffffff"] {
            let bytes = [&tx[..at], &unhex(bomb), &tx[at + 1..]].concat();
            let fault = Transaction::decode(&bytes).unwrap_err().fault;
            match fault {
                DecodeFault::Count { .. } => assert!(is_count, "{at} {bomb}"),
                DecodeFault::Truncated { .. } => assert!(!is_count, "{at} {bomb}"),
                other => panic!("{at} {bomb}: {other}"),
            }
        }
        let small = tx[at];
        let bytes = [&tx[..at], &[0xfd, small, 0], &tx[at + 1..]].concat();
        let error = Transaction::decode(&bytes).unwrap_err();
        let DecodeFault::NonMinimal { value, .. } = error.fault else {
            panic!("{at}: {error}")
        };
        assert_eq!(value, u64::from(small));
        assert_eq!(error.offset, at);
    }
    let whole = block(BtcHash::ZERO, &[coinbase()]);
    let bomb = [&whole[..80], &unhex("ffffffffffffffff7f"), &whole[81..]].concat();
    assert!(matches!(fault_of(bomb), DecodeFault::Count { .. }));
}

#[test]
fn a_list_that_repeats_its_end_is_refused() {
    let list: Vec<_> = [
        vec![coinbase()],
        (0..5).map(|n| TestTx::spend([n; 32], 4)).collect(),
    ]
    .concat();
    let ids: Vec<_> = list.iter().map(TestTx::tx_id).collect();
    let bytes: Vec<_> = list.iter().map(TestTx::bytes).collect();
    for (count, repeated) in [(3, 1), (5, 1), (6, 2)] {
        let root = plain_root(&ids[..count]);
        Block::decode(mine(BtcHash::ZERO, root, &bytes[..count]), None).unwrap();
        let again = [&bytes[..count], &bytes[count - repeated..count]].concat();
        assert_eq!(
            fault_of(mine(BtcHash::ZERO, root, &again)),
            DecodeFault::Mutated,
            "{count} and {repeated} again"
        );
    }
}

#[test]
fn roots_agree_with_a_recursive_model() {
    let hashes: Vec<[u8; 32]> = (0..70_u8).map(|n| twice(&[n])).collect();
    for count in 1..=hashes.len() {
        let root = merkle::root(hashes[..count].to_vec());
        assert_eq!(
            root.hash.to_bytes(),
            plain_root(&hashes[..count]),
            "{count}"
        );
        assert!(!root.mutated);
    }
    assert_eq!(merkle::root(Vec::new()).hash, BtcHash::ZERO);
}

#[test]
fn the_easiest_target_depends_on_the_network() {
    let bytes = block(BtcHash::ZERO, &[coinbase()]);
    Block::decode(bytes.clone(), None).unwrap();
    let error = Block::decode(bytes, Some(Network::Mainnet)).unwrap_err();
    assert!(matches!(error.fault, DecodeFault::Target { .. }));
    assert_eq!(error.offset, 72);
    // A target of 31 zero bits is not met by sixteen.
    let ids = [coinbase().tx_id()];
    let weak = mine_at(0x1d00_ffff, BtcHash::ZERO, ids[0], &[coinbase().bytes()]);
    let error = Block::decode(weak, Some(Network::Mainnet)).unwrap_err();
    assert!(matches!(
        error.fault,
        DecodeFault::Work {
            bits: 0x1d00_ffff,
            ..
        }
    ));
}
