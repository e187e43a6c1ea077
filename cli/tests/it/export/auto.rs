//! `import --from auto`: what the first bytes tell, and chains that are kept apart.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::{import, small};
use crate::chain;
use crate::support::{disk_engines, finish, real_file, run, run_command, start, url};

#[test]
fn auto_tells_the_chain_and_keeps_chains_apart() {
    let (Some(rlp), Some(log)) = (
        real_file("execapis-chain.rlp"),
        real_file("antelope-blocks.log"),
    ) else {
        return;
    };
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, bytes) = small(engine, place.path(), 12);
        let bitcoin = place.path().join("blk.dat");
        fs::write(&bitcoin, &bytes).unwrap();
        let tables = |store: &str| {
            let stat = run(["stat", "--store", store, "--output", "json"])
                .ok()
                .json();
            let tables = stat["tables"].as_array().unwrap();
            let names = tables.iter().map(|table| table["name"].to_string());
            names.collect::<Vec<_>>()
        };
        let before = tables(&store);
        import(&store, &rlp, &[]).refused(4, &["is of Ethereum", "blocks of Bitcoin"]);
        import(&store, &log, &[]).refused(4, &["is of Antelope", "blocks of Bitcoin"]);
        assert_eq!(tables(&store), before, "{engine}");

        let folder = place.path().join("ethereum");
        fs::create_dir(&folder).unwrap();
        let ethereum = url(engine, &folder);
        // The second file of one command is of another chain than the first.
        let more = [rlp.to_str().unwrap()];
        import(&ethereum, &bitcoin, &more).refused(
            4,
            &[
                "blk.dat",
                "is of Bitcoin",
                "54 new blocks before the error are stored",
            ],
        );
        let before = tables(&ethereum);
        import(&ethereum, &bitcoin, &[]).refused(4, &["is of Bitcoin", "blocks of Ethereum"]);
        assert_eq!(tables(&ethereum), before, "{engine}: tables were added");

        let folder = place.path().join("nothing");
        fs::create_dir(&folder).unwrap();
        let nothing = folder.join("file");
        fs::write(&nothing, "no chain at all").unwrap();
        import(&url(engine, &folder), &nothing, &[]).refused(1, &["unknown format", "neither"]);
        fs::write(&nothing, "").unwrap();
        import(&url(engine, &folder), &nothing, &[]).refused(1, &["the file is empty"]);
        assert!(!folder.join("store").exists(), "{engine}: a store was made");
    }
}

/// A pipe can be read once: what was looked at to tell the format is not lost.
#[test]
fn auto_tells_what_comes_through_a_pipe() {
    let place = tempfile::tempdir().unwrap();
    let fifo: PathBuf = place.path().join("fifo");
    let mut command = Command::new("mkfifo");
    command.arg(&fifo);
    run_command(command).ok();
    let child = start([
        "import",
        "--from",
        "auto",
        "--store",
        "mem:",
        "--output",
        "json",
        fifo.to_str().unwrap(),
    ]);
    let mut pipe = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    pipe.write_all(&chain::file(&chain::blocks(40))).unwrap();
    drop(pipe);
    let imported = finish(child);
    assert_eq!(imported.code, Some(0), "{imported}");
    assert_eq!(imported.json()["import"]["blocks"], 40);
}
