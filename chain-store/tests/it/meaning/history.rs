//! Recorded histories of every engine are strictly serializable, and its bank never loses money.

use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use conformance::history::{Ending, HISTORY_TABLES, Recording, bank, check, record};
use conformance::{scaled, seed_of_run};
use storage_api::Schema;

/// Histories of each engine at full scale.
const HISTORIES: usize = 40;

/// Transfers of each mover at full scale.
const TRANSFERS: usize = 1_500;

fn open(engine: EngineName, folder: &std::path::Path) -> AnyStore {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, folder.join("store")),
    };
    let opener = Opener {
        schema: Schema::new(&HISTORY_TABLES).unwrap(),
        ..Opener::default()
    };
    opener.open(&url).unwrap().0
}

#[test]
fn every_engine_is_strictly_serializable() {
    for engine in EngineName::compiled() {
        let seed = seed_of_run();
        let (mut txns, mut aborted) = (0, 0);
        for number in 0..scaled(HISTORIES) as u64 {
            let folder = tempfile::tempdir().unwrap();
            let store = open(engine, folder.path());
            let recording = Recording {
                threads: 8,
                txns: 64,
                keys: 20 + (number % 3) as u16 * 20,
                seed: seed.wrapping_add(number),
            };
            let history = record(&store, recording).unwrap();
            let found = check(&history);
            assert!(
                found.is_empty(),
                "{engine}, seed {}: {found:#?}\n{history:#?}",
                recording.seed
            );
            txns += history.len();
            let endings = history.iter().map(|txn| txn.ending);
            aborted += endings.filter(|ending| *ending == Ending::Aborted).count();
        }
        println!("{engine}: seed {seed}, {txns} transactions of 8 threads, {aborted} aborted");
        assert!(aborted > 0);
    }
}

#[test]
fn no_view_sees_another_sum() {
    for engine in EngineName::compiled() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(engine, folder.path());
        let seed = seed_of_run();
        let report = bank(&store, 8, scaled(TRANSFERS), seed).unwrap();
        println!(
            "{engine}: seed {seed}, {} transfers beside {} audits",
            report.transfers, report.views
        );
        assert!(report.views >= 4);
    }
}
