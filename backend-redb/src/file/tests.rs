//! Unit tests of the overlay: against a plain vector, and that the medium stays as it was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::{LastEnd, Locking, MAGIC, Medium, Overlay, Used};

fn medium(len: u64) -> Arc<Medium> {
    let backend = InMemoryBackend::new();
    backend.set_len(len).unwrap();
    for at in 0..len {
        backend.write(at, &[at as u8 ^ 0x5a]).unwrap();
    }
    Arc::new(Medium {
        backend: Box::new(backend),
        used: Used::Length(len.into()),
    })
}

/// A small generator; the seed is printed by the test that uses it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn an_overlay_behaves_like_a_vector_and_leaves_the_medium_alone() {
    const SEED: u64 = 0x0ddba11;
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let medium = medium(20_000);
    let mut before = vec![0; 20_000];
    medium.backend.read(0, &mut before).unwrap();
    let overlay = Overlay::new(Arc::clone(&medium), Locking::None).unwrap();
    let mut model = before.clone();
    for step in 0..4_000 {
        let len = model.len() as u64;
        let at = dice.below(len);
        let span = dice.below(9_000).min(len - at) as usize;
        match dice.below(10) {
            0 => {
                let len = 1 + dice.below(30_000);
                overlay.set_len(len).unwrap();
                model.resize(len as usize, 0);
            }
            1..=4 => {
                let data = vec![dice.below(256) as u8; span];
                overlay.write(at, &data).unwrap();
                model[at as usize..at as usize + span].copy_from_slice(&data);
            }
            _ => {
                let mut out = vec![0xee; span];
                overlay.read(at, &mut out).unwrap();
                assert_eq!(out, model[at as usize..at as usize + span], "step {step}");
            }
        }
        assert_eq!(overlay.len().unwrap(), model.len() as u64);
    }
    let mut after = vec![0; 20_000];
    medium.backend.read(0, &mut after).unwrap();
    assert_eq!((medium.len().unwrap(), after), (20_000, before));
}

#[test]
fn reading_or_writing_beyond_the_end_is_refused() {
    let overlay = Overlay::new(medium(100), Locking::None).unwrap();
    assert!(overlay.read(99, &mut [0; 2]).is_err());
    assert!(overlay.read(u64::MAX, &mut [0; 2]).is_err());
    assert!(overlay.write(99, &[0; 2]).is_err());
}

#[test]
fn the_end_of_the_last_writer_is_read_from_the_flags() {
    let medium = medium(100);
    assert_eq!(medium.last_end().unwrap(), LastEnd::Clean);
    medium.backend.write(0, &MAGIC).unwrap();
    medium.backend.write(9, &[4]).unwrap();
    assert_eq!(medium.last_end().unwrap(), LastEnd::Clean);
    medium.backend.write(9, &[4 | 2]).unwrap();
    assert_eq!(medium.last_end().unwrap(), LastEnd::Unclean);
}
