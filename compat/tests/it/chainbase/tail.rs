//! C-A15: a log whose last entry is cut at every byte opens at the block before; damage in the
//! middle is told with segment and offset, and nothing is changed then.

use std::fs;

use blocks::{IndexCheck, LogBlock, LogBlocksOptions};
use chain_store::{AnyStore, EngineName};
use compat::chainbase::BlockLog;
use seglog::HEADER_BYTES;
use storage_api::blocks::{BlockError, Height};
use storage_api::{Durability, ErrorKind, KvStore, WriteTxn};

use super::{append_each, chain, is_log, open, options, schema};
use crate::stores::{Lab, Rows, engines, put_rows, rows_of};

fn corruption(error: &BlockError) -> Option<String> {
    match error {
        BlockError::Store(error) => match error.kind() {
            ErrorKind::Corruption { .. } => Some(error.to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn a_log_cut_at_every_byte_of_the_last_entry_opens_at_the_block_before() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(11, 1, 7);
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        append_each(&log, &blocks[..6]);
        let rows_before = rows_of(&**log.store(), "blocks.");
        append_each(&log, &blocks[6..]);
        let rows = rows_of(&**log.store(), "blocks.");
        let view = log.store().begin_read().unwrap();
        let at = log
            .log()
            .get_block_pos(&view, Height::new(7))
            .unwrap()
            .unwrap();
        drop((view, log));
        let file = lab.last_segment();
        let whole = fs::read(&file).unwrap();
        let begin = at.place.offset;
        let end = begin + HEADER_BYTES + u64::from(at.place.payload_bytes);
        assert_eq!(whole.len() as u64, end, "the last entry ends the file");
        let store = lab.store();
        for len in begin..end {
            let context = format!("{engine}: cut to {len} of {end}");
            fs::write(&file, &whole[..usize::try_from(len).unwrap()]).unwrap();
            let (log, followed) = open(&store, lab.disk()).unwrap();
            assert_eq!(
                (followed.trimmed_blocks, followed.remade),
                (1, None),
                "{context}"
            );
            assert!(
                rows_of(&**log.store(), "blocks.") == rows_before,
                "{context}"
            );
            let view = log.store().begin_read().unwrap();
            let head = log.log().read_head(&view).unwrap();
            assert_eq!(head.as_ref(), Some(&blocks[5]), "{context}");
            drop(view);
            // The block is appended again, and everything is as it was.
            append_each(&log, &blocks[6..]);
            assert!(rows_of(&**log.store(), "blocks.") == rows, "{context}");
            if len == begin || len + 1 == end {
                is_log(&log, &blocks, &context);
            }
        }
    }
}

/// The same without index: what is left of the log is all there is.
#[test]
fn a_log_cut_anywhere_and_without_index_has_the_blocks_that_are_whole() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let blocks = chain(12, 1, 12);
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    append_each(&log, &blocks);
    let view = log.store().begin_read().unwrap();
    let place = |number| {
        let at = log
            .log()
            .get_block_pos(&view, Height::new(number))
            .unwrap()
            .unwrap();
        (
            at.place.segment,
            at.place.offset + HEADER_BYTES + u64::from(at.place.payload_bytes),
        )
    };
    let ends: Vec<_> = (1..=12).map(place).collect();
    drop(view);
    drop(log);
    let last = ends[11].0;
    let file = lab.last_segment();
    let whole = fs::read(&file).unwrap();
    for len in 64..whole.len() {
        let is_whole = |(segment, end): &(_, u64)| *segment < last || *end <= len as u64;
        let kept = ends.iter().take_while(|end| is_whole(end)).count();
        fs::write(&file, &whole[..len]).unwrap();
        put_rows(&*lab.store(), "blocks.", &Default::default());
        let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
        assert_eq!(followed.filled_blocks, kept as u64, "cut to {len}");
        is_log(&log, &blocks[..kept], &format!("cut to {len}"));
    }
}

#[test]
fn damage_in_the_middle_is_told_with_segment_and_offset_and_changes_nothing() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(13, 1, 20);
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        append_each(&log, &blocks);
        let view = log.store().begin_read().unwrap();
        let at = log
            .log()
            .get_block_pos(&view, Height::new(4))
            .unwrap()
            .unwrap();
        drop((view, log));
        let segment = at.place.segment;
        let file = lab.segments().join(segment.file_name());
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        damaged[usize::try_from(at.place.offset + HEADER_BYTES).unwrap() + 3] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let names_place = |text: &str| {
            text.contains(&format!("segment {segment}"))
                && text.contains(&format!("offset {}", at.place.offset))
        };
        // A sound index does not read what is in the middle; whoever asks for the block is told.
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let view = log.store().begin_read().unwrap();
        let error = log
            .log()
            .read_block_by_num(&view, Height::new(4))
            .unwrap_err();
        assert!(
            names_place(&corruption(&error).unwrap()),
            "{engine}: {error}"
        );
        let walked: Vec<_> = log.log().walk_back(&view).unwrap().collect();
        assert_eq!(walked.iter().filter(|block| block.is_ok()).count(), 16);
        assert_eq!(walked.len(), 17, "{engine}: the error ends the walk");
        let compared = log.log().verify(&view).unwrap();
        assert_eq!(compared.segments.len(), 1, "{engine}: {compared:?}");
        assert_eq!(compared.segments[0].segment, segment);
        drop((view, log));
        // An index that would have to be made again is left as it is.
        let mut rows = rows_of(&*lab.store(), "blocks.");
        rows.retain(|(table, _), _| table != "blocks.hashes");
        put_rows(&*lab.store(), "blocks.", &rows);
        let error = open(&lab.store(), lab.disk()).unwrap_err();
        assert!(
            names_place(&corruption(&error).unwrap()),
            "{engine}: {error}"
        );
        assert!(
            rows_of(&*lab.store(), "blocks.") == rows,
            "{engine}: rows were changed"
        );
        fs::write(&file, &whole).unwrap();
        let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
        assert!(followed.remade.is_some(), "{engine}");
        is_log(&log, &blocks, engine.as_str());
    }
}

/// A segment that is absent is named, and the rest is read.
#[test]
fn an_absent_segment_is_named() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let blocks = chain(14, 1, 20);
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    append_each(&log, &blocks);
    drop(log);
    fs::rename(
        lab.segments().join("0000000000.seg"),
        lab.segments().join("archived"),
    )
    .unwrap();
    let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
    assert_eq!(followed.remade, None);
    let view = log.store().begin_read().unwrap();
    let error = log
        .log()
        .read_block_by_num(&view, Height::new(1))
        .unwrap_err();
    assert!(
        matches!(&error, BlockError::BodyAbsent { height, place }
        if height.get() == 1 && place.contains("0000000000.seg")),
        "{error}"
    );
    let head = log.log().read_head(&view).unwrap();
    assert_eq!(head.as_ref(), blocks.last());
}

/// An index that was made while the oldest segment was in an archive began behind it for good: it
/// agreed with the log at both of its ends.
#[test]
fn blocks_of_a_segment_that_comes_back_are_in_the_index_again() {
    for check in [IndexCheck::Rows, IndexCheck::Ends] {
        let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
        let blocks = chain(15, 1, 20);
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        append_each(&log, &blocks);
        let rows = rows_of(&**log.store(), "blocks.");
        drop(log);
        let (there, archived) = (
            lab.segments().join("0000000000.seg"),
            lab.segments().join("archived"),
        );
        fs::rename(&there, &archived).unwrap();
        put_rows(&*lab.store(), "blocks.", &Rows::new());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let view = log.store().begin_read().unwrap();
        let first = log.log().first_block_num(&view).unwrap().unwrap();
        assert!(first > Height::new(1), "{first}");
        drop((view, log));
        fs::rename(&archived, &there).unwrap();
        let opened = BlockLog::open(lab.store(), lab.disk(), &options(check));
        let (log, followed) = opened.unwrap();
        assert!(followed.remade.is_some(), "{check:?}");
        assert!(
            rows_of(&**log.blocks().store(), "blocks.") == rows,
            "{check:?}"
        );
    }
}

/// Blocks of one sync say nothing about each other, so damage to the first of them looked like a
/// write that was not finished, and the sound ones behind it were cut off with it.
#[test]
fn damage_among_blocks_of_one_sync_is_told_and_cuts_no_sound_block() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let blocks = chain(16, 1, 6);
    let options = LogBlocksOptions::default();
    let (log, _) = BlockLog::open(lab.store(), lab.disk(), &options).unwrap();
    for part in [&blocks[..1], &blocks[1..]] {
        let part: Vec<_> = part.iter().map(LogBlock::as_new).collect();
        let mut txn = log.blocks().store().begin_write().unwrap();
        log.append_all(&mut txn, &part).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
    let rows = rows_of(&**log.blocks().store(), "blocks.");
    let view = log.blocks().store().begin_read().unwrap();
    let offset_of = |number| {
        let at = log.get_block_pos(&view, Height::new(number)).unwrap();
        at.unwrap().place.offset
    };
    let offsets: Vec<u64> = (1..=6).map(offset_of).collect();
    drop((view, log));
    let file = lab.last_segment();
    let whole = fs::read(&file).unwrap();
    for (at, offset) in offsets.iter().enumerate().skip(1) {
        let mut damaged = whole.clone();
        damaged[usize::try_from(offset + HEADER_BYTES).unwrap() + 3] ^= 1;
        fs::write(&file, &damaged).unwrap();
        let opened = BlockLog::open(lab.store(), lab.disk(), &options);
        if at == 5 {
            // The very last one cannot be told from one that was not finished.
            assert_eq!(opened.unwrap().1.trimmed_blocks, 1);
            break;
        }
        let text = corruption(&opened.unwrap_err()).unwrap();
        assert!(text.contains(&format!("offset {offset}")), "{text}");
        assert!(fs::read(&file).unwrap() == damaged, "block {}: cut", at + 1);
        assert!(
            rows_of(&*lab.store(), "blocks.") == rows,
            "block {}",
            at + 1
        );
    }
}
