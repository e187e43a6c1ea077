//! Unit tests of the batch: order, truncation, replay.

use super::{BatchOp, WriteBatch, Writer};
use crate::range::KeyRange;
use crate::table::TableId;

const T: TableId = TableId::new(1);

#[test]
fn operations_come_back_in_order() -> crate::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(T, b"a", b"1")?;
    batch.delete(T, b"b")?;
    batch.delete_range(T, &KeyRange::half_open(b"c", b"d"))?;
    batch.delete_range(T, &KeyRange::from_key(b"e"))?;
    batch.delete_range(T, &KeyRange::empty())?;
    let ops: Vec<_> = batch.ops().collect();
    assert_eq!(
        ops,
        [
            BatchOp::Put {
                table: T,
                key: b"a",
                value: b"1"
            },
            BatchOp::Delete {
                table: T,
                key: b"b"
            },
            BatchOp::DeleteRange {
                table: T,
                start: b"c",
                end: Some(b"d")
            },
            BatchOp::DeleteRange {
                table: T,
                start: b"e",
                end: None
            },
        ]
    );
    let mut copy = WriteBatch::new();
    batch.replay(&mut copy)?;
    assert!(copy.ops().eq(batch.ops()));
    batch.truncate(1);
    assert_eq!((batch.len(), batch.payload_bytes()), (1, 2));
    batch.clear();
    assert!(batch.is_empty());
    Ok(())
}
