//! What imports are tried on: every compiled engine with bodies in both places, and what a store
//! holds after one.

use std::sync::Arc;

use chain_store::{AnyStore, Blocks, BlocksDigest, Bodies, ContentDigest, EngineName};
use storage_api::KvStore;

/// Every engine and place of bodies that go together: segments need a directory.
pub(super) fn grounds() -> impl Iterator<Item = (EngineName, Bodies)> {
    EngineName::compiled()
        .flat_map(|engine| Bodies::ALL.map(|bodies| (engine, bodies)))
        .filter(|ground| *ground != (EngineName::Mem, Bodies::Segments))
}

/// A digest of all blocks, and of all rows but places of bodies in segments, which a block that was
/// refused moves.
pub(super) type Content = (BlocksDigest, Option<ContentDigest>);

/// What a store holds.
pub(super) fn content(store: &Arc<AnyStore>) -> Content {
    let view = store.begin_read().unwrap();
    let blocks = Blocks::open(store).unwrap();
    let digest = BlocksDigest::compute(&blocks, &view, &mut |_| {}).unwrap();
    let rows = (blocks.bodies() == Bodies::Store)
        .then(|| ContentDigest::compute(&view, store.catalogue(), &mut |_| {}).unwrap());
    (digest, rows)
}
