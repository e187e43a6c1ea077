//! Importing: real data with known results on every engine, interruptions, damage, mid-chain.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use chain_store::EngineName;
use serde_json::Value;

use crate::chain;
use crate::support::{
    disk_engines, finish, real_file, run, run_command, seed, signal, start, url, wait_until,
};

const FIRST_BLOCKS: &str = "btc-blocks1-256.bz2";

fn import(store: &str, file: &Path, more: &[&str]) -> crate::support::Ran {
    let mut args = vec![
        "import", "--from", "bitcoin", "--store", store, "--output", "json",
    ];
    args.extend(more);
    args.push(file.to_str().unwrap());
    run(args)
}

fn stat(store: &str) -> Value {
    run(["stat", "--digest", "--output", "json", "--store", store])
        .ok()
        .json()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn check_first_blocks(stat: &Value, engine: EngineName) {
    let tip = "00000000d0a75c861fabf9ff7b92022f60e4afeed9331fe5aa073d8e4706fe3c";
    assert_eq!(stat["engine"], engine.as_str());
    assert_eq!(stat["format"], engine.format().unwrap());
    let blocks = &stat["blocks"];
    assert_eq!(
        (&blocks["count"], &blocks["transactions"]),
        (&255.into(), &262.into())
    );
    assert_eq!(
        (&blocks["first_height"], &blocks["tip_height"]),
        (&1.into(), &255.into())
    );
    assert_eq!(blocks["tip_hash"], tip);
    let bitcoin = &stat["bitcoin"];
    assert_eq!(bitcoin["network"], "mainnet");
    assert_eq!(bitcoin["unspent_outputs"], 260);
    assert_eq!(bitcoin["unspent_satoshi"], 1_275_000_000_000_u64);
    assert_eq!(bitcoin["unknown_spends"], 0);
    let names: Vec<&str> = stat["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| {
            assert!(table["rows"].is_u64() && table["bytes"].is_u64(), "{table}");
            assert!(table["exact"].is_boolean(), "{table}");
            table["name"].as_str().unwrap()
        })
        .collect();
    assert!(
        names.contains(&"blocks.bodies") && names.contains(&"bitcoin.unspent"),
        "{names:?}"
    );
}

#[test]
fn the_first_blocks_of_bitcoin_end_alike_on_every_engine() {
    let Some(file) = real_file(FIRST_BLOCKS) else {
        return;
    };
    let mut digests = BTreeSet::new();
    for engine in EngineName::compiled() {
        for checksum in ["none", "envelope"] {
            let place = tempfile::tempdir().unwrap();
            let store = url(engine, place.path());
            let ran = import(&store, &file, &["--digest", "--checksum", checksum]).ok();
            let imported = ran.json();
            assert_eq!(imported["import"]["blocks"], 255);
            assert_eq!(imported["import"]["transactions"], 262);
            check_first_blocks(&imported["stat"], engine);
            digests.insert(imported["stat"]["content_digest"].to_string());
            if engine == EngineName::Mem {
                assert!(ran.stderr.contains("in memory"), "{ran}");
                continue;
            }
            // The same again, by the bare path, without naming the checksum: nothing to do.
            let bare = place.path().join("store");
            let again = import(bare.to_str().unwrap(), &file, &[]).ok().json();
            assert_eq!(again["import"]["blocks"], 0);
            assert_eq!(again["import"]["known_blocks"], 255);
            let stat = stat(&store);
            check_first_blocks(&stat, engine);
            digests.insert(stat["content_digest"].to_string());
        }
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    assert!(!digests.contains("null"));
}

#[test]
fn a_block_of_mid_chain_is_stored_with_its_unknown_spends() {
    let Some(file) = real_file("btc-block-367891.raw.zst") else {
        return;
    };
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        import(&store, &file, &[]).refused(1, &["mid-chain", "--partial", "record 0"]);
        // The block says its height itself (BIP 34).
        import(&store, &file, &["--partial"]).ok();
        let stat = stat(&store);
        assert_eq!(stat["blocks"]["first_height"], 367_891);
        assert_eq!(stat["blocks"]["transactions"], 420);
        assert_eq!(stat["bitcoin"]["partial"], true);
        // Every input but the coinbase's, less those that spend outputs of the same block.
        let spends = stat["bitcoin"]["unknown_spends"].as_u64().unwrap();
        assert_eq!(spends, inputs_from_outside(&file), "{engine}");
    }
}

/// Counts, apart from the import, inputs of a bare block that spend outputs of other blocks.
fn inputs_from_outside(file: &Path) -> u64 {
    let block = chain_store::bitcoin::BlockFile::open(file)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .block;
    let own: BTreeSet<_> = block.transactions().map(|tx| tx.tx_id()).collect();
    let inputs = block.transactions().flat_map(|tx| {
        let spent: Vec<_> = tx.inputs().filter(|input| !input.is_coinbase()).collect();
        spent
            .into_iter()
            .map(|input| input.previous.tx_id)
            .collect::<Vec<_>>()
    });
    inputs.filter(|tx_id| !own.contains(tx_id)).count() as u64
}

#[test]
fn a_killed_import_goes_on_and_ends_alike() {
    let place = tempfile::tempdir().unwrap();
    let bytes = chain::file(&chain::blocks(300));
    let file = write(place.path(), "blocks.dat", &bytes);
    let whole = import("mem:", &file, &["--digest"]).ok().json();
    assert_eq!(whole["stat"]["blocks"]["count"], 300);
    let (outputs, satoshi) = chain::unspent(300);
    assert_eq!(whole["stat"]["bitcoin"]["unspent_outputs"], outputs);
    assert_eq!(whole["stat"]["bitcoin"]["unspent_satoshi"], satoshi);
    let mut random = seed();
    for engine in disk_engines() {
        let folder = place.path().join(engine.as_str());
        fs::create_dir(&folder).unwrap();
        let store = url(engine, &folder);
        for _ in 0..8 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let front = (random >> 33) as usize % bytes.len();
            let mut fed = feed(&folder, &store);
            fed.pipe.write_all(&bytes[..front]).unwrap();
            // From within the creation of the store to within a commit or behind the last one.
            std::thread::sleep(Duration::from_micros(random >> 49));
            fed.child.kill().unwrap();
            assert_eq!(
                finish(fed.child).code,
                None,
                "{engine}: it was over before it was killed"
            );
        }
        let resumed = import(&store, &file, &[]).ok().json();
        let done = |name: &str| resumed["import"][name].as_u64().unwrap();
        assert_eq!(done("blocks") + done("known_blocks"), 300);
        let stat = stat(&store);
        assert_eq!(
            stat["content_digest"], whole["stat"]["content_digest"],
            "{engine}"
        );
        assert_eq!(stat["blocks"], whole["stat"]["blocks"], "{engine}");
        assert_eq!(stat["bitcoin"], whole["stat"]["bitcoin"], "{engine}");
        run(["verify", "--store", &store]).ok();
    }
}

/// An import that reads from a pipe, so that the test decides how far it comes.
pub(crate) struct Fed {
    pub(crate) child: Child,
    pub(crate) pipe: fs::File,
}

/// Starts an import that waits for what is written to its pipe.
pub(crate) fn feed(folder: &Path, store: &str) -> Fed {
    feed_with(folder, store, &[])
}

/// The same with more arguments.
pub(crate) fn feed_with(folder: &Path, store: &str, more: &[&str]) -> Fed {
    let fifo = folder.join("fifo");
    // A new one each time: what nobody read of an earlier one must not come first.
    if fifo.exists() {
        fs::remove_file(&fifo).unwrap();
    }
    let mut command = Command::new("mkfifo");
    command.arg(&fifo);
    run_command(command).ok();
    let args = [
        "import", "--from", "bitcoin", "--output", "json", "--store", store,
    ];
    let more = more.iter().copied().chain([fifo.to_str().unwrap()]);
    let child = start(args.into_iter().chain(more));
    // With a reading end of its own nothing here waits for the program or fails when it is gone.
    let pipe = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    Fed { child, pipe }
}

/// Waits until the program has said something on standard error, and gives it back.
pub(crate) fn said(child: &mut Child) -> String {
    let mut text = Vec::new();
    let err = child.stderr.as_mut().unwrap();
    let mut byte = [0];
    while !text.ends_with(b"\n") && err.read(&mut byte).unwrap() > 0 {
        text.extend(byte);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn an_interrupt_ends_between_two_commits_and_a_second_one_aborts() {
    let blocks = chain::blocks(60);
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let mut fed = feed(place.path(), &store);
        fed.pipe.write_all(&chain::file(&blocks[..20])).unwrap();
        // Half of a record: the program waits for the rest of it.
        let next = chain::record(&blocks[20]);
        let (front, back) = next.split_at(50);
        fed.pipe.write_all(front).unwrap();
        fed.wait_until_it_holds(place.path());
        signal(&fed.child, "INT");
        let answer = said(&mut fed.child);
        assert!(answer.contains("ends after this commit"), "{answer}");
        fed.pipe.write_all(back).unwrap();
        let ran = finish(fed.child);
        drop(fed.pipe);
        assert_eq!(ran.code, Some(130), "{ran}");
        assert!(ran.stderr.contains("goes on from here"), "{ran}");
        let report = ran.json();
        assert_eq!(report["import"]["interrupted"], true);
        let stored = report["stat"]["blocks"]["count"].as_u64().unwrap();
        assert!((1..=21).contains(&stored), "{stored}");

        // The second signal does not wait for the pipe.
        let mut fed = feed(place.path(), &store);
        fed.pipe.write_all(&chain::file(&blocks[..30])).unwrap();
        fed.pipe
            .write_all(&chain::record(&blocks[30])[..50])
            .unwrap();
        fed.wait_until_it_holds(place.path());
        signal(&fed.child, "INT");
        let answer = said(&mut fed.child);
        assert!(answer.contains("again to abort"), "{answer}");
        signal(&fed.child, "INT");
        let ran = finish(fed.child);
        assert_eq!(ran.code, Some(130), "{ran}");
        drop(fed.pipe);

        let file = write(place.path(), "all.dat", &chain::file(&blocks));
        import(&store, &file, &[]).ok();
        let whole = import("mem:", &file, &["--digest"]).ok().json();
        assert_eq!(
            stat(&store)["content_digest"],
            whole["stat"]["content_digest"],
            "{engine}"
        );
    }
}

impl Fed {
    /// Waits until the program has made the store of this folder and holds it. Opening the store to
    /// find out would lock the program out of it; the lock file names its holder.
    pub(crate) fn wait_until_it_holds(&self, folder: &Path) {
        let holder = format!("{}\n", self.child.id());
        let says = |file: &str, words: &str| {
            fs::read_to_string(folder.join("store").join(file))
                .is_ok_and(|text| text.contains(words))
        };
        wait_until("the program holds the store", || {
            says("CHAINSTORE.lock", &holder) && says("CHAINSTORE", "state ready")
        });
    }
}

#[test]
fn a_damaged_record_ends_the_import_and_what_came_before_stays() {
    let place = tempfile::tempdir().unwrap();
    let blocks = chain::blocks(40);
    let sound = chain::file(&blocks);
    let before = chain::file(&blocks[..25]).len();
    // A byte of the coinbase's script: the Merkle root no longer fits.
    let mut damaged = sound.clone();
    damaged[before + 8 + 80 + 1 + 44] ^= 1;
    let truncated = &sound[..before + 60];
    for engine in disk_engines() {
        for (name, bytes) in [("damaged.dat", &damaged[..]), ("truncated.dat", truncated)] {
            let folder = place.path().join(format!("{engine}-{name}"));
            fs::create_dir(&folder).unwrap();
            let store = url(engine, &folder);
            let file = write(&folder, name, bytes);
            let at = format!("{name}, record 25, offset {before}");
            let new = "25 new blocks before the error are stored, the tip is at height 25";
            import(&store, &file, &[]).refused(1, &[&at, new]);
            assert_eq!(stat(&store)["blocks"]["tip_height"], 25, "{engine} {name}");
            let none =
                "0 new blocks before the error are stored; 25 of the files' blocks were known";
            import(&store, &file, &[]).refused(1, &[&at, none]);
            // With the right bytes the same command goes on.
            let file = write(&folder, name, &sound);
            let resumed = import(&store, &file, &[]).ok().json();
            assert_eq!(resumed["import"]["blocks"], 15);
            assert_eq!(resumed["stat"]["blocks"]["tip_height"], 40);
        }
    }
}

#[test]
fn files_of_ethereum_and_antelope_end_alike_on_every_engine() {
    for (name, from, blocks, tip) in [
        ("execapis-chain.rlp", "ethereum-rlp", 54, 54),
        ("antelope-blocks.log", "antelope", 5, 5),
    ] {
        let Some(file) = real_file(name) else { return };
        let file = file.to_str().unwrap();
        let mut digests = Vec::new();
        for engine in disk_engines() {
            let place = tempfile::tempdir().unwrap();
            let store = url(engine, place.path());
            for (from, fresh) in [(from, blocks), ("auto", 0)] {
                let args = [
                    "import", "--output", "json", "--store", &store, "--from", from, file,
                ];
                let done = run(args).ok().json();
                assert_eq!(done["import"]["blocks"], fresh, "{engine} {name}");
                assert_eq!(done["import"]["known_blocks"], blocks - fresh);
                assert_eq!(done["stat"]["blocks"]["tip_height"], tip);
            }
            digests.push(stat(&store)["digest"].to_string());
            let wrong = ["import", "--store", &store, "--from", "era1", file];
            run(wrong).refused(1, &[name, "era1 was said", "0 new blocks before the error"]);
        }
        assert!(digests.windows(2).all(|two| two[0] == two[1]), "{name}");
    }
}

/// The file that a store was imported from was refused at its first block once that was pruned. And
/// what was passed over was called all that had been stored, whatever the store held.
#[test]
fn a_pruned_store_goes_on_from_its_file_and_what_was_passed_over_is_told() {
    let place = tempfile::tempdir().unwrap();
    let blocks = chain::blocks(30);
    let begun = write(place.path(), "begun.dat", &chain::file(&blocks[..20]));
    let whole = write(place.path(), "whole.dat", &chain::file(&blocks));
    for engine in disk_engines() {
        for bodies in ["store", "segments"] {
            let folder = place.path().join(format!("{engine}-{bodies}"));
            fs::create_dir(&folder).unwrap();
            let store = url(engine, &folder);
            import(&store, &begun, &["--bodies", bodies]).ok();
            run([
                "blocks", "prune", "--below", "12", "--write", "--store", &store,
            ])
            .ok();
            let import = |file: &Path| {
                let file = file.to_str().unwrap();
                run(["import", "--from", "bitcoin", "--store", &store, file])
            };
            let ran = import(&whole).ok();
            let text = ran.text();
            let known = "20 of the files' blocks were known, 11 of them below the lowest stored";
            assert!(text.contains("10 new blocks"), "{engine}, {bodies}: {text}");
            assert!(text.contains(known), "{engine}, {bodies}: {text}");
            let stat = stat(&store);
            assert_eq!(stat["blocks"]["first_height"], 12);
            assert_eq!(stat["blocks"]["tip_height"], 30);
        }
    }
}

#[test]
fn files_of_mid_chain_need_to_be_meant() {
    let place = tempfile::tempdir().unwrap();
    let blocks = chain::blocks(30);
    let file = write(place.path(), "tail.dat", &chain::file(&blocks[10..]));
    for engine in disk_engines() {
        let folder = place.path().join(engine.as_str());
        fs::create_dir(&folder).unwrap();
        let store = url(engine, &folder);
        import(&store, &file, &[]).refused(1, &["record 0", "mid-chain", "--partial"]);
        import(&store, &file, &["--partial"]).refused(2, &["--first-height"]);
        import(&store, &file, &["--partial", "--first-height", "11"]).ok();
        let stat = stat(&store);
        assert_eq!(stat["blocks"]["first_height"], 11);
        assert_eq!(stat["blocks"]["tip_height"], 30);
        // Of the spends at 15, 20, 25 and 30 all are of coinbases at 12 or above.
        assert_eq!(stat["bitcoin"]["unknown_spends"], 0);
        assert_eq!(stat["bitcoin"]["partial"], true);

        // A gap: the parent of block 36 is not stored.
        let gap = write(&folder, "gap.dat", &chain::file(&chain::blocks(37)[35..]));
        import(&store, &gap, &[]).refused(1, &["record 0", "parent", "is not stored"]);

        let folder = folder.join("later");
        fs::create_dir(&folder).unwrap();
        let file = write(&folder, "later.dat", &chain::file(&blocks[13..]));
        let args = ["--partial", "--first-height", "14"];
        let imported = import(&url(engine, &folder), &file, &args).ok().json();
        assert_eq!(imported["stat"]["bitcoin"]["unknown_spends"], 1);
    }
    // The height of a chain that is known from its beginning cannot be chosen.
    let file = write(place.path(), "head.dat", &chain::file(&blocks[..2]));
    import("mem:", &file, &["--first-height", "7"]).refused(2, &["its height is 1, not 7"]);
}

#[test]
fn a_file_of_another_network_is_refused() {
    let Some(file) = real_file(FIRST_BLOCKS) else {
        return;
    };
    let mut bytes = Vec::new();
    let packed = fs::read(file).unwrap();
    bzip2::read::BzDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let first = 8 + u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let file = write(place.path(), "mainnet.dat", &bytes[..first]);
    let store = url(
        disk_engines().next().unwrap_or(EngineName::Mem),
        place.path(),
    );
    if store == "mem:" {
        eprintln!("SKIPPED: no engine in this build keeps a store between two runs");
        return;
    }
    import(&store, &file, &[]).ok();
    // The second block, under the magic of testnet3.
    let mut second = bytes[first..first + 8 + 215].to_vec();
    second[..4].copy_from_slice(&[0x0b, 0x11, 0x09, 0x07]);
    let file = write(place.path(), "testnet.dat", &second);
    import(&store, &file, &[]).refused(4, &["testnet3", "mainnet", "record 0"]);
    assert_eq!(stat(&store)["blocks"]["count"], 1);
}

#[test]
fn a_file_that_is_not_there_makes_no_store() {
    let place = tempfile::tempdir().unwrap();
    for engine in disk_engines() {
        let store = url(engine, place.path());
        let missing = place.path().join("missing.dat");
        import(&store, &missing, &[]).refused(74, &["missing.dat", "No such file"]);
        import(&store, place.path(), &[]).refused(74, &["cannot read", "is a directory"]);
        let text = write(
            place.path(),
            "text.dat",
            b"this is no block file, whatever its name",
        );
        fs::read_dir(place.path().join("store")).unwrap_err();
        import(&store, &text, &[]).refused(1, &["text.dat", "not a block file"]);
        fs::remove_dir_all(place.path().join("store")).unwrap();
    }
    let empty = write(place.path(), "empty.dat", b"");
    import("mem:", &empty, &[]).refused(1, &["empty.dat: the file is empty"]);
    assert_eq!(import("mem:", &place.path().join("x"), &[]).code, Some(74));
}
