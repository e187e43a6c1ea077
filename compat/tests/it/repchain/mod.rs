//! RepChain's block chapter on every engine: the acceptance criteria R-A1 to R-A6 and, for blocks,
//! R-A14, one file a subject; `BlockHelp` and the messages of 2018.
//!
//! Here: places for stores of one engine, chains of random blocks, and what is compared. Each
//! engine of the build is gone through; random blocks come from a seed that is printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod codec;
mod failing;
mod help;
mod power;
mod query;
mod rollback;
mod rollover;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain_store::{AnyStore, ContentDigest, EngineName, Opener, StoreUrl};
use compat::repchain::{Blocks, Options, Restored, proto};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Folder;
use sha2::{Digest, Sha256};
use storage_api::blocks::{Height, TxId};
use storage_api::{ChecksumSetting, Durability, KvStore};

const SEED: u64 = 0x5265_7043_6861_696e;

/// Runs a test on every engine of this build.
fn on_each_engine(mut test: impl FnMut(EngineName)) {
    println!("seed {SEED:#x}");
    for engine in EngineName::compiled() {
        println!("{engine}");
        test(engine);
    }
}

/// Small files, and nothing in advance, so that their lengths say what is in them.
fn options() -> Options {
    Options {
        file_bytes_max: 4_000,
        advance_bytes: 0,
        ..Options::for_system("testSystem")
    }
}

/// Without a sync of the store for each commit, for tests in which nothing is killed.
fn buffered() -> Options {
    Options {
        durability: Durability::Buffered,
        ..options()
    }
}

/// A place for a chain beside a store of one engine.
struct Place {
    engine: EngineName,
    dir: tempfile::TempDir,
    /// What is in memory lives as long as the place.
    memory: Option<Arc<AnyStore>>,
}

/// An open chain, and the store below it.
struct Open {
    store: Arc<AnyStore>,
    blocks: Blocks<AnyStore>,
}

impl Place {
    fn new(engine: EngineName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        Self {
            engine,
            dir,
            memory: None,
        }
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    fn store(&mut self) -> Arc<AnyStore> {
        if let Some(store) = &self.memory {
            return Arc::clone(store);
        }
        let url = match self.engine {
            EngineName::Mem => StoreUrl::Memory,
            engine => StoreUrl::Engine(engine, self.dir.path().join("store")),
        };
        let opener = Opener {
            schema: Blocks::<AnyStore>::schema(ChecksumSetting::None).unwrap(),
            ..Opener::default()
        };
        let store = Arc::new(opener.open(&url).unwrap().0);
        if self.engine == EngineName::Mem {
            self.memory = Some(Arc::clone(&store));
        }
        store
    }

    fn open(&mut self, options: &Options) -> Open {
        let store = self.store();
        let disk = Arc::new(Folder::new(&self.files()));
        let (blocks, _) = Blocks::open(Arc::clone(&store), disk, options).unwrap();
        Open { store, blocks }
    }
}

impl Open {
    fn digest(&self) -> ContentDigest {
        digest(&self.store)
    }

    fn height(&self) -> u64 {
        self.blocks.get_block_height().unwrap().get()
    }
}

/// Everything that is in the tables.
fn digest(store: &AnyStore) -> ContentDigest {
    let view = store.begin_read().unwrap();
    ContentDigest::compute(&view, store.catalogue(), &mut |_| {}).unwrap()
}

/// Everything that is in the files of a folder.
fn bytes_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let entries = entries.map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    });
    entries.collect()
}

/// A block as it should be found.
#[derive(Clone, Debug)]
struct Known {
    block: proto::Block,
    bytes: Vec<u8>,
    /// Its hash as text, made here once more.
    hash: String,
}

impl Known {
    fn new(block: proto::Block) -> Self {
        let bytes = block.encode_to_vec();
        let digest = Sha256::digest(&bytes);
        let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { block, bytes, hash }
    }

    fn tx_ids(&self) -> impl Iterator<Item = &str> {
        self.block
            .transactions
            .iter()
            .map(|transaction| transaction.txid.as_str())
    }
}

fn random_bytes(dice: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let len = dice.random_range(0..=most);
    (0..len).map(|_| dice.random()).collect()
}

fn random_transaction(dice: &mut ChaCha8Rng) -> proto::Transaction {
    let id: u128 = dice.random();
    proto::Transaction {
        r#type: proto::TransactionType::ChaincodeInvoke as i32,
        payload: dice.random_bool(0.7).then(|| proto::ChaincodeSpec {
            chaincode_id: Some(proto::ChaincodeId {
                path: String::new(),
                name: format!("chaincode {}", dice.random_range(0..5)),
            }),
            ctor_msg: Some(proto::ChaincodeInput {
                function: "transfer".to_owned(),
                args: vec![dice.random::<u32>().to_string(); 2],
            }),
            ..proto::ChaincodeSpec::default()
        }),
        txid: format!("{id:032x}"),
        timestamp: Some(proto::Timestamp {
            seconds: dice.random_range(0..1 << 40),
            nanos: dice.random_range(0..1_000_000_000),
        }),
        signature: random_bytes(dice, 70),
        ..proto::Transaction::default()
    }
}

/// A block that follows another one.
fn random_block(dice: &mut ChaCha8Rng, previous: &str) -> Known {
    let transactions = (0..dice.random_range(0..5)).map(|_| random_transaction(dice));
    let transactions: Vec<proto::Transaction> = transactions.collect();
    let results = transactions.iter().map(|one| proto::TransactionResult {
        txid: one.txid.clone(),
        ol: vec![proto::OperLog {
            key: format!("account {}", one.txid.len()),
            old_value: b"1".to_vec(),
            new_value: b"2".to_vec(),
        }],
        ..proto::TransactionResult::default()
    });
    let non_hash_data = proto::NonHashData {
        transaction_results: results.collect(),
        ..proto::NonHashData::default()
    };
    Known::new(proto::Block {
        version: 1,
        timestamp: Some(proto::Timestamp {
            seconds: dice.random_range(0..1 << 40),
            nanos: 0,
        }),
        state_hash: dice.random::<[u8; 32]>().to_vec(),
        previous_block_hash: previous.as_bytes().to_vec(),
        consensus_metadata: vec![proto::Endorsement {
            endorser: b"super_admin".to_vec(),
            signature: random_bytes(dice, 100),
        }],
        non_hash_data: Some(non_hash_data),
        transactions,
    })
}

/// A chain of so many random blocks.
fn random_chain(seed: u64, blocks: usize) -> Vec<Known> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut chain: Vec<Known> = Vec::with_capacity(blocks);
    for _ in 0..blocks {
        let previous = chain.last().map_or("", |last| last.hash.as_str());
        let block = random_block(&mut dice, previous);
        chain.push(block);
    }
    chain
}

fn restore(blocks: &Blocks<AnyStore>, chain: &[Known]) {
    let restored = blocks.restore_blocks_bytes(chain.iter().map(|block| &block.bytes));
    assert_eq!(restored.unwrap(), chain.len() as u64);
}

/// Restores blocks one by one, the first of which gets this height.
fn restore_singly(blocks: &Blocks<AnyStore>, first: u64, chain: &[Known]) {
    for (height, block) in (first..).zip(chain) {
        let restored = blocks.restore_block(&block.block).unwrap();
        assert_eq!(restored, Restored::Written(Height::new(height)));
    }
}

/// Compares a chain with what it must be, in every way to find a block.
fn compare<S: KvStore>(blocks: &Blocks<S>, chain: &[Known], context: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let txs: usize = chain.iter().map(|block| block.tx_ids().count()).sum();
    let info = blocks.get_block_chain_info().unwrap();
    let hash_at = |at: Option<&Known>| at.map_or(Vec::new(), |at| at.hash.clone().into_bytes());
    let expected = proto::BlockchainInfo {
        height: chain.len() as u64,
        total_transactions: txs as u64,
        current_block_hash: hash_at(chain.last()),
        previous_block_hash: hash_at(chain.iter().rev().nth(1)),
        current_world_state_hash: chain
            .last()
            .map_or(Vec::new(), |tip| tip.block.state_hash.clone()),
    };
    assert_eq!(info, expected, "{context}");
    assert_eq!(blocks.get_block_height().unwrap().get(), info.height);
    assert_eq!(blocks.get_block_all_tx_number().unwrap(), txs as u64);
    for (height, known) in (1..).zip(chain) {
        let height = Height::new(height);
        let context = format!("{context}: block {height}");
        let is_it = |found: Option<Vec<u8>>| {
            assert!(found.as_ref() == Some(&known.bytes), "{context}");
        };
        is_it(blocks.get_block_by_height(height).unwrap());
        is_it(blocks.get_block_by_hash(&known.hash).unwrap());
        let base64 = STANDARD.encode(&known.hash);
        is_it(blocks.get_block_by_base64_hash(&base64).unwrap());
        for tx_id in known.tx_ids() {
            is_it(blocks.get_block_by_tx_id(tx_id).unwrap());
        }
        let object = blocks.get_block4object_by_height(height).unwrap();
        assert!(object.as_ref() == Some(&known.block), "{context}");
        let entry = blocks.get_block_idx_by_hash(&known.hash).unwrap().unwrap();
        assert_eq!(entry.height, height, "{context}");
        assert_eq!(entry.block_bytes, known.bytes.len() as u64, "{context}");
        assert_eq!(entry.hash.as_bytes(), known.hash.as_bytes(), "{context}");
        let previous = entry.previous.map(|hash| hash.as_bytes().to_vec());
        assert_eq!(
            previous.unwrap_or_default(),
            known.block.previous_block_hash,
            "{context}"
        );
        let ids = entry.tx_ids.iter().map(TxId::as_bytes);
        assert!(ids.eq(known.tx_ids().map(str::as_bytes)), "{context}");
    }
    let beyond = Height::new(chain.len() as u64 + 1);
    assert!(blocks.get_block_by_height(beyond).unwrap().is_none());
    assert!(blocks.get_block_by_height(Height::ZERO).unwrap().is_none());
}
