//! A device that fails: each call of the storage fails once, for every place it can fail in, and
//! nothing is ever half done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use backend_kit::{CommitFailure, RawBatch, RawEngine};
use backend_redb::{RedbEngine, StorageBackend};
use storage_api::{Durability, Error, ErrorKind, Reader, Writer};

use crate::support::{A, Disk, Opening, Rows, all, put};

/// Fails every write, cut and sync once the count is used up.
#[derive(Clone, Debug)]
struct Failing {
    disk: Disk,
    left: Arc<AtomicI64>,
    kind: io::ErrorKind,
}

impl Failing {
    fn new(kind: io::ErrorKind) -> Self {
        Self {
            disk: Disk::default(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
            kind,
        }
    }

    fn arm(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    fn count(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            Err(self.kind.into())
        } else {
            Ok(())
        }
    }

    fn open(&self) -> RedbEngine {
        let kept = self.clone();
        Opening::fresh()
            .on(move || Box::new(kept.clone()))
            .open("unused".as_ref())
            .unwrap()
            .0
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count()?;
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.count()?;
        self.disk.write(offset, data)
    }
}

fn found(disk: &Disk) -> Rows {
    let disk = disk.clone();
    let opening = Opening::again().on(move || Box::new(disk.clone()));
    let (engine, _) = opening.open("unused".as_ref()).unwrap();
    assert!(engine.check().unwrap().unwrap().findings.is_empty());
    all(&engine.view().unwrap(), A)
}

/// Commits a change that grows the file; says where it failed, if it did.
fn grow(engine: &RedbEngine) -> Result<(), Failed> {
    let mut txn = engine.begin().map_err(|_| Failed::Begin)?;
    for n in 0..40_u8 {
        txn.put(A, &[2, n], &[n; 60_000]).map_err(Failed::Put)?;
    }
    txn.commit(Durability::Durable).map_err(Failed::Commit)
}

enum Failed {
    Begin,
    Put(Error),
    Commit(CommitFailure),
}

#[test]
fn a_failure_anywhere_leaves_the_commit_before_or_the_commit_itself() {
    let (mut put_failures, mut commit_failures, mut kept) = (0, 0, 0);
    for calls in 0.. {
        assert!(
            calls < 1_000,
            "a commit of 40 values does not make a thousand calls"
        );
        let device = Failing::new(io::ErrorKind::StorageFull);
        let engine = device.open();
        put(&engine, A, b"1", b"before");
        let view = engine.view().unwrap();
        device.arm(calls);
        let outcome = grow(&engine);
        device.arm(i64::MAX);
        match outcome {
            Ok(()) => break,
            Err(Failed::Begin) => panic!("beginning writes nothing"),
            Err(Failed::Put(error)) => {
                put_failures += 1;
                assert_eq!(error.kind(), &ErrorKind::DiskFull);
            }
            Err(Failed::Commit(CommitFailure::Unknown(error))) => {
                commit_failures += 1;
                assert_eq!(error.kind(), &ErrorKind::DiskFull);
            }
            Err(Failed::Commit(CommitFailure::Aborted(error))) => panic!("{error:?}"),
        }
        // It takes no writes after that; the view goes on, and a new one sees what opening again
        // will find.
        let refused = engine.begin().unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::Poisoned { .. }),
            "{refused:?}"
        );
        assert_eq!(view.get(A, b"1").unwrap().unwrap().to_vec(), b"before");
        let seen = all(&engine.view().unwrap(), A);
        drop((view, engine));
        let rows = found(&device.disk);
        assert_eq!(rows, seen);
        assert!(rows.len() == 1 || rows.len() == 41, "{} rows", rows.len());
        kept += usize::from(rows.len() == 41);
    }
    // Growing fails in a put, writing and syncing in the commit; after the last sync the commit is
    // there.
    assert!(
        put_failures > 0 && commit_failures > 10,
        "{put_failures} {commit_failures}"
    );
    println!("{put_failures} failed puts, {commit_failures} failed commits, {kept} of them kept");
}

#[test]
fn a_failed_sync_is_reported() {
    let device = Failing::new(io::ErrorKind::Other);
    let engine = device.open();
    let mut txn = engine.begin().unwrap();
    txn.put(A, b"k", b"v").unwrap();
    txn.commit(Durability::Volatile).unwrap();
    device.arm(0);
    let error = engine.sync().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error:?}");
    assert!(matches!(
        engine.sync().unwrap_err().kind(),
        ErrorKind::Poisoned { .. }
    ));
}

#[test]
fn a_device_that_refuses_to_open_says_why() {
    let device = Failing::new(io::ErrorKind::PermissionDenied);
    device.arm(0);
    let kept = device.clone();
    let refused = Opening::fresh()
        .on(move || Box::new(kept.clone()))
        .open("there".as_ref())
        .unwrap_err();
    let path = match refused.kind() {
        ErrorKind::PermissionDenied { path } => path.as_str(),
        _ => panic!("{refused:?}"),
    };
    assert!(path.ends_with("there/data.redb"), "{path}");
}
