//! RepChain's messages of 2018 as Protocol Buffers 3, by the field numbers of its `peer.proto`.
//!
//! Invariants: what is encoded has fields in the order of their numbers and leaves out what has its
//! default, so a block has one encoding, which is what its hash is over; unknown fields are passed
//! over and not kept. Decoding takes any bytes and ends with a message or an error: lengths are
//! compared with what is there before memory is given, and nesting is bounded. What the parts of a
//! block will take when they are decoded can be told before (`decoded_bytes`).

/// A moment: `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A signature under a block or a transaction's result.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endorsement {
    /// Who signed: the short address of a certificate's key.
    #[prost(bytes = "vec", tag = "1")]
    pub endorser: Vec<u8>,
    /// The signature.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// Which chaincode.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeId {
    /// Where a deployment takes it from.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its name, a hash that the deployment made.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// What of a chaincode is called.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeInput {
    /// The function.
    #[prost(string, tag = "1")]
    pub function: String,
    /// Its arguments.
    #[prost(string, repeated, tag = "2")]
    pub args: Vec<String>,
}

/// What a chaincode is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CodeType {
    /// `JavaScript`.
    Javascript = 0,
    /// Scala.
    Scala = 1,
}

/// A chaincode, and how it is called.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChaincodeSpec {
    /// Which.
    #[prost(message, optional, tag = "1")]
    pub chaincode_id: Option<ChaincodeId>,
    /// The call.
    #[prost(message, optional, tag = "2")]
    pub ctor_msg: Option<ChaincodeInput>,
    /// How long it may run.
    #[prost(int32, tag = "3")]
    pub timeout: i32,
    /// The user's name.
    #[prost(string, tag = "4")]
    pub secure_context: String,
    /// The whole code.
    #[prost(bytes = "vec", tag = "5")]
    pub code_package: Vec<u8>,
    /// What the code is written in.
    #[prost(enumeration = "CodeType", tag = "6")]
    pub ctype: i32,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TransactionType {
    /// Not said.
    Undefined = 0,
    /// Deploys a chaincode.
    ChaincodeDeploy = 1,
    /// Calls one.
    ChaincodeInvoke = 2,
    /// Asks one.
    ChaincodeQuery = 3,
    /// Ends one.
    ChaincodeTerminate = 4,
}

/// Who may read a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConfidentialityLevel {
    /// Everybody.
    Public = 0,
    /// Not everybody.
    Confidential = 1,
}

/// A transaction.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Transaction {
    /// What it does.
    #[prost(enumeration = "TransactionType", tag = "1")]
    pub r#type: i32,
    /// Which chaincode, as bytes that may be encrypted.
    #[prost(bytes = "vec", tag = "2")]
    pub chaincode_id: Vec<u8>,
    /// The call.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<ChaincodeSpec>,
    /// Whatever its maker adds.
    #[prost(bytes = "vec", tag = "4")]
    pub metadata: Vec<u8>,
    /// Its id, by which it is found.
    #[prost(string, tag = "5")]
    pub txid: String,
    /// When it was made.
    #[prost(message, optional, tag = "6")]
    pub timestamp: Option<Timestamp>,
    /// Who may read it.
    #[prost(enumeration = "ConfidentialityLevel", tag = "7")]
    pub confidentiality_level: i32,
    /// How it is encrypted.
    #[prost(string, tag = "8")]
    pub confidentiality_protocol_version: String,
    /// A number that is used once.
    #[prost(bytes = "vec", tag = "9")]
    pub nonce: Vec<u8>,
    /// For those who validate it.
    #[prost(bytes = "vec", tag = "10")]
    pub to_validators: Vec<u8>,
    /// Who signed it: the short address of a certificate's key.
    #[prost(bytes = "vec", tag = "11")]
    pub cert: Vec<u8>,
    /// The signature.
    #[prost(bytes = "vec", tag = "12")]
    pub signature: Vec<u8>,
}

/// A change of one key of the world state.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OperLog {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value before.
    #[prost(bytes = "vec", tag = "2")]
    pub old_value: Vec<u8>,
    /// Its value after.
    #[prost(bytes = "vec", tag = "3")]
    pub new_value: Vec<u8>,
}

/// What a transaction did.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TransactionResult {
    /// Which one.
    #[prost(string, tag = "1")]
    pub txid: String,
    /// What it changed, in order.
    #[prost(message, repeated, tag = "2")]
    pub ol: Vec<OperLog>,
    /// 0, or what went wrong.
    #[prost(uint32, tag = "3")]
    pub error_code: u32,
    /// What went wrong, in words.
    #[prost(string, tag = "4")]
    pub error: String,
}

/// What lies beside a block.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NonHashData {
    /// When it was added to the chain.
    #[prost(message, optional, tag = "1")]
    pub local_ledger_commit_timestamp: Option<Timestamp>,
    /// What its transactions did.
    #[prost(message, repeated, tag = "2")]
    pub transaction_results: Vec<TransactionResult>,
}

/// A block.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Block {
    /// Of the protocol.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// When it was endorsed.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// Its transactions, in order.
    #[prost(message, repeated, tag = "3")]
    pub transactions: Vec<Transaction>,
    /// The hash of the world state after it.
    #[prost(bytes = "vec", tag = "4")]
    pub state_hash: Vec<u8>,
    /// The hash of the block before it, as text; empty in the first one.
    #[prost(bytes = "vec", tag = "5")]
    pub previous_block_hash: Vec<u8>,
    /// The endorsements.
    #[prost(message, repeated, tag = "6")]
    pub consensus_metadata: Vec<Endorsement>,
    /// What lies beside it, and is hashed all the same.
    #[prost(message, optional, tag = "7")]
    pub non_hash_data: Option<NonHashData>,
}

/// What is known of a chain as a whole.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BlockchainInfo {
    /// The height of the last block, 0 without one.
    #[prost(uint64, tag = "1")]
    pub height: u64,
    /// How many transactions are in all blocks.
    #[prost(uint64, tag = "2")]
    pub total_transactions: u64,
    /// The hash of the last block, as text; empty without one.
    #[prost(bytes = "vec", tag = "3")]
    pub current_block_hash: Vec<u8>,
    /// The hash of the block before it, as text; empty where there is none.
    #[prost(bytes = "vec", tag = "4")]
    pub previous_block_hash: Vec<u8>,
    /// The hash of the world state after the last block, as the block has it.
    #[prost(bytes = "vec", tag = "5")]
    pub current_world_state_hash: Vec<u8>,
}

/// A message whose parts are of no fixed number: what one of it takes, and its fields that are
/// such messages.
struct Shape {
    bytes: usize,
    parts: &'static [(u64, Shape)],
}

const fn leaf(bytes: usize) -> Shape {
    Shape { bytes, parts: &[] }
}

const BLOCK: Shape = Shape {
    bytes: size_of::<Block>(),
    parts: &[
        (3, TRANSACTION),
        (6, leaf(size_of::<Endorsement>())),
        (7, NON_HASH_DATA),
    ],
};

const TRANSACTION: Shape = Shape {
    bytes: size_of::<Transaction>(),
    parts: &[(3, CHAINCODE_SPEC)],
};

const CHAINCODE_SPEC: Shape = Shape {
    bytes: 0,
    parts: &[(2, CHAINCODE_INPUT)],
};

const CHAINCODE_INPUT: Shape = Shape {
    bytes: 0,
    parts: &[(2, leaf(size_of::<String>()))],
};

const NON_HASH_DATA: Shape = Shape {
    bytes: 0,
    parts: &[(2, TRANSACTION_RESULT)],
};

const TRANSACTION_RESULT: Shape = Shape {
    bytes: size_of::<TransactionResult>(),
    parts: &[(2, leaf(size_of::<OperLog>()))],
};

/// A number at the front of some bytes, and the rest.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

/// What the parts of a message take, and the bytes behind the field that was looked at last.
fn weigh<'b>(shape: &Shape, bytes: &'b [u8], weight: &mut u64) -> Option<&'b [u8]> {
    let (key, rest) = varint(bytes)?;
    match key & 7 {
        0 => varint(rest).map(|(_, rest)| rest),
        1 => rest.get(8..),
        5 => rest.get(4..),
        2 => {
            let (len, rest) = varint(rest)?;
            let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            let part = shape.parts.iter().find(|(field, _)| *field == key >> 3);
            if let Some((_, part)) = part {
                *weight += weight_of(part, value);
            }
            Some(rest)
        }
        // The ends of groups, which these messages do not have: what is between is passed over
        // when it is decoded, and counted here.
        3 | 4 => Some(rest),
        _ => None,
    }
}

fn weight_of(shape: &Shape, mut bytes: &[u8]) -> u64 {
    let mut weight = shape.bytes as u64;
    while !bytes.is_empty() {
        match weigh(shape, bytes, &mut weight) {
            Some(rest) => bytes = rest,
            // Decoding ends here as well, or before.
            None => break,
        }
    }
    weight
}

/// How many bytes of memory the parts of a block take when it is decoded, beside the bytes that it
/// has itself; told by walking over it once, of any bytes.
pub(crate) fn decoded_bytes(block: &[u8]) -> u64 {
    weight_of(&BLOCK, block)
}
