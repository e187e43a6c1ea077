//! Real files of an Antelope node: in, every block by number and by id, and out again byte by byte.

use std::io::Cursor;

use blocks::IndexCheck;
use chain_files::ReadOptions;
use chain_files::antelope::{Layout, LogReader, LogWriter, Preamble};
use chain_store::{AnyStore, EngineName};
use compat::chainbase::{ChainbaseBlocks, Imported, LogFileError, chain_tag};
use storage_api::blocks::{BlockError, BlockHash, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{open, options, schema};
use crate::stores::{Lab, engines, put_rows, real_file, rows_of};

const LOG: &str = "antelope-blocks.log";
const INDEX: &str = "antelope-blocks.index";

fn import(log: &ChainbaseBlocks<AnyStore>, bytes: &[u8]) -> Result<Imported, LogFileError> {
    let options = ReadOptions::default();
    log.log()
        .import(Cursor::new(bytes), options, Durability::Durable)
}

fn export(log: &ChainbaseBlocks<AnyStore>) -> (Vec<u8>, Vec<u8>, u64) {
    let (mut file, mut index) = (Vec::new(), Vec::new());
    let view = log.store().begin_read().unwrap();
    let blocks = log.log().export(&view, &mut file, &mut index).unwrap();
    (file, index, blocks)
}

#[test]
fn a_real_log_comes_in_and_goes_out_byte_by_byte() {
    let (Some(file), Some(index)) = (real_file(LOG), real_file(INDEX)) else {
        return;
    };
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let imported = import(&log, &file).unwrap();
        assert_eq!((imported.blocks, imported.known_blocks), (5, 0), "{engine}");
        drop(log);
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let mut reader = LogReader::new(Cursor::new(&file), ReadOptions::default()).unwrap();
        let view = log.store().begin_read().unwrap();
        let mut seen = 0;
        while let Some(block) = reader.next_block().unwrap() {
            let number = Height::new(block.number);
            let id = BlockHash::new(&block.hash).unwrap();
            let by_number = log.log().read_block_by_num(&view, number).unwrap().unwrap();
            let by_id = log.log().read_block_by_id(&view, &id).unwrap().unwrap();
            assert_eq!(by_number, by_id, "{engine}");
            assert_eq!(by_number.body, block.body, "{engine}");
            assert_eq!(by_number.info.hash, id, "{engine}");
            assert_eq!(by_number.info.parent.as_bytes(), block.parent, "{engine}");
            let tx_ids: Vec<_> = by_number
                .tx_ids
                .iter()
                .map(storage_api::blocks::TxId::as_bytes)
                .collect();
            assert!(tx_ids.iter().eq(block.tx_ids.iter()), "{engine}");
            seen += 1;
        }
        assert_eq!(seen, 5);
        let preamble = log.log().preamble(&view).unwrap().unwrap();
        assert_eq!((preamble.version(), preamble.first_block()), (2, 1));
        drop(view);
        // Again: everything is known, nothing changes.
        let before = rows_of(&**log.store(), "");
        let imported = import(&log, &file).unwrap();
        assert_eq!((imported.blocks, imported.known_blocks), (0, 5), "{engine}");
        assert_eq!(rows_of(&**log.store(), ""), before, "{engine}");
        // An index that is lost does not change what goes out.
        drop(log);
        put_rows(&*lab.store(), "blocks.", &Default::default());
        let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
        assert_eq!(followed.filled_blocks, 5);
        assert_eq!(rows_of(&**log.store(), ""), before, "{engine}");
        let (file_again, index_again, blocks) = export(&log);
        assert_eq!(blocks, 5);
        assert!(file_again == file, "{engine}: another blocks.log");
        assert!(index_again == index, "{engine}: another blocks.index");
    }
}

#[test]
fn a_file_cut_at_every_byte_leaves_the_blocks_before_and_the_import_goes_on() {
    let Some(file) = real_file(LOG) else { return };
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    let mut stored = 0;
    for len in (0..file.len()).step_by(7) {
        match import(&log, &file[..len]) {
            Ok(_) => {}
            Err(LogFileError::File(error)) => {
                assert!(error.fault.is_truncation() || stored == 0, "{len}: {error}");
            }
            Err(error) => panic!("{len}: {error}"),
        }
        let view = log.store().begin_read().unwrap();
        stored = log
            .log()
            .head(&view)
            .unwrap()
            .map_or(0, |head| head.height.get());
    }
    assert!(stored >= 4, "{stored}");
    import(&log, &file).unwrap();
    assert!(export(&log).0 == file);
}

/// Blocks 3 to 5 of the real file as a log of their own, which begins later and with a chain id.
fn continuation(file: &[u8]) -> Vec<u8> {
    let mut reader = LogReader::new(Cursor::new(file), ReadOptions::default()).unwrap();
    let preamble = Preamble::from_chain_id(reader.preamble().chain_id(), 3).unwrap();
    let mut writer = LogWriter::new(Vec::new(), preamble).unwrap();
    while let Some(block) = reader.next_block().unwrap() {
        if block.number >= 3 {
            writer.write_block(block.body).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn a_later_part_of_the_chain_begins_a_log_or_goes_on_with_one() {
    let Some(file) = real_file(LOG) else { return };
    let part = continuation(&file);
    // A log of its own, with the tag of its chain on every segment.
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let chain_id = LogReader::new(Cursor::new(&file), ReadOptions::default()).unwrap();
    let chain_id = chain_id.preamble().chain_id();
    let mut tagged = options(IndexCheck::Rows);
    tagged.segments.chain = chain_tag(&chain_id);
    let opened = ChainbaseBlocks::open(lab.store(), lab.disk(), &tagged, Durability::Durable);
    let (log, _) = opened.unwrap();
    assert_eq!(import(&log, &part).unwrap().blocks, 3);
    let view = log.store().begin_read().unwrap();
    let first = log.log().first_block_num(&view).unwrap();
    assert_eq!(first, Some(Height::new(3)));
    drop(view);
    assert!(export(&log).0 == part);
    // Blocks 1 and 2 do not follow block 5.
    assert!(matches!(
        import(&log, &file),
        Err(LogFileError::Blocks(BlockError::HeightMismatch { .. }))
    ));
    drop(log);
    let other = open(&lab.store(), lab.disk());
    assert!(
        other.unwrap_err().to_string().contains("chain"),
        "the tag is another"
    );

    // The whole log knows them already.
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    import(&log, &file).unwrap();
    assert_eq!(import(&log, &part).unwrap().known_blocks, 3);
    assert!(export(&log).0 == file);
}

#[test]
fn files_of_another_chain_or_branch_are_refused() {
    let Some(file) = real_file(LOG) else { return };
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    let (mut sink, mut index) = (Vec::new(), Vec::new());
    let view = log.store().begin_read().unwrap();
    let refused = log.log().export(&view, &mut sink, &mut index);
    assert!(matches!(refused, Err(LogFileError::NoPreamble)));
    drop(view);

    let mut txn = log.store().begin_write().unwrap();
    let other = Preamble::from_chain_id([7; 32], 9).unwrap();
    log.log().set_preamble(&mut txn, &other).unwrap();
    log.log().set_preamble(&mut txn, &other).unwrap();
    let third = Preamble::from_chain_id([7; 32], 10).unwrap();
    log.log().set_preamble(&mut txn, &third).unwrap_err();
    txn.commit(Durability::Durable).unwrap();
    assert!(matches!(import(&log, &file), Err(LogFileError::OtherChain)));
    // A log that begins with block 9 takes no other first block.
    let block = super::chain(1, 8, 1).remove(0);
    let mut txn = log.store().begin_write().unwrap();
    let refused = log.log().append(&mut txn, &block.as_new());
    assert!(matches!(
        refused,
        Err(BlockError::HeightMismatch { expected, .. }) if expected == Height::new(9)
    ));
    drop(txn);

    // Another block 1 is stored than the file has.
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    super::append_each(&log, &super::chain(2, 1, 2));
    assert!(matches!(
        import(&log, &file),
        Err(LogFileError::OtherBlock { number, .. }) if number == Height::new(1)
    ));
}

#[test]
fn a_packed_block_says_by_itself_which_one_it_is() {
    let Some(file) = real_file(LOG) else { return };
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    let mut reader = LogReader::new(Cursor::new(&file), ReadOptions::default()).unwrap();
    while let Some(block) = reader.next_block().unwrap() {
        let mut txn = log.store().begin_write().unwrap();
        let appended = log
            .log()
            .append_packed(&mut txn, block.body, Layout::Plain)
            .unwrap();
        txn.commit(Durability::Durable).unwrap();
        assert_eq!(appended.height.get(), block.number);
        assert_eq!(appended.hash.as_bytes(), block.hash);
        let mut txn = log.store().begin_write().unwrap();
        let cut = &block.body[..block.body.len() - 1];
        let refused = log.log().append_packed(&mut txn, cut, Layout::Plain);
        assert!(matches!(refused, Err(BlockError::Store(_))));
    }
}
