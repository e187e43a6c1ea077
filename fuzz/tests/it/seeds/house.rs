//! Markers, seals, envelopes, coded keys and values, whole and harmed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use backend_kit::directory::{Marker, State};
use storage_api::codec::{Codec, KeyEncode, Postcard};
use storage_api::{CommitSeq, TableDef, TableId, TableInfo, envelope};

use super::{Seed, seed};

fn marker() -> String {
    let table = |number: u16, def: TableDef| TableInfo {
        id: TableId::new(number),
        def,
    };
    let marker = Marker {
        engine: "mem".to_owned(),
        engine_format: 1,
        written_by: "0.1.0".to_owned(),
        store_id: 0x0123_4567_89ab_cdef,
        chain_id: None,
        state: State::Ready,
        next_table: 9,
        tables: vec![
            table(1, TableDef::new("blocks.index").append_only()),
            table(7, TableDef::new("blocks.state").point_lookups()),
        ],
    };
    marker.to_text()
}

fn marker_seeds() -> Vec<Seed> {
    let good = marker();
    let filling = format!("state filling {:032x} {}", 7, CommitSeq::new(9));
    let cases = [
        ("good", good.clone()),
        ("cut", good[..60].to_owned()),
        ("without-checksum", good[..good.len() - 16].to_owned()),
        ("other-checksum", good.replace("crc32c ", "crc32c 0")),
        ("newer", good.replace("directory 1", "directory 2")),
        (
            "version-with-sign",
            good.replace("directory 1", "directory +1"),
        ),
        (
            "version-with-spaces",
            good.replace("directory 1", "directory   1 "),
        ),
        ("carriage-returns", good.replace('\n', "\r\n")),
        ("id-in-capitals", good.replace("89abcdef", "89ABCDEF")),
        ("id-with-sign", good.replace("store-id 0", "store-id +")),
        (
            "id-short",
            good.replace("store-id 0000000000000000", "store-id "),
        ),
        (
            "number-with-zeros",
            good.replace("next-table 9", "next-table 009"),
        ),
        ("filling", good.replace("state ready", &filling)),
        (
            "filling-with-sign",
            good.replace("state ready", &filling.replace(" 9", " +9")),
        ),
        ("creating", good.replace("state ready", "state creating")),
        ("chain", good.replace("chain-id -", "chain-id bitcoin")),
        ("chain-empty", good.replace("chain-id -", "chain-id ")),
        ("tables-swapped", good.replace("table 7", "table 1")),
        ("table-twice", good.replace("blocks.state", "blocks.index")),
        ("table-without-name", good.replace("blocks.state", "")),
        ("table-past-next", good.replace("table 7", "table 9")),
        ("table-0", good.replace("table 1", "table 0")),
        ("unknown-line", good.replace("table 7", "colour 7")),
        (
            "seal",
            "chainstore-seal 1\ncommit 42\ncrc32c 00000000\n".to_owned(),
        ),
        (
            "seal-with-sign",
            "chainstore-seal +1\ncommit +42\ncrc32c 00000000\n".to_owned(),
        ),
        (
            "seal-too-large",
            format!("chainstore-seal 1\ncommit {}0\n", u64::MAX),
        ),
        ("seal-newer", "chainstore-seal 2\ncommit 42\n".to_owned()),
    ];
    let mut seeds: Vec<Seed> = cases
        .iter()
        .map(|(name, text)| match name.strip_prefix("seal-") {
            Some(name) => seed("seal", name, text.as_bytes()),
            None => seed("marker", name, text.as_bytes()),
        })
        .collect();
    for target in ["marker", "seal"] {
        seeds.push(seed(target, "no-text", &[0xff; 40]));
        seeds.push(seed(target, "empty", &[]));
    }
    seeds
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = marker_seeds();
    let mut sealed = Vec::new();
    envelope::seal(TableId::new(7), b"key", b"some value", &mut sealed);
    let row = [&[7, 0, 3][..], b"key", &sealed].concat();
    seeds.push(seed("envelope", "good", &row));
    seeds.push(seed("envelope", "cut", &row[..row.len() - 1]));
    seeds.push(seed("envelope", "too-short", &row[..8]));
    let other = [&[8, 0, 3][..], b"key", &sealed].concat();
    seeds.push(seed("envelope", "other-table", &other));
    let other = [&[7, 0, 3][..], b"kex", &sealed].concat();
    seeds.push(seed("envelope", "other-key", &other));

    let mut value = Vec::new();
    let map = BTreeMap::from([(1_u8, "one".to_owned()), (2, "two".to_owned())]);
    let rows = (map, vec![vec![1_u8, 2], Vec::new()]);
    Postcard::<_, 1>::encode(&rows, &mut value).unwrap();
    let cases: [(&str, Vec<u8>); 10] = [
        ("number", 7_u64.to_key()),
        ("bytes", vec![1_u8, 0, 0xff].to_key()),
        ("bytes-without-end", vec![1, 2, 3]),
        ("bytes-other-escape", vec![1, 0, 5]),
        ("option", Some(5_u16).to_key()),
        ("reversed", ("balance", Reverse(650_u64)).to_key()),
        ("text-not-utf8", vec![0xff, 0xfe, 0, 0]),
        ("value", value),
        (
            "value-length-bomb",
            vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ),
        ("value-overlong", vec![1, 0x87, 0x00]),
    ];
    for (name, bytes) in cases {
        seeds.push(seed("key_codec", name, &bytes));
    }
    seeds
}
