//! Blocks in the caller's transaction: found in every way, cut at both ends, one commit with
//! everything else, compared with a plain list of blocks.

use std::ops::ControlFlow;

use storage_api::blocks::{BlockError, BlockQuery, BlockResult, BlockTotals, Height};
use storage_api::{KeyRange, TableId};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::chain::{BlockWrite, Blocks, ModelChain, OwnedBlock, Step, hash_of, tx_of};
use crate::lab::Lab;
use crate::ops::{Dice, scaled};

/// Appends the blocks, ten in a commit.
fn append_all(s: &dyn Blocks, blocks: &[OwnedBlock]) -> CaseResult {
    for part in blocks.chunks(10) {
        let mut txn = s.write()?;
        for block in part {
            txn.append(block.borrowed())?;
        }
        txn.commit()?;
    }
    Ok(())
}

/// Runs one change in a transaction of its own.
fn change(
    s: &dyn Blocks,
    change: impl FnOnce(&mut dyn BlockWrite) -> BlockResult<()>,
) -> CaseResult {
    let mut txn = s.write()?;
    change(&mut *txn)?;
    Ok(txn.commit()?)
}

/// A lab with a chain of blocks in it, and the chain.
fn grown(lab: &Lab, name: &str, count: usize) -> Result<(Box<dyn Blocks>, ModelChain), CaseError> {
    let s = lab.open_blocks()?;
    let chain = ModelChain::grown(count, &mut Dice::of(name))?;
    append_all(&*s, &chain.blocks)?;
    Ok((s, chain))
}

pub(crate) fn a_new_store_has_no_block(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let nothing = ModelChain::default();
    nothing.is_seen_by(&*s.read()?, "a view of a new store")?;
    nothing.is_seen_by(&*s.write()?, "a transaction of a new store")?;
    let view = s.read()?;
    ensure_eq!(view.info(Height::ZERO)?, None, "a block of height 0");
    ensure_eq!(
        view.height_of(&hash_of(1, 32)?)?,
        None,
        "the height of an unknown hash"
    );
    ensure_eq!(
        view.tx_place(&tx_of(1)?)?,
        None,
        "the place of an unknown transaction"
    );
    ensure!(
        !view.with_body(Height::ZERO, &mut |_| ())?,
        "a body of no block"
    );
    Ok(())
}

pub(crate) fn blocks_are_found_in_every_way(lab: &Lab) -> CaseResult {
    let (s, chain) = grown(lab, "blocks_are_found_in_every_way", 30)?;
    chain.is_seen_by(&*s.read()?, "a view")?;
    chain.is_seen_by(&*s.write()?, "a transaction")?;
    let block = &chain.blocks[7];
    let mut lent = Vec::new();
    let found = s
        .read()?
        .with_body(block.height, &mut |body| lent.push(body.to_vec()))?;
    ensure!(
        found && lent == [block.body.clone()],
        "with_body lends something else"
    );
    Ok(())
}

pub(crate) fn the_first_block_may_have_any_height(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    for height in [0, 1, 800_000, u64::MAX / 2] {
        let block = OwnedBlock::new(height, 1, hash_of(7, 32)?, &[1, 2], b"body")?;
        change(&*s, |txn| txn.append(block.borrowed()).map(|_| ()))?;
        let chain = ModelChain {
            blocks: vec![block],
        };
        chain.is_seen_by(&*s.read()?, &format!("a first block of height {height}"))?;
        change(&*s, |txn| txn.truncate(None))?;
        ModelChain::default().is_seen_by(&*s.read()?, "after taking it away")?;
    }
    Ok(())
}

fn refused<T>(result: BlockResult<T>, what: &str) -> Result<BlockError, CaseError> {
    result
        .err()
        .ok_or_else(|| CaseError::failed(format!("{what} was not refused")))
}

pub(crate) fn blocks_follow_the_tip(lab: &Lab) -> CaseResult {
    let (s, chain) = grown(lab, "blocks_follow_the_tip", 3)?;
    let tip = &chain.blocks[2];
    let good = chain.next(1, &mut Dice::of("the next"))?;
    let at = |height: u64, parent| OwnedBlock::new(height, 9, parent, &[50], b"x");
    let mut txn = s.write()?;
    for height in [0, 100, 101, 102, 104, 200] {
        let error = refused(
            txn.append(at(height, tip.hash)?.borrowed()),
            "a wrong height",
        )?;
        let right = matches!(error, BlockError::HeightMismatch { expected, found }
            if expected == Height::new(103) && found == Height::new(height));
        ensure!(right, "height {height}: found {error:?}");
    }
    for parent in [chain.blocks[1].hash, hash_of(5, 32)?, hash_of(5, 1)?] {
        let error = refused(txn.append(at(103, parent)?.borrowed()), "a wrong parent")?;
        let right = matches!(&error, BlockError::ParentMismatch { expected, found, .. }
            if **expected == tip.hash && **found == parent);
        ensure!(right, "a wrong parent: found {error:?}");
    }
    chain.is_seen_by(&*txn, "after refusals, inside")?;
    txn.append(good.borrowed())?;
    txn.commit()?;
    let mut grown = chain;
    grown.blocks.push(good);
    grown.is_seen_by(&*s.read()?, "after the right block")
}

pub(crate) fn a_hash_stands_for_one_block(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "a_hash_stands_for_one_block", 4)?;
    let mut next = chain.next(1, &mut Dice::of("the next"))?;
    let own = next.hash;
    for stored in [0, 1, 3] {
        next.hash = chain.blocks[stored].hash;
        let mut txn = s.write()?;
        let error = refused(txn.append(next.borrowed()), "a hash that is stored")?;
        let right = matches!(&error, BlockError::DuplicateHash { hash, height }
            if **hash == next.hash && *height == chain.blocks[stored].height);
        ensure!(right, "found {error:?}");
        chain.is_seen_by(&*txn, "after the refusal")?;
        txn.commit()?;
    }
    next.hash = own;
    change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
    chain.blocks.push(next);
    chain.is_seen_by(&*s.read()?, "after the block under its own hash")
}

fn row(s: &dyn Blocks, table: TableId) -> Result<Option<Vec<u8>>, CaseError> {
    Ok(s.store().begin_read()?.get(table, b"state")?)
}

pub(crate) fn a_block_and_its_rows_are_one_commit(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "a_block_and_its_rows_are_one_commit", 3)?;
    let table = s.store().catalogue().id("a")?;
    let next = chain.next(1, &mut Dice::of("the next"))?;
    for commits in [false, true] {
        let before = s.store().stats()?.commit_seq;
        let mut txn = s.write()?;
        txn.append(next.borrowed())?;
        txn.put(table, b"state", b"after the block")?;
        let mut inside = chain.clone();
        inside.blocks.push(next.clone());
        inside.is_seen_by(&*txn, "inside the transaction")?;
        chain.is_seen_by(&*s.read()?, "a view beside the transaction")?;
        ensure_eq!(row(&*s, table)?, None, "the row beside the transaction");
        if commits {
            txn.commit()?;
            chain = inside;
            ensure_eq!(
                s.store().stats()?.commit_seq,
                before.next(),
                "commits for one block"
            );
        } else {
            txn.abort()?;
        }
        chain.is_seen_by(&*s.read()?, "after the transaction")?;
        let expected = commits.then(|| b"after the block".to_vec());
        ensure_eq!(row(&*s, table)?, expected, "the row after the transaction");
    }
    Ok(())
}

pub(crate) fn a_rollback_takes_a_block_back(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "a_rollback_takes_a_block_back", 5)?;
    let mut dice = Dice::of("branches");
    let mut txn = s.write()?;
    let mark = txn.savepoint()?;
    for branch in 2..5 {
        let mut tried = chain.clone();
        for _ in 0..3 {
            let block = tried.next(branch, &mut dice)?;
            txn.append(block.borrowed())?;
            tried.blocks.push(block);
        }
        tried.is_seen_by(&*txn, "a branch on trial")?;
        txn.rollback_to(mark)?;
        chain.is_seen_by(&*txn, "after rolling it back")?;
    }
    let block = chain.next(9, &mut dice)?;
    txn.append(block.borrowed())?;
    txn.commit()?;
    chain.blocks.push(block);
    chain.is_seen_by(&*s.read()?, "after the commit")
}

pub(crate) fn a_transaction_twice_gives_its_newest_place(lab: &Lab) -> CaseResult {
    // As in Bitcoin before BIP 30: one transaction id in two blocks, and here also twice in one.
    let s = lab.open_blocks()?;
    let mut chain = ModelChain::default();
    let carried: [&[u64]; 5] = [&[1, 2, 3], &[4, 1], &[], &[1, 5, 1], &[2]];
    for (at, txs) in (0u64..).zip(carried) {
        let parent = chain.blocks.last().map_or(hash_of(0, 32)?, |tip| tip.hash);
        let block = OwnedBlock::new(10 + at, 1, parent, txs, b"body")?;
        change(&*s, |txn| txn.append(block.borrowed()).map(|_| ()))?;
        chain.blocks.push(block);
        chain.is_seen_by(&*s.read()?, &format!("with {} blocks", at + 1))?;
    }
    for tip in [13, 12, 11, 10] {
        let tip = Some(Height::new(tip));
        change(&*s, |txn| txn.truncate(tip))?;
        chain.truncate(tip);
        chain.is_seen_by(&*s.read()?, &format!("cut back to {tip:?}"))?;
    }
    Ok(())
}

pub(crate) fn truncation_cuts_at_the_tip(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "truncation_cuts_at_the_tip", 20)?;
    for tip in [119, 118, 110, 110, 101, 100] {
        let tip = Some(Height::new(tip));
        change(&*s, |txn| txn.truncate(tip))?;
        chain.truncate(tip);
        chain.is_seen_by(&*s.read()?, &format!("cut back to {tip:?}"))?;
    }
    change(&*s, |txn| txn.truncate(None))?;
    ModelChain::default().is_seen_by(&*s.read()?, "cut back to nothing")?;
    let again = ModelChain::grown(5, &mut Dice::of("again"))?;
    append_all(&*s, &again.blocks)?;
    again.is_seen_by(&*s.read()?, "begun anew")
}

pub(crate) fn pruning_cuts_at_the_tail(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "pruning_cuts_at_the_tail", 20)?;
    let mut dice = Dice::of("after pruning");
    for tail in [100, 101, 105, 105, 118] {
        change(&*s, |txn| txn.prune(Height::new(tail)))?;
        chain.prune(Height::new(tail));
        chain.is_seen_by(&*s.read()?, &format!("pruned up to {tail}"))?;
        let next = chain.next(1, &mut dice)?;
        change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
        chain.blocks.push(next);
    }
    let tip = chain.blocks.last().map(|block| block.height);
    let tip = tip.ok_or_else(|| CaseError::failed("the chain is empty"))?;
    change(&*s, |txn| txn.prune(tip))?;
    chain.prune(tip);
    ensure_eq!(chain.blocks.len(), 1, "blocks left in the model");
    chain.is_seen_by(&*s.read()?, "pruned up to the tip")
}

pub(crate) fn cuts_outside_are_refused(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut txn = s.write()?;
    for error in [
        refused(txn.truncate(None), "truncating nothing")?,
        refused(txn.truncate(Some(Height::ZERO)), "truncating nothing")?,
        refused(txn.prune(Height::ZERO), "pruning nothing")?,
    ] {
        ensure!(
            matches!(error, BlockError::Empty),
            "expected Empty, found {error:?}"
        );
    }
    txn.commit()?;
    let mut chain = ModelChain::grown(10, &mut Dice::of("cuts_outside_are_refused"))?;
    append_all(&*s, &chain.blocks)?;
    change(&*s, |txn| txn.prune(Height::new(104)))?;
    chain.prune(Height::new(104));
    let mut txn = s.write()?;
    for height in [0, 103, 110, u64::MAX] {
        for error in [
            refused(txn.truncate(Some(Height::new(height))), "a cut outside")?,
            refused(txn.prune(Height::new(height)), "a cut outside")?,
        ] {
            let right = matches!(error, BlockError::OutOfRange { asked, tail, tip }
                if (asked, tail, tip) == (Height::new(height), Height::new(104), Height::new(109)));
            ensure!(right, "a cut at {height}: found {error:?}");
        }
    }
    chain.is_seen_by(&*txn, "after refused cuts")?;
    txn.commit()?;
    chain.is_seen_by(&*s.read()?, "after the commit")
}

/// What a query must give: heights, and the next one to ask for.
fn expected_range(chain: &ModelChain, query: BlockQuery) -> (Vec<Height>, Option<Height>) {
    let (mut heights, mut bytes) = (Vec::new(), 0u64);
    for block in chain
        .blocks
        .iter()
        .filter(|block| block.height >= query.start)
    {
        bytes = bytes.saturating_add(block.body.len() as u64);
        let is_full = heights.len() as u64 >= query.blocks_max;
        if is_full || (!heights.is_empty() && bytes > query.body_bytes_max) {
            return (heights, Some(block.height));
        }
        heights.push(block.height);
    }
    (heights, None)
}

pub(crate) fn ranges_obey_their_limits(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut chain = ModelChain::default();
    for (at, size) in (0u64..).zip([10, 0, 500, 20, 20, 20, 3_000, 1, 1, 0, 0, 7]) {
        let parent = chain.blocks.last().map_or(hash_of(0, 32)?, |tip| tip.hash);
        chain.blocks.push(OwnedBlock::new(
            50 + at,
            1,
            parent,
            &[at],
            &vec![at as u8; size],
        )?);
    }
    append_all(&*s, &chain.blocks)?;
    change(&*s, |txn| txn.prune(Height::new(52)))?;
    chain.prune(Height::new(52));
    let view = s.read()?;
    for start in [0, 51, 52, 53, 56, 61, 62, u64::MAX] {
        for blocks_max in [1, 2, 5, u64::MAX] {
            for body_bytes_max in [0, 19, 20, 40, 500, 3_041, u64::MAX] {
                let query = BlockQuery {
                    start: Height::new(start),
                    blocks_max,
                    body_bytes_max,
                };
                let mut heights = Vec::new();
                let next = view.range(query, &mut |info, body| {
                    if body.len() as u64 == info.body_bytes {
                        heights.push(info.height);
                    }
                    ControlFlow::Continue(())
                })?;
                ensure_eq!((heights, next), expected_range(&chain, query), "{query:?}");
            }
        }
    }
    for stop in 1..=10_usize {
        let mut seen = 0;
        let next = view.range(BlockQuery::from(Height::ZERO), &mut |_, _| {
            seen += 1;
            if seen == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let expected = chain.blocks.get(stop).map(|block| block.height);
        ensure_eq!(
            (seen, next),
            (stop, expected),
            "a range that is told to stop"
        );
    }
    Ok(())
}

pub(crate) fn a_view_keeps_its_blocks(lab: &Lab) -> CaseResult {
    let (s, chain) = grown(lab, "a_view_keeps_its_blocks", 12)?;
    let view = s.read()?;
    change(&*s, |txn| txn.truncate(Some(Height::new(105))))?;
    chain.is_seen_by(&*view, "a view beside a truncation")?;
    change(&*s, |txn| txn.prune(Height::new(103)))?;
    chain.is_seen_by(&*view, "a view beside a pruning")?;
    change(&*s, |txn| txn.truncate(None))?;
    chain.is_seen_by(&*view, "a view beside the end of everything")?;
    ModelChain::default().is_seen_by(&*s.read()?, "a new view")
}

pub(crate) fn bodies_of_many_sizes(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut chain = ModelChain::default();
    let sizes = [0, 1, 80, 4_095, 4_096, 4_097, 65_536, 1 << 20, 4 << 20, 0];
    for (at, size) in (0u64..).zip(sizes) {
        let parent = chain.blocks.last().map_or(hash_of(0, 32)?, |tip| tip.hash);
        let body: Vec<u8> = (0..size).map(|byte| (byte * 3 + at) as u8).collect();
        let block = OwnedBlock::new(at, 1, parent, &[], &body)?;
        change(&*s, |txn| txn.append(block.borrowed()).map(|_| ()))?;
        chain.blocks.push(block);
    }
    chain.is_seen_by(&*s.read()?, "bodies from nothing to 4 MiB")
}

pub(crate) fn hashes_of_every_length(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut chain = ModelChain::default();
    let mut parent = hash_of(0, 32)?;
    for len in 1..=64_usize {
        let mut block = OwnedBlock::new(len as u64, 1, parent, &[], b"body")?;
        block.hash = hash_of(200 + len as u64, len)?;
        parent = block.hash;
        chain.blocks.push(block);
    }
    append_all(&*s, &chain.blocks)?;
    chain.is_seen_by(&*s.read()?, "hashes of 1 to 64 bytes")?;
    for len in [0, 65] {
        ensure!(
            hash_of(1, len).is_err(),
            "a hash of {len} bytes is accepted"
        );
    }
    Ok(())
}

pub(crate) fn a_reorganisation_is_one_commit(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "a_reorganisation_is_one_commit", 15)?;
    let mut dice = Dice::of("the other branch");
    for (branch, depth) in [(2, 1), (3, 6), (4, 14), (5, 3)] {
        let old = chain.clone();
        let mut txn = s.write()?;
        let tip = chain.blocks.len() - 1 - depth;
        let fork = Some(chain.blocks[tip].height);
        txn.truncate(fork)?;
        chain.truncate(fork);
        for _ in 0..=depth {
            let block = chain.next(branch, &mut dice)?;
            txn.append(block.borrowed())?;
            chain.blocks.push(block);
        }
        chain.is_seen_by(&*txn, "the new branch, inside")?;
        old.is_seen_by(&*s.read()?, "the old branch, beside it")?;
        txn.commit()?;
        chain.is_seen_by(&*s.read()?, "the new branch")?;
        for gone in old.blocks.iter().filter(|block| Some(block.height) > fork) {
            ensure_eq!(
                s.read()?.height_of(&gone.hash)?,
                None,
                "a hash of the old branch"
            );
        }
    }
    Ok(())
}

pub(crate) fn many_transactions_in_one_block(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let count = scaled(20_000) as u64;
    let txs: Vec<u64> = (1_000..1_000 + count).collect();
    let block = OwnedBlock::new(7, 1, hash_of(0, 32)?, &txs, b"body")?;
    change(&*s, |txn| txn.append(block.borrowed()).map(|_| ()))?;
    let view = s.read()?;
    ensure_eq!(
        view.tx_ids(block.height)?,
        block.tx_ids,
        "transactions of the block"
    );
    for position in [0, 1, count / 2, count - 1] {
        let place = view.tx_place(&tx_of(1_000 + position)?)?;
        let found = place.map(|place| (place.height, u64::from(place.position)));
        ensure_eq!(
            found,
            Some((block.height, position)),
            "the place of a transaction"
        );
    }
    drop(view);
    change(&*s, |txn| txn.truncate(None))?;
    ensure_eq!(
        s.read()?.tx_place(&tx_of(1_000)?)?,
        None,
        "a transaction of a block that is gone"
    );
    ensure_eq!(
        s.read()?.totals()?,
        BlockTotals::default(),
        "totals of nothing"
    );
    Ok(())
}

pub(crate) fn staging_alone_leaves_nothing(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "staging_alone_leaves_nothing", 3)?;
    let next = chain.next(1, &mut Dice::of("the next"))?;
    for _ in 0..3 {
        s.stage_only(next.borrowed())?;
        chain.is_seen_by(&*s.read()?, "after staging")?;
    }
    change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
    chain.blocks.push(next);
    chain.is_seen_by(&*s.read()?, "after appending what was staged before")
}

pub(crate) fn blocks_are_appended_in_another_order_than_staged(lab: &Lab) -> CaseResult {
    let name = "blocks_are_appended_in_another_order_than_staged";
    let (s, mut chain) = grown(lab, name, 3)?;
    let mut dice = Dice::of("the next four");
    let first = chain.blocks.len();
    for _ in 0..4 {
        let next = chain.next(1, &mut dice)?;
        chain.blocks.push(next);
    }
    let backwards = chain.blocks[first..].iter().rev();
    let backwards: Vec<_> = backwards.map(OwnedBlock::borrowed).collect();
    s.stage_then(&backwards, &[3, 2, 1, 0].map(Step::Append))?;
    chain.is_seen_by(&*s.read()?, "staged from the newest down")?;
    let next = chain.next(1, &mut dice)?;
    change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
    chain.blocks.push(next);
    let tip = chain.blocks[first].height;
    change(&*s, |txn| txn.truncate(Some(tip)))?;
    chain.truncate(Some(tip));
    chain.is_seen_by(&*s.read()?, "cut back among them")
}

pub(crate) fn a_staged_block_outlives_its_rival(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "a_staged_block_outlives_its_rival", 3)?;
    let mut dice = Dice::of("two of one height");
    let fork = chain.blocks[2].height;
    for view_is_open in [false, true] {
        let (worse, better) = (chain.next(2, &mut dice)?, chain.next(3, &mut dice)?);
        let old = chain.clone();
        let view = view_is_open.then(|| s.read()).transpose()?;
        let rivals = [better.borrowed(), worse.borrowed()];
        let steps = [Step::Append(1), Step::Truncate(fork), Step::Append(0)];
        s.stage_then(&rivals, &steps)?;
        chain.blocks.push(better);
        chain.is_seen_by(&*s.read()?, "the staged block in its rival's place")?;
        if let Some(view) = view {
            old.is_seen_by(&*view, "a view from before both")?;
        }
        let next = chain.next(1, &mut dice)?;
        change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
        chain.blocks.push(next);
        change(&*s, |txn| txn.prune(old.blocks[0].height))?;
        chain.is_seen_by(&*s.read()?, "once the view is gone")?;
        change(&*s, |txn| txn.truncate(Some(fork)))?;
        chain.truncate(Some(fork));
        chain.is_seen_by(&*s.read()?, "cut back below both")?;
    }
    Ok(())
}

pub(crate) fn the_form_that_commits_itself_means_the_same(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut chain = ModelChain::grown(
        9,
        &mut Dice::of("the_form_that_commits_itself_means_the_same"),
    )?;
    let auto = s.auto();
    auto.append(chain.blocks[0].borrowed())?;
    let rest: Vec<_> = chain.blocks[1..].iter().map(OwnedBlock::borrowed).collect();
    auto.append_all(&rest)?;
    chain.is_seen_by(&*s.read()?, "appended by itself")?;
    let gap = [
        chain.next(1, &mut Dice::of("gap"))?,
        chain.blocks[3].clone(),
    ];
    let gap: Vec<_> = gap.iter().map(OwnedBlock::borrowed).collect();
    refused(
        auto.append_all(&gap),
        "blocks of which the second does not follow",
    )?;
    chain.is_seen_by(&*s.read()?, "after a refusal of several")?;
    for block in &chain.blocks {
        let expected = Some((block.info(), block.body.clone()));
        ensure_eq!(auto.get_at(block.height)?, expected, "a block by height");
        ensure_eq!(auto.get_by_hash(&block.hash)?, expected, "a block by hash");
        for tx in &block.tx_ids {
            ensure_eq!(
                auto.tx_places(tx)?,
                s.read()?.tx_places(tx)?,
                "places of a transaction"
            );
        }
    }
    ensure_eq!(
        auto.get_at(Height::ZERO)?,
        None,
        "a block that is not stored"
    );
    ensure_eq!(
        auto.get_by_hash(&hash_of(3, 9)?)?,
        None,
        "a block of an unknown hash"
    );
    auto.prune(Height::new(102))?;
    auto.truncate(Some(Height::new(106)))?;
    chain.prune(Height::new(102));
    chain.truncate(Some(Height::new(106)));
    chain.is_seen_by(&*s.read()?, "cut by itself")?;
    let view = s.read()?;
    ensure_eq!(auto.tip()?, view.tip()?, "tip");
    ensure_eq!(auto.tail()?, view.tail()?, "tail");
    ensure_eq!(auto.totals()?, view.totals()?, "totals");
    Ok(())
}

pub(crate) fn random_chains_against_the_model(lab: &Lab) -> CaseResult {
    let s = lab.open_blocks()?;
    let mut dice = Dice::of("random_chains_against_the_model");
    let mut chain = ModelChain::default();
    for round in 0..scaled(600) as u64 {
        let mut txn = s.write()?;
        let mut changed = chain.clone();
        for step in 0..1 + dice.below(5) as u64 {
            let heights: Vec<Height> = changed.blocks.iter().map(|block| block.height).collect();
            match dice.below(8) {
                0 if !heights.is_empty() => {
                    let tip = (!dice.once_in(8)).then(|| *dice.pick(&heights));
                    txn.truncate(tip)?;
                    changed.truncate(tip);
                }
                1 if heights.len() > 4 => {
                    let tail = heights[dice.below(4)];
                    txn.prune(tail)?;
                    changed.prune(tail);
                }
                _ => {
                    let block = changed.next(2 + round * 8 + step, &mut dice)?;
                    txn.append(block.borrowed())?;
                    changed.blocks.push(block);
                }
            }
        }
        if round % 5 == 0 {
            changed.is_seen_by(&*txn, &format!("round {round}, inside"))?;
        }
        if dice.once_in(5) {
            txn.abort()?;
        } else {
            txn.commit()?;
            chain = changed;
        }
        if round % 5 == 0 {
            chain.is_seen_by(&*s.read()?, &format!("after round {round}"))?;
        }
    }
    chain.is_seen_by(&*s.read()?, "at the end")
}

pub(crate) fn blocks_are_there_after_reopening(lab: &Lab) -> CaseResult {
    let (s, mut chain) = grown(lab, "blocks_are_there_after_reopening", 25)?;
    if !s.store().capabilities().persistent {
        return Err(CaseError::skipped("persistent is not declared"));
    }
    change(&*s, |txn| txn.prune(Height::new(103)))?;
    chain.prune(Height::new(103));
    s.store().sync()?;
    drop(s);
    for _ in 0..2 {
        let s = lab.open_blocks()?;
        chain.is_seen_by(&*s.read()?, "after reopening")?;
        let next = chain.next(1, &mut Dice::of("after reopening"))?;
        change(&*s, |txn| txn.append(next.borrowed()).map(|_| ()))?;
        chain.blocks.push(next);
        s.store().sync()?;
    }
    let s = lab.open_blocks()?;
    chain.is_seen_by(&*s.read()?, "after the last reopening")?;
    let rows = s
        .store()
        .begin_read()?
        .rows(s.store().catalogue().id("a")?, KeyRange::all())?;
    ensure!(rows.is_empty(), "blocks left rows in another table");
    Ok(())
}
