//! Target of RepChain's blocks: Protocol Buffers, in which one block can be written in many ways.
//!
//! What decodes is written in one way, which decodes to the same block; what is known of a block is
//! told or refused, whatever its bytes.

use compat::repchain::{BlockCodec, Codec2018, CodecError};

use crate::must;

/// A block.
pub(crate) fn block(data: &[u8]) {
    let codec = Codec2018::default();
    let Ok(block) = codec.decode(data) else {
        return;
    };
    let written = codec.encode(&block);
    let again = match codec.decode(&written) {
        // Without what is passed over, a block may be too short for its parts.
        Err(CodecError::TooManyParts { .. }) if written.len() < data.len() => return,
        again => must("what was written", again),
    };
    assert!(again == block, "another block came back");
    assert!(codec.encode(&again) == written, "two forms of a block");
    match (codec.facts(data, &block), codec.facts(&written, &again)) {
        (Ok(facts), Ok(of_written)) => {
            assert_eq!(facts.tx_ids, of_written.tx_ids);
            assert_eq!(facts.previous, of_written.previous);
            assert_eq!(facts.hash == of_written.hash, data == written);
            assert_eq!(facts.tx_ids.len(), block.transactions.len());
        }
        (Err(error), Err(_)) => {
            let is_right = matches!(
                error,
                CodecError::PreviousHash { .. } | CodecError::TxId { .. }
            );
            assert!(is_right, "{error}");
        }
        (facts, of_written) => panic!("{facts:?}, then {of_written:?}"),
    }
    let most = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let short = Codec2018 {
        block_bytes_max: most.saturating_sub(1),
    };
    assert_eq!(short.decode(data).is_err(), most > 0);
}
