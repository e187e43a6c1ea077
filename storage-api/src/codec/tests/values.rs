//! Values: exact bytes, round trip, limits in both directions, one encoding a value, hostile bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use proptest::prelude::{Just, Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, prop_oneof};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{check, strings};
use crate::codec::{AnyForm, Codec, Postcard, VALUE_BYTES_MAX, VALUE_DEPTH_MAX, value_version};
use crate::error::{Error, ErrorKind, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(i128),
    Tuple(u8, String),
    Struct { at: Option<u32>, on: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(u128);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    shapes: Vec<Shape>,
    counts: BTreeMap<u16, Vec<u64>>,
    wrapped: Wrapped,
    pair: (i8, char),
    unit: (),
    hash: [u8; 4],
    rate_bits: Option<i64>,
}

type RowCodec = Postcard<Row, 3>;

fn encoded<T, C: Codec<T>>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    C::encode(value, &mut bytes)?;
    Ok(bytes)
}

fn reason(error: &Error) -> &str {
    match error.kind() {
        ErrorKind::Codec { reason } => reason,
        other => panic!("not a codec error: {other}"),
    }
}

fn refusal<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    <Postcard<T, 1>>::decode(bytes)
        .err()
        .map(|error| reason(&error).to_owned())
}

fn refused<T: Serialize + DeserializeOwned>(bytes: &[u8], because: &str) -> bool {
    refusal::<T>(bytes).is_some_and(|reason| reason.contains(because))
}

fn row() -> impl Strategy<Value = Row> {
    let shape = prop_oneof![
        Just(Shape::Unit),
        any::<i128>().prop_map(Shape::Newtype),
        (any::<u8>(), ".{0,4}").prop_map(|(n, text)| Shape::Tuple(n, text)),
        (any::<Option<u32>>(), any::<bool>()).prop_map(|(at, on)| Shape::Struct { at, on }),
    ];
    let counts = prop::collection::btree_map(
        any::<u16>(),
        prop::collection::vec(any::<u64>(), 0..4),
        0..4,
    );
    (
        ".{0,8}",
        prop::collection::vec(shape, 0..4),
        counts,
        any::<u128>(),
        any::<(i8, char)>(),
        any::<[u8; 4]>(),
        any::<Option<i64>>(),
    )
        .prop_map(
            |(name, shapes, counts, wrapped, pair, hash, rate_bits)| Row {
                name,
                shapes,
                counts,
                wrapped: Wrapped(wrapped),
                pair,
                unit: (),
                hash,
                rate_bits,
            },
        )
}

#[test]
fn rows_come_back_and_are_postcard_behind_a_version() {
    check(&row(), |row| {
        let mut bytes = b"kept".to_vec();
        prop_assert!(RowCodec::encode(&row, &mut bytes).is_ok());
        let plain = postcard::to_stdvec(&row).unwrap_or_default();
        prop_assert_eq!(&bytes[..5], b"kept\x03");
        prop_assert_eq!(&bytes[5..], &plain[..]);
        prop_assert_eq!(RowCodec::decode(&bytes[4..]).ok(), Some(row));
        Ok(())
    });
}

#[test]
fn damaged_rows_decode_to_themselves_or_fail() {
    let strategy = (row(), any::<prop::sample::Index>(), any::<u8>());
    check(&strategy, |(row, at, byte)| {
        let mut bytes = encoded::<_, RowCodec>(&row).unwrap_or_default();
        let at = at.index(bytes.len());
        prop_assert!(RowCodec::decode(&bytes[..at]).is_err());
        bytes[at] = byte;
        if let Ok(read) = RowCodec::decode(&bytes) {
            prop_assert_eq!(encoded::<_, RowCodec>(&read).ok(), Some(bytes));
        }
        Ok(())
    });
}

#[test]
fn random_bytes_decode_to_themselves_or_fail() {
    fn property<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
        let value = <Postcard<T, 1>>::decode(bytes);
        if let Ok(value) = &value {
            let again = encoded::<T, Postcard<T, 1>>(value).ok();
            assert_eq!(again.as_deref(), Some(bytes));
        }
        value.is_ok()
    }
    fn all(bytes: &[u8]) -> [bool; 6] {
        [
            property::<Vec<Shape>>(bytes),
            property::<Vec<Vec<Option<char>>>>(bytes),
            property::<BTreeMap<String, (u16, bool)>>(bytes),
            property::<Tree>(bytes),
            property::<Vec<()>>(bytes),
            property::<(u64, i64, Option<bool>)>(bytes),
        ]
    }
    let mut decoded = [0; 6];
    for body in strings(&[0, 1, 2, 0x80, 0xff], 6) {
        let outcome = all(&[&[1], &body[..]].concat());
        for (count, is_value) in decoded.iter_mut().zip(outcome) {
            *count += u32::from(is_value);
        }
    }
    // Nothing but the empty list of elements without bytes; of the others many, else the property
    // held for want of cases.
    assert!(decoded[4] == 1, "{decoded:?}");
    assert!(
        decoded.iter().filter(|count| **count >= 16).count() == 5,
        "{decoded:?}"
    );
    check(&prop::collection::vec(any::<u8>(), 0..80), |mut bytes| {
        bytes.insert(0, 1);
        all(&bytes);
        property::<Row>(&bytes);
        Ok(())
    });
}

#[test]
fn the_version_and_the_length_are_checked_first() -> Result<()> {
    let bytes = encoded::<_, Postcard<u32, 7>>(&300)?;
    assert_eq!(bytes, [7, 0xac, 0x02]);
    assert_eq!((value_version(&bytes), value_version(&[])), (Some(7), None));
    assert!(refused::<u32>(
        &bytes,
        "u32 version 1: expected version 1, found 7"
    ));
    assert!(refused::<u32>(
        &[],
        "expected a version byte, found no bytes"
    ));
    assert!(refused::<u32>(
        &[1, 5, 0, 0],
        "expected the end after 2 bytes, found 2 more"
    ));
    assert!(refused::<u32>(&[1, 0x80], "decoding failed after 2 bytes"));
    let long = vec![1; VALUE_BYTES_MAX + 1];
    assert!(refused::<u32>(
        &long,
        "expected at most 16777216 bytes, found 16777217"
    ));
    Ok(())
}

#[test]
fn a_value_past_the_limit_is_neither_written_nor_read() -> Result<()> {
    type Short = Postcard<String, 1, 6>;
    let mut out = b"kept".to_vec();
    Short::encode(&"four".into(), &mut out)?;
    assert_eq!(out, b"kept\x01\x04four");
    let error = Short::encode(&"fives".into(), &mut out).err();
    assert!(
        error.is_some_and(|error| reason(&error).ends_with("expected at most 5 bytes, found more"))
    );
    assert_eq!(out, b"kept\x01\x04four");
    assert_eq!(Short::decode(&out[4..])?, "four");
    assert!(Short::decode(b"\x01\x05fives").is_err());
    Ok(())
}

#[test]
fn only_the_one_encoding_is_read_unless_any_form_is_asked_for() -> Result<()> {
    fn assert_other_form<T>(bytes: &[u8], value: &T) -> Result<()>
    where
        T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
    {
        assert!(refused::<T>(
            bytes,
            "expected the one encoding of the value, found another"
        ));
        let read = <Postcard<T, 1, VALUE_BYTES_MAX, AnyForm>>::decode(bytes)?;
        assert_eq!(&read, value);
        Ok(())
    }
    assert_other_form(&[1, 0x80, 0x00], &0_u16)?;
    assert_other_form(&[1, 0x82, 0x80, 0x00, 1, 2], &vec![1_u8, 2])?;
    assert_other_form(&[1, 2, b'a', b'b'], &'a')?;
    assert_other_form(&[1, 2, 5, 1, 5, 2], &BTreeMap::from([(5_u8, 2_u8)]))?;
    assert_other_form(&[1, 2, 6, 1, 5, 2], &BTreeMap::from([(5_u8, 2_u8), (6, 1)]))?;
    // A type that writes fewer bytes than it read.
    assert!(refused::<SeqHint>(&[1, 2, 7, 7], "found another"));
    let any_form = <Postcard<u8, 1, VALUE_BYTES_MAX, AnyForm>>::decode(&[1, 5, 0]);
    assert!(any_form.is_err_and(|error| reason(&error).contains("found 1 more")));
    Ok(())
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Empty {
    nothing: (),
    none: [(); 3],
}

#[test]
fn elements_without_bytes_are_neither_written_nor_read() -> Result<()> {
    fn assert_none<T: Serialize + DeserializeOwned>(some: &T) {
        let because = "expected elements of 1 byte or more, found one of 0";
        let written = encoded::<T, Postcard<T, 1>>(some);
        assert!(written.is_err_and(|error| reason(&error).ends_with(because)));
        // 268,435,455 elements from 4 bytes, and the largest number there is.
        assert!(refused::<T>(&[1, 0xff, 0xff, 0xff, 0x7f], because));
        let most = [1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert!(refused::<T>(&most, because));
        let any_form = <Postcard<T, 1, VALUE_BYTES_MAX, AnyForm>>::decode(&most);
        assert!(any_form.is_err_and(|error| reason(&error).ends_with(because)));
    }
    assert_none(&vec![()]);
    assert_none(&vec![Empty::default()]);
    assert_none(&vec![[(), ()]]);
    assert_none(&BTreeMap::from([((), ())]));
    // Nested in something that has bytes they are refused too, and alone they are fine.
    assert!(refused::<Vec<Vec<()>>>(
        &[1, 1, 0xff, 0xff, 0xff, 0x7f],
        "1 byte or more"
    ));
    assert!(refused::<(u8, Option<Vec<()>>)>(
        &[1, 9, 1, 5],
        "1 byte or more"
    ));
    let unit_keys = BTreeMap::from([((), 5_u8)]);
    assert_eq!(encoded::<_, Postcard<_, 1>>(&unit_keys)?, [1, 1, 5]);
    assert_eq!(
        <Postcard<BTreeMap<(), u8>, 1>>::decode(&[1, 1, 5])?,
        unit_keys
    );
    assert_eq!(encoded::<_, Postcard<_, 1>>(&Empty::default())?, [1]);
    assert_eq!(<Postcard<Empty, 1>>::decode(&[1])?, Empty::default());
    assert_eq!(<Postcard<Vec<()>, 1>>::decode(&[1, 0])?, []);
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Branch(Box<Tree>),
    Fork { left: Box<Tree>, right: Box<Tree> },
    Many(Vec<Tree>),
    Maybe(Option<Box<Tree>>),
    Named(BTreeMap<u8, Tree>),
    Same(Box<Same>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Same(Tree);

#[test]
fn recursive_types_end_at_the_depth_limit() {
    let deep: [(&[u8], &str); 6] = [
        (&[1], "branches"),
        (&[2], "forks"),
        (&[3, 1], "lists"),
        (&[4, 1], "options"),
        (&[5, 1, 0], "maps"),
        (&[6], "structs"),
    ];
    for (level, what) in deep {
        let mut bytes = vec![1];
        for _ in 0..200_000 {
            bytes.extend_from_slice(level);
        }
        bytes.push(0);
        assert!(
            refused::<Tree>(&bytes, "at most 64 levels of nested values, found more"),
            "{what}"
        );
    }
}

#[test]
fn what_is_written_can_be_read_to_the_last_level() {
    type TreeCodec = Postcard<Tree, 1>;
    let grow: [fn(Tree) -> Tree; 6] = [
        |tree| Tree::Branch(tree.into()),
        |tree| Tree::Fork {
            left: Tree::Leaf.into(),
            right: tree.into(),
        },
        |tree| Tree::Many(vec![Tree::Leaf, tree]),
        |tree| Tree::Maybe(Some(tree.into())),
        |tree| Tree::Named(BTreeMap::from([(1, tree)])),
        |tree| Tree::Same(Same(tree).into()),
    ];
    for grow in grow {
        let mut tree = Tree::Leaf;
        let mut levels = 0;
        while let Ok(bytes) = encoded::<_, TreeCodec>(&tree) {
            assert_eq!(TreeCodec::decode(&bytes).ok().as_ref(), Some(&tree));
            tree = grow(tree);
            levels += 1;
        }
        // Refused by both sides at the same level, and not before the limit divided by the levels
        // of one step.
        assert!(
            (VALUE_DEPTH_MAX / 3..=VALUE_DEPTH_MAX).contains(&levels),
            "{levels}"
        );
        let mut bytes = vec![1];
        bytes.extend(postcard::to_stdvec(&tree).unwrap_or_default());
        assert!(refused::<Tree>(&bytes, "64 levels"));
    }
}

#[test]
fn width_is_not_depth() -> Result<()> {
    let leaf = || Tree::Maybe(Some(Box::new(Tree::Branch(Tree::Leaf.into()))));
    let names = (0..=u8::MAX).map(|name| (name, leaf())).collect();
    let wide = Tree::Many(vec![Tree::Same(Same(Tree::Named(names)).into()); 9]);
    let bytes = encoded::<_, Postcard<_, 1>>(&wide)?;
    assert_eq!(<Postcard<Tree, 1>>::decode(&bytes)?, wide);
    Ok(())
}

/// Keeps what a collection would reserve for.
#[derive(Debug, Default, PartialEq)]
struct Hint(Option<usize>);

impl<'de> Visitor<'de> for Hint {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a collection")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self, A::Error> {
        let hint = seq.size_hint();
        while seq.next_element::<u8>()?.is_some() {}
        Ok(Self(hint))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self, A::Error> {
        Ok(Self(map.size_hint()))
    }
}

struct MapHint(Hint);
struct SeqHint(Hint);

impl<'de> Deserialize<'de> for MapHint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_map(Hint::default()).map(Self)
    }
}

impl<'de> Deserialize<'de> for SeqHint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_seq(Hint::default()).map(Self)
    }
}

impl Serialize for MapHint {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_unit()
    }
}

impl Serialize for SeqHint {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_unit()
    }
}

#[test]
fn a_length_prefix_reserves_no_more_than_the_bytes_that_follow() -> Result<()> {
    type Map = Postcard<(MapHint, [u8; 3]), 1, VALUE_BYTES_MAX, AnyForm>;
    let (map, _) = Map::decode(&[1, 0xff, 0xff, 0xff, 0x7f, 7, 7, 7])?;
    assert_eq!(map.0, Hint(Some(3)));
    type Seq = Postcard<SeqHint, 1, VALUE_BYTES_MAX, AnyForm>;
    assert_eq!(Seq::decode(&[1, 2, 7, 7])?.0, Hint(Some(2)));
    assert!(refused::<Vec<[u64; 30]>>(
        &[1, 0xff, 0xff, 0xff, 0x7f, 7],
        "failed after 6 bytes"
    ));
    assert!(refused::<String>(
        &[1, 0xff, 0xff, 0xff, 0x7f, 7],
        "failed after 5 bytes"
    ));
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u8>,
    n: u8,
}

#[test]
fn a_skipped_field_is_refused_when_it_is_written() -> Result<()> {
    type SkipsCodec = Postcard<Skips, 1>;
    assert_eq!(
        encoded::<_, SkipsCodec>(&Skips { at: Some(4), n: 5 })?,
        [1, 1, 4, 5]
    );
    let skipped = encoded::<_, SkipsCodec>(&Skips { at: None, n: 5 });
    assert!(skipped.is_err_and(|error| reason(&error).ends_with("found one that is skipped")));
    Ok(())
}

#[test]
fn the_guards_hand_everything_on() -> Result<()> {
    // Compact because the format is not human readable, which both guards must say.
    let address = Ipv4Addr::new(127, 0, 0, 1);
    assert_eq!(encoded::<_, Postcard<_, 1>>(&address)?, [1, 127, 0, 0, 1]);
    assert_eq!(
        <Postcard<Ipv4Addr, 1>>::decode(&[1, 127, 0, 0, 1])?,
        address
    );
    let nan = f64::from_bits(0x7ff8_dead_beef_0001);
    let bytes = encoded::<_, Postcard<_, 1>>(&(nan, -0.0_f32))?;
    let (read, zero) = <Postcard<(f64, f32), 1>>::decode(&bytes)?;
    assert_eq!((read.to_bits(), zero.to_bits()), (nan.to_bits(), 1 << 31));
    Ok(())
}
