//! The ordered trie against a plain one over sorted keys, and against known roots.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use super::trie::ordered_root;
use super::{decode_block, keccak};
use crate::error::{Fault, Hash};
use crate::rlp;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nibbles(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

fn compact(path: &[u8], leaf: bool) -> Vec<u8> {
    let mut padded = vec![if leaf { 2 } else { 0 } + (path.len() % 2) as u8];
    if path.len().is_multiple_of(2) {
        padded.push(0);
    }
    padded.extend_from_slice(path);
    padded.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// The node over sorted pairs, as the Yellow Paper defines it.
fn plain_node(pairs: &[(Vec<u8>, Vec<u8>)], depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, value) = &pairs[0];
    if let [_] = pairs {
        rlp::put_list(&mut out, |out| {
            rlp::put_bytes(out, &compact(&first[depth..], true));
            rlp::put_bytes(out, value);
        });
        return out;
    }
    let same = |at: &usize| pairs.iter().all(|(key, _)| key.get(*at) == first.get(*at));
    let shared = (depth..first.len()).take_while(same).count();
    rlp::put_list(&mut out, |out| {
        if shared > 0 {
            rlp::put_bytes(out, &compact(&first[depth..depth + shared], false));
            put_child(out, &plain_node(pairs, depth + shared));
            return;
        }
        for nibble in 0..16 {
            let below: Vec<_> = pairs
                .iter()
                .filter(|(key, _)| key[depth] == nibble)
                .cloned()
                .collect();
            if below.is_empty() {
                out.push(0x80);
            } else {
                put_child(out, &plain_node(&below, depth + 1));
            }
        }
        out.push(0x80);
    });
    out
}

fn put_child(out: &mut Vec<u8>, node: &[u8]) {
    if node.len() < 32 {
        out.extend_from_slice(node);
    } else {
        rlp::put_bytes(out, &keccak(node));
    }
}

fn plain_root(values: &[Vec<u8>]) -> Hash {
    let mut pairs: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(number, value)| {
            let mut key = Vec::new();
            rlp::put_uint(&mut key, number as u64);
            (nibbles(&key), value.clone())
        })
        .collect();
    pairs.sort();
    keccak(&plain_node(&pairs, 0))
}

fn root(values: &[Vec<u8>]) -> Hash {
    ordered_root(values.len(), |at| Ok(values[at].as_slice())).unwrap()
}

#[test]
fn ordered_trie_equals_a_plain_one() {
    // Values from one byte, which stay inside their branch, to some that are hashed.
    for length in [1, 2, 20, 31, 40, 300] {
        for count in (1..20).chain(126..132).chain([200, 255, 256, 257, 300]) {
            let values: Vec<Vec<u8>> = (0..count)
                .map(|number: usize| vec![(number * 7 + length) as u8; length])
                .collect();
            assert_eq!(
                root(&values),
                plain_root(&values),
                "{count} values of {length} bytes"
            );
        }
    }
}

#[test]
fn ordered_trie_beyond_two_bytes() {
    let values: Vec<Vec<u8>> = (0..66_000_u32)
        .map(|at| at.to_be_bytes().to_vec())
        .collect();
    assert_eq!(root(&values), plain_root(&values));
}

#[test]
fn known_hashes() {
    // Keccak-256 of nothing, and the root of an empty trie, as every client has them.
    assert_eq!(
        hex(&keccak(b"")),
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    );
    assert_eq!(
        hex(&root(&[])),
        "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    );
}

#[test]
fn errors_of_values_come_out() {
    let failing = ordered_root(2, |_| Err(Fault::NotCanonical { what: "value" }));
    assert!(matches!(
        failing,
        Err(Fault::NotCanonical { what: "value" })
    ));
}

#[test]
fn too_many_items_are_refused() {
    // Empty lists are one byte each: far below what a transaction takes.
    let mut tx_ids = Vec::new();
    let mut list = Vec::new();
    rlp::put_list(&mut list, |out| out.resize(1000, 0xc0));
    let list = rlp::Item::whole(&list, "list").unwrap();
    let counted = super::root_of(list, "transaction", |item| tx_ids.push(keccak(item)));
    assert!(matches!(counted, Err(Fault::OverLimit { limit: 32, .. })));
    assert_eq!(tx_ids.len(), 32);
    assert!(decode_block(&[0xc0], &mut tx_ids).is_err());
}
