//! Builds small valid blocks for the tests, piece by piece, independently of the decoder.
//!
//! Blocks are mined under regtest rules: eight zero bits for most, sixteen where a changed header
//! must fail its proof of work instead of passing it by luck.

use crate::bitcoin::{BtcHash, Network};
use sha2::{Digest, Sha256};

/// Eight zero bits; the search takes about 256 hashes.
pub(super) const EASY_BITS: u32 = 0x2000_ffff;
/// Sixteen zero bits; the search takes about 65,000 hashes.
pub(super) const HARD_BITS: u32 = 0x1f00_ffff;

/// The coinbase that mainnet, testnet3, signet and regtest begin with.
pub(super) const GENESIS_COINBASE: &str = "01000000010000000000000000000000000000000000000000000000\
000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63\
656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2\
052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4\
f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";

pub(super) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(super) fn twice(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// The root by recursion on halves, unlike the decoder's loop over levels.
pub(super) fn plain_root(hashes: &[[u8; 32]]) -> [u8; 32] {
    fn subtree(hashes: &[[u8; 32]], width: usize) -> [u8; 32] {
        if width == 1 {
            return hashes[0];
        }
        let half = width / 2;
        let left = subtree(&hashes[..hashes.len().min(half)], half);
        let right = if hashes.len() > half {
            subtree(&hashes[half..], half)
        } else {
            left
        };
        twice(&[left, right].concat())
    }
    subtree(hashes, hashes.len().next_power_of_two())
}

pub(super) fn compact(value: u64) -> Vec<u8> {
    match value {
        0..=0xfc => vec![value as u8],
        0xfd..=0xffff => [&[0xfd][..], &(value as u16).to_le_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[0xfe][..], &(value as u32).to_le_bytes()].concat(),
        _ => [&[0xff][..], &value.to_le_bytes()].concat(),
    }
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [compact(bytes.len() as u64), bytes.to_vec()].concat()
}

#[derive(Clone, Debug)]
pub(super) struct TestTx {
    pub(super) inputs: Vec<([u8; 32], u32, Vec<u8>)>,
    pub(super) outputs: Vec<(u64, Vec<u8>)>,
    /// One stack per input, or nothing for the plain form.
    pub(super) witnesses: Vec<Vec<Vec<u8>>>,
}

impl TestTx {
    pub(super) fn coinbase(script: &[u8]) -> Self {
        Self {
            inputs: vec![([0; 32], u32::MAX, script.to_vec())],
            outputs: vec![(50_0000_0000, vec![0x51])],
            witnesses: Vec::new(),
        }
    }

    pub(super) fn spend(tx_id: [u8; 32], vout: u32) -> Self {
        Self {
            inputs: vec![(tx_id, vout, vec![0x01, 0x02])],
            outputs: vec![(7, vec![0x51, 0x52]), (0, vec![0x6a, 0x01, 0xff])],
            witnesses: Vec::new(),
        }
    }

    fn core(&self) -> Vec<u8> {
        let mut out = compact(self.inputs.len() as u64);
        for (tx_id, vout, script) in &self.inputs {
            out.extend([&tx_id[..], &vout.to_le_bytes(), &blob(script), &[0xff; 4]].concat());
        }
        out.extend(compact(self.outputs.len() as u64));
        for (value, script) in &self.outputs {
            out.extend([&value.to_le_bytes()[..], &blob(script)].concat());
        }
        out
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0];
        if !self.witnesses.is_empty() {
            out.extend([0, 1]);
        }
        out.extend(self.core());
        for stack in &self.witnesses {
            out.extend(compact(stack.len() as u64));
            for item in stack {
                out.extend(blob(item));
            }
        }
        out.extend([0; 4]);
        out
    }

    pub(super) fn tx_id(&self) -> [u8; 32] {
        twice(&[&[2, 0, 0, 0][..], &self.core(), &[0; 4]].concat())
    }

    pub(super) fn witness_hash(&self) -> [u8; 32] {
        twice(&self.bytes())
    }
}

/// A mined block over transactions as bytes, with the root given.
pub(super) fn mine(parent: BtcHash, root: [u8; 32], transactions: &[Vec<u8>]) -> Vec<u8> {
    mine_at(EASY_BITS, parent, root, transactions)
}

pub(super) fn mine_at(
    bits: u32,
    parent: BtcHash,
    root: [u8; 32],
    transactions: &[Vec<u8>],
) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(0x2000_0000_u32.to_le_bytes());
    header.extend(parent.as_bytes());
    header.extend(root);
    header.extend(1_700_000_000_u32.to_le_bytes());
    header.extend(bits.to_le_bytes());
    header.extend([0; 4]);
    let zeros = if bits == EASY_BITS { &[0][..] } else { &[0, 0] };
    for nonce in 0_u32.. {
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        if twice(&header).ends_with(zeros) {
            break;
        }
    }
    header.extend(compact(transactions.len() as u64));
    header.extend(transactions.concat());
    header
}

pub(super) fn block(parent: BtcHash, transactions: &[TestTx]) -> Vec<u8> {
    block_at(EASY_BITS, parent, transactions)
}

pub(super) fn block_at(bits: u32, parent: BtcHash, transactions: &[TestTx]) -> Vec<u8> {
    let ids: Vec<_> = transactions.iter().map(TestTx::tx_id).collect();
    let bytes: Vec<_> = transactions.iter().map(TestTx::bytes).collect();
    mine_at(bits, parent, plain_root(&ids), &bytes)
}

/// A coinbase with a commitment to the witnesses of `rest`, and `rest` after it.
pub(super) fn committed(rest: Vec<TestTx>) -> Vec<TestTx> {
    let reserved = vec![7; 32];
    let mut hashes = vec![[0; 32]];
    hashes.extend(rest.iter().map(TestTx::witness_hash));
    let commitment = twice(&[&plain_root(&hashes)[..], &reserved].concat());
    let mut coinbase = TestTx::coinbase(&[0x01, 0x64]);
    let head = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    coinbase
        .outputs
        .push((0, [&head[..], &commitment].concat()));
    coinbase.witnesses = vec![vec![reserved]];
    [vec![coinbase], rest].concat()
}

/// A transaction with a witness.
pub(super) fn witness_spend() -> TestTx {
    let mut spend = TestTx::spend([9; 32], 3);
    spend.witnesses = vec![vec![vec![1, 2, 3], Vec::new()]];
    spend
}

pub(super) fn frame(network: Network, block: &[u8]) -> Vec<u8> {
    [
        &network.magic()[..],
        &(block.len() as u32).to_le_bytes(),
        block,
    ]
    .concat()
}

/// splitmix64: small, seeded, good enough to make bytes.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
