//! The operator's commands: rows written, space given back, copies, settings, full and read-only
//! disks, and what the program says about itself.

mod about;
mod disk;
mod rows;
mod settings;
mod upkeep;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chain_store::{AnyStore, EngineName};
use storage_api::{Durability, KeyLimit, KvStore, Schema, TableDef, WriteBatch, Writer};

use crate::support::{PROGRAM, Ran, alone, finish, run, spawn, url};

/// A store with the tables `names` and `wide`, and so many rows of 64 bytes in `names`.
fn store(engine: EngineName, folder: &Path, rows: u32) -> String {
    fs::create_dir_all(folder).unwrap();
    let wide = TableDef::new("wide").with_key_limit(KeyLimit::Engine);
    let schema = Schema::new([&TableDef::new("names"), &wide]).unwrap();
    let url = url(engine, folder);
    let _alone = alone();
    let store = AnyStore::open(&url, &schema).unwrap();
    let names = store.catalogue().id("names").unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..rows {
        batch.put(names, &number.to_be_bytes(), &[7; 64]).unwrap();
    }
    store.apply(&batch, Durability::Durable).unwrap();
    url
}

/// Runs the program with this on standard input.
fn run_with<A: AsRef<OsStr>>(stdin: &[u8], args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_remove("RUST_LOG");
    command.stdin(Stdio::piped());
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut pipe = child.stdin.take().unwrap();
    // A program that refuses what it reads closes its end early.
    let _closed_early = pipe.write_all(stdin);
    drop(pipe);
    finish(child)
}

/// The rows of a table as `list --output jsonl` prints them.
fn listed(store: &str, table: &str) -> Vec<u8> {
    let list = [
        "list", "--output", "jsonl", "--store", store, "--table", table,
    ];
    run(list).ok().stdout
}

/// Whether something that a test needs is missing, said visibly; a failure where nothing may be.
fn is_missing(what: &str, is_there: bool) -> bool {
    if !is_there {
        let must = std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!must, "{what} is missing");
        eprintln!("SKIPPED: {what} is missing");
    }
    !is_there
}
