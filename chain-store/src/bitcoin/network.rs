//! The networks whose block files are known: magic, genesis hash, easiest target.
//!
//! Must always hold: the magics differ, and none begins with a zero byte, so that zero padding
//! can be told from a record. Source: Bitcoin Core `src/kernel/chainparams.cpp`; the test builds
//! every genesis block and hashes it. A private signet derives its magic from its own challenge
//! and is therefore not known here.

use std::fmt;

use super::hash::{BtcHash, from_display_order};

/// A network with a block file format of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Network {
    /// The main network.
    Mainnet,
    /// The third test network.
    Testnet3,
    /// The fourth test network (BIP 94).
    Testnet4,
    /// The default signet (BIP 325).
    Signet,
    /// Local regression test chains.
    Regtest,
}

impl Network {
    /// Every known network.
    pub const ALL: [Self; 5] = [
        Self::Mainnet,
        Self::Testnet3,
        Self::Testnet4,
        Self::Signet,
        Self::Regtest,
    ];

    /// The network whose records begin with these four bytes.
    #[must_use]
    pub fn from_magic(magic: [u8; 4]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|network| network.magic() == magic)
    }

    /// The network that begins with the block of this hash.
    #[must_use]
    pub fn from_genesis(hash: &BtcHash) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|network| network.genesis_hash() == *hash)
    }

    /// The four bytes before every record, in file order.
    #[must_use]
    pub const fn magic(self) -> [u8; 4] {
        match self {
            Self::Mainnet => [0xf9, 0xbe, 0xb4, 0xd9],
            Self::Testnet3 => [0x0b, 0x11, 0x09, 0x07],
            Self::Testnet4 => [0x1c, 0x16, 0x3f, 0x28],
            Self::Signet => [0x0a, 0x03, 0xcf, 0x40],
            Self::Regtest => [0xfa, 0xbf, 0xb5, 0xda],
        }
    }

    /// The hash of the block at height 0.
    #[must_use]
    pub const fn genesis_hash(self) -> BtcHash {
        BtcHash::from_bytes(from_display_order(match self {
            Self::Mainnet => b"000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            Self::Testnet3 => b"000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
            Self::Testnet4 => b"00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
            Self::Signet => b"00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
            Self::Regtest => b"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        }))
    }

    /// The easiest target a header of this network may state, in compact form.
    #[must_use]
    pub const fn easiest_bits(self) -> u32 {
        match self {
            Self::Mainnet | Self::Testnet3 | Self::Testnet4 => 0x1d00_ffff,
            Self::Signet => 0x1e03_77ae,
            Self::Regtest => 0x207f_ffff,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mainnet => "mainnet",
            Self::Testnet3 => "testnet3",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        })
    }
}
