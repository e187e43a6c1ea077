//! The node of the demonstration: blocks and balances in one store, one commit a block.
//!
//! Invariants: a block, its index and the balances it changes are one durable commit; a transfer
//! that an account cannot pay is refused and nothing of its block is stored; money is neither made
//! nor lost.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chain_store::storage_api::{
    ChecksumSetting, Cursor, Durability, KeyRange, KvStore, OpenOptions, Reader, Schema, TableDef,
    TableId, WriteTxn, Writer,
};
use chain_store::{AnyStore, AnyWriteTxn, Opener, StoreUrl};
use storage_api::blocks::{BlockRef, BlockStore, BlockTotals, KvBlocks, NewBlock, TxPlace};

use super::chain::{self, ACCOUNTS, Block, Chain, FIRST_BALANCE};
use crate::exit::Stop;
use crate::metrics::{self, Watching};
use crate::store;

/// Account to balance.
const BALANCES: TableDef = TableDef::new("demo.accounts").point_lookups();

/// Blocks and balances over one store.
#[derive(Debug)]
pub(super) struct Node {
    // Drops first, so that the store closes when the node drops.
    _watching: Watching,
    store: Arc<AnyStore>,
    blocks: KvBlocks,
    balances: TableId,
}

/// Time and number of reads of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) count: u64,
    pub(super) took: Duration,
}

/// Reads of all kinds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadBack {
    pub(super) by_height: Reads,
    pub(super) by_hash: Reads,
    pub(super) by_transaction: Reads,
}

impl Reads {
    fn add(&mut self, count: usize, begun: Instant) {
        self.count += count as u64;
        self.took += begun.elapsed();
    }
}

fn different(what: String) -> anyhow::Error {
    Stop::Different(what).into()
}

fn balance(value: &[u8]) -> Result<u64> {
    let bytes = value.try_into();
    let bytes = bytes.map_err(|_| different(format!("a balance of {} bytes", value.len())))?;
    Ok(u64::from_le_bytes(bytes))
}

impl Node {
    /// Opens or makes the store.
    pub(super) fn open(url: &StoreUrl) -> Result<Self> {
        let mut schema = KvBlocks::schema(ChecksumSetting::None)?;
        schema.merge(&Schema::new([&BALANCES])?)?;
        let opener = Opener {
            schema,
            options: store::with_budget(OpenOptions::new()),
            ..Opener::default()
        };
        let store = Arc::new(opener.open(url)?.0);
        Ok(Self {
            _watching: metrics::watch(&url.to_string(), &store),
            blocks: KvBlocks::resolve(store.catalogue())?,
            balances: store.catalogue().id(BALANCES.name())?,
            store,
        })
    }

    /// The store below.
    pub(super) fn store(&self) -> &AnyStore {
        &self.store
    }

    /// Stores one block: everything of it in one durable commit.
    pub(super) fn put_block(&self, block: &Block) -> Result<()> {
        let transfers = chain::transfers(&block.body)?;
        let staged = self.blocks.stage(NewBlock {
            height: block.height,
            hash: block.hash,
            parent: block.parent,
            tx_ids: &block.tx_ids,
            body: &block.body,
        })?;
        let mut txn = self.store.begin_write()?;
        self.blocks.append(&mut txn, staged)?;
        if block.height.get() == 0 {
            for account in 0..ACCOUNTS {
                self.set_balance(&mut txn, account, FIRST_BALANCE)?;
            }
        }
        for transfer in transfers {
            let from = self.balance_of(&txn, transfer.from)?;
            let left = from.checked_sub(transfer.amount).ok_or_else(|| {
                let (account, amount) = (transfer.from, transfer.amount);
                different(format!("account {account} has {from}, not {amount}"))
            })?;
            self.set_balance(&mut txn, transfer.from, left)?;
            let to = self.balance_of(&txn, transfer.to)?;
            self.set_balance(&mut txn, transfer.to, to.saturating_add(transfer.amount))?;
        }
        txn.commit(Durability::Durable)?;
        Ok(())
    }

    fn balance_of<R: Reader>(&self, reader: &R, account: u32) -> Result<u64> {
        let value = reader.get(self.balances, &account.to_be_bytes())?;
        balance(&value.ok_or_else(|| different(format!("account {account} is not stored")))?)
    }

    fn set_balance(&self, txn: &mut AnyWriteTxn<'_>, account: u32, balance: u64) -> Result<()> {
        Ok(txn.put(
            self.balances,
            &account.to_be_bytes(),
            &balance.to_le_bytes(),
        )?)
    }

    /// Checks that the tip is this block and that all money is there.
    pub(super) fn check(&self, tip: BlockRef, totals: BlockTotals) -> Result<()> {
        let view = self.store.begin_read()?;
        let found = self.blocks.tip(&view)?;
        ensure!(
            found == Some(tip),
            different(format!("the tip is {found:?}, {tip:?} was committed"))
        );
        let found = self.blocks.totals(&view)?;
        ensure!(
            found == totals,
            different(format!("{found:?} is stored, {totals:?} was committed"))
        );
        let (mut accounts, mut money) = (0, 0u64);
        let mut cursor = view.cursor(self.balances, KeyRange::all())?;
        while let Some(row) = cursor.next()? {
            accounts += 1;
            money = money.saturating_add(balance(row.value)?);
        }
        let all = FIRST_BALANCE * u64::from(ACCOUNTS);
        ensure!(
            (accounts, money) == (ACCOUNTS, all),
            different(format!(
                "{accounts} accounts own {money}, not {ACCOUNTS} and {all}"
            ))
        );
        Ok(())
    }

    /// Reads so many blocks back by height, by hash and by every transaction, and compares each
    /// with what the chain says.
    pub(super) fn read_back(
        &self,
        mut chain: Chain,
        blocks: u64,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ReadBack> {
        let view = self.store.begin_read()?;
        let mut reads = ReadBack::default();
        for done in 0..blocks {
            let block = chain.next_block()?;
            let wrong = |how: &str| different(format!("block {} differs {how}", block.height));

            let begun = Instant::now();
            let info = self.blocks.info(&view, block.height)?;
            let same = self.same_body(&view, &block)?;
            reads.by_height.add(1, begun);
            let info = info.filter(|info| info.hash == block.hash && info.parent == block.parent);
            ensure!(same && info.is_some(), wrong("by height"));

            let begun = Instant::now();
            let height = self.blocks.height_of(&view, &block.hash)?;
            let same = self.same_body(&view, &block)?;
            reads.by_hash.add(1, begun);
            ensure!(same && height == Some(block.height), wrong("by hash"));

            let begun = Instant::now();
            for (position, tx_id) in (0u32..).zip(&block.tx_ids) {
                let expected = TxPlace {
                    height: block.height,
                    position,
                };
                let place = self.blocks.tx_place(&view, tx_id)?;
                ensure!(place == Some(expected), wrong("by transaction"));
            }
            reads.by_transaction.add(block.tx_ids.len(), begun);
            if progress(done + 1).is_break() {
                return Err(Stop::Interrupted("interrupted".to_owned()).into());
            }
        }
        Ok(reads)
    }

    fn same_body<R: Reader>(&self, view: &R, block: &Block) -> Result<bool> {
        let mut same = false;
        self.blocks
            .with_body(view, block.height, &mut |body| same = body == block.body)?;
        Ok(same)
    }
}
