//! Damaged files: redb may panic inside, and the kit catches that; what must not happen is a panic
//! while something is dropped, where nothing catches it, or an abort.

use std::panic::{AssertUnwindSafe, catch_unwind};

use backend_kit::{RawBatch, RawEngine};
use storage_api::{Cursor, Durability, KeyRange, Reader, Result, Writer};

use crate::support::{A, B, Dice, Disk, Opening, change};

#[derive(Debug, Default)]
struct Tally {
    sound: u32,
    refused: u32,
    panicked: u32,
}

impl Tally {
    /// Calls into the engine as the kit does.
    fn guarded<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(value)) => {
                self.sound += 1;
                return Some(value);
            }
            Ok(Err(_)) => self.refused += 1,
            Err(_) => self.panicked += 1,
        }
        None
    }
}

fn use_damaged(image: Vec<u8>, tally: &mut Tally) {
    let disk = Disk::of(image);
    let opening = Opening::again().on(move || Box::new(disk.clone()));
    let Some((engine, _)) = tally.guarded(|| opening.open("unused".as_ref())) else {
        return;
    };
    if let Some(view) = tally.guarded(|| engine.view()) {
        for key in (0..200).step_by(7).map(|n| [n, n % 4]) {
            // The kit guards the get and not what the caller does with the value.
            if let Some(Some(value)) = tally.guarded(|| view.get(A, &key)) {
                assert!(value.len() < 100_000);
            }
        }
        for table in [A, B] {
            tally.guarded(|| {
                let mut cursor = view.cursor(table, KeyRange::all())?;
                while cursor.next()?.is_some() {}
                Ok(())
            });
        }
    }
    if let Some(mut txn) = tally.guarded(|| engine.begin()) {
        let written = tally.guarded(|| {
            (0..50_u8).try_for_each(|n| txn.put(A, &[n, 7], &[n; 300]))?;
            txn.delete_range(B, &KeyRange::all())
        });
        if written.is_some() {
            let commit = AssertUnwindSafe(|| txn.commit(Durability::Durable).is_ok());
            tally.sound += u32::from(catch_unwind(commit).unwrap_or(false));
        }
    }
    tally.guarded(|| engine.check());
}

#[test]
fn nothing_panics_where_nothing_catches() {
    let mut dice = Dice::new(0xdead);
    let disk = Disk::default();
    let kept = disk.clone();
    let opening = Opening::fresh().on(move || Box::new(kept.clone()));
    let (engine, _) = opening.open("unused".as_ref()).unwrap();
    for round in 0..4_u8 {
        change(&engine, Durability::Durable, |txn| {
            (0..200_u8).try_for_each(|n| txn.put(A, &[n, round], &[n; 90]))?;
            txn.put(B, &[round], &[round; 9_000])
        });
    }
    let unclean = disk.image();
    let used = engine.used_bytes();
    drop(engine);
    let clean = disk.image();
    let mut tally = Tally::default();
    for round in 0..300 {
        let mut image = if round % 2 == 0 {
            clean.clone()
        } else {
            unclean.clone()
        };
        let damage_end = (used as usize).min(image.len()) as u64;
        for _ in 0..=dice.below(3) {
            let at = dice.below(damage_end) as usize;
            match dice.below(4) {
                0 => image[at] ^= 1 << dice.below(8),
                1 => image[at] = 0xff,
                2 => image[at / 4096 * 4096..][..4096].fill(dice.below(256) as u8),
                // The head of a page holds its type and its counts.
                _ => image[at / 4096 * 4096 + dice.below(8) as usize] ^= 1 << dice.below(8),
            }
        }
        if dice.below(10) == 0 {
            image.truncate(dice.below(damage_end) as usize);
        }
        use_damaged(image, &mut tally);
    }
    println!("{tally:?}");
    let felt = tally.refused + tally.panicked;
    assert!(tally.sound > 300 && felt > 50, "{tally:?}");
}
