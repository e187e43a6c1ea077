//! Keys: order, round trip, one encoding a value, prefix freedom, exact bytes, hostile bytes.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq};

use super::{check, strings};
use crate::codec::{KeyCodec, KeyEncode, KeyPart, Tail};
use crate::error::{ErrorKind, Result};
use crate::range::KeyRange;

/// Bytes that the escape treats differently, and their neighbours.
const ALPHABET: [u8; 4] = [0x00, 0x01, 0xfe, 0xff];

fn assert_codec<T: KeyCodec + Ord + Debug>(values: &[T]) -> Result<()> {
    let keys: Vec<_> = values.iter().map(KeyEncode::to_key).collect();
    for (a, key_a) in values.iter().zip(&keys) {
        assert_eq!(&T::decode(key_a)?, a);
        assert!(T::BYTES_MAX.is_none_or(|max| key_a.len() <= max), "{a:?}");
        for (b, key_b) in values.iter().zip(&keys) {
            assert_eq!(a.cmp(b), key_a.cmp(key_b), "{a:?} against {b:?}");
        }
    }
    Ok(())
}

fn assert_part<T: KeyCodec + KeyPart + Ord + Debug + Clone>(values: &[T]) -> Result<()> {
    assert_codec(values)?;
    assert_codec(&values.iter().cloned().map(Reverse).collect::<Vec<_>>())?;
    for a in values {
        for b in values {
            let prefix = b.to_key().starts_with(&a.to_key());
            assert!(!prefix || a == b, "{a:?} begins {b:?}");
        }
    }
    Ok(())
}

macro_rules! assert_integers {
    ($($int:ty)*) => {$(
        let below_zero = (0 as $int).wrapping_sub(1);
        let mut values = BTreeSet::from([<$int>::MIN, <$int>::MAX, 0, 1, below_zero]);
        for bit in 0..<$int>::BITS {
            let power = (1 as $int).wrapping_shl(bit);
            values.extend([power, power.wrapping_sub(1), power.wrapping_add(1), !power]);
        }
        assert_part(&values.into_iter().collect::<Vec<_>>())?;
        assert_eq!(<$int>::BYTES_MAX, Some(size_of::<$int>()));
    )*};
}

#[test]
fn integers_and_bools_keep_their_order() -> Result<()> {
    assert_integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
    assert_part(&[false, true])?;
    assert_part(&[[0, 0, 0], [0, 0, 255], [1, 0, 0], [255, 255, 255_u8]])
}

#[test]
fn every_short_string_keeps_its_order() -> Result<()> {
    let all = strings(&ALPHABET, 4);
    assert_eq!(all.len(), 1 + 4 + 16 + 64 + 256);
    assert_part(&all)?;
    assert_codec(&all.iter().cloned().map(Tail).collect::<Vec<_>>())?;
    let texts: Vec<_> = [
        "",
        "\0",
        "\0\0",
        "\u{1}",
        "a",
        "a\0",
        "a\0b",
        "ab",
        "\u{ff}",
        "\u{10ffff}",
    ]
    .map(String::from)
    .into();
    assert_part(&texts)?;
    assert_codec(&texts.into_iter().map(Tail).collect::<Vec<_>>())
}

#[test]
fn every_pair_of_short_strings_keeps_its_order() -> Result<()> {
    let short = strings(&ALPHABET, 2);
    let pairs = || {
        short
            .iter()
            .flat_map(|a| short.iter().map(move |b| (a.clone(), b.clone())))
    };
    assert_part(&pairs().collect::<Vec<_>>())?;
    assert_part(&pairs().map(|(a, b)| (Reverse(a), b)).collect::<Vec<_>>())?;
    assert_part(&pairs().map(|(a, b)| (a, Reverse(b))).collect::<Vec<_>>())?;
    assert_codec(&pairs().map(|(a, b)| (a, Tail(b))).collect::<Vec<_>>())?;
    assert_codec(
        &pairs()
            .map(|(a, b)| (Reverse(a), Tail(b)))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn options_put_none_first() -> Result<()> {
    let mut values: Vec<_> = strings(&ALPHABET, 3).into_iter().map(Some).collect();
    values.push(None);
    assert_part(&values)?;
    assert_codec(
        &values
            .iter()
            .cloned()
            .map(|v| v.map(Tail))
            .collect::<Vec<_>>(),
    )?;
    let nested: Vec<_> = [None, Some(None), Some(Some(0_u8)), Some(Some(255))].into();
    assert_part(&nested)?;
    assert_eq!(Option::<Option<u8>>::BYTES_MAX, Some(3));
    assert_eq!(Option::<String>::BYTES_MAX, None);
    Ok(())
}

type Mixed = (
    Option<Vec<u8>>,
    Reverse<(String, Option<i16>)>,
    i64,
    Reverse<Reverse<Vec<u8>>>,
    (bool, [u8; 2]),
    Tail<Vec<u8>>,
);

/// Few distinct values a part, so that two cases often agree in the first ones.
fn mixed() -> impl Strategy<Value = Mixed> {
    let bytes = || prop::collection::vec(prop::sample::select(&ALPHABET[..]), 0..4);
    (
        prop::option::of(bytes()),
        (
            prop::sample::select(vec!["", "\0", "a", "a\0", "ab"]),
            prop::option::of(-1_i16..2),
        ),
        prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]),
        bytes(),
        (any::<bool>(), prop::array::uniform2(254_u8..)),
        bytes(),
    )
        .prop_map(|(a, (name, at), c, d, e, f)| {
            (
                a,
                Reverse((name.into(), at)),
                c,
                Reverse(Reverse(d)),
                e,
                Tail(f),
            )
        })
}

#[test]
fn mixed_tuples_keep_their_order() {
    check(&(mixed(), mixed()), |(a, b)| {
        prop_assert_eq!(a.cmp(&b), a.to_key().cmp(&b.to_key()));
        // The same with the leading parts made equal, so that later ones decide.
        let near = (a.0.clone(), a.1.clone(), a.2, b.3, b.4, b.5);
        prop_assert_eq!(a.cmp(&near), a.to_key().cmp(&near.to_key()));
        prop_assert_eq!(Mixed::decode(&a.to_key()).ok(), Some(a));
        Ok(())
    });
}

#[test]
fn long_strings_of_any_bytes_keep_their_order() {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    check(&(bytes(), bytes(), any::<u64>()), |(a, b, n)| {
        let (left, right) = ((a, n), (b, n ^ 1));
        prop_assert_eq!(left.cmp(&right), left.to_key().cmp(&right.to_key()));
        prop_assert_eq!(
            <(Vec<u8>, u64)>::decode(&left.to_key()).ok(),
            Some(left.clone())
        );
        let grown = (left.0.iter().copied().chain([0]).collect::<Vec<_>>(), n);
        prop_assert!(left.to_key() < grown.to_key());
        Ok(())
    });
}

#[test]
fn the_bytes_are_fixed() {
    assert_eq!(0x0102_u16.to_key(), [1, 2]);
    assert_eq!((-1_i16).to_key(), [0x7f, 0xff]);
    assert_eq!(i32::MIN.to_key(), [0, 0, 0, 0]);
    assert_eq!(true.to_key(), [1]);
    assert_eq!([7_u8, 0].to_key(), [7, 0]);
    assert_eq!(b"a\0b"[..].to_key(), b"a\0\xffb\0\0");
    assert_eq!("".to_key(), [0, 0]);
    assert_eq!(String::from("x").to_key(), "x".to_key());
    assert_eq!(b"x".to_vec().to_key(), "x".to_key());
    assert_eq!(Tail("a\0").to_key(), b"a\0");
    assert_eq!(None::<u8>.to_key(), [0]);
    assert_eq!(Some(5_u8).to_key(), [1, 5]);
    assert_eq!(Reverse(1_u16).to_key(), [0xff, 0xfe]);
    assert_eq!(Reverse("a").to_key(), [!b'a', 0xff, 0xff]);
    assert_eq!(("k", 1_u8, &Tail(b"t")).to_key(), b"k\0\0\x01t");
    assert_eq!(<(u8, u16, u32, u64, u128, [u8; 3])>::BYTES_MAX, Some(34));
    assert_eq!(<(u8, &str)>::BYTES_MAX, None);
}

/// What decodes is the one encoding of what it decodes to.
fn assert_one_encoding<T: KeyCodec + Debug>(key: &[u8]) -> bool {
    match T::decode(key) {
        Ok(value) => {
            assert_eq!(value.to_key(), key, "{value:?}");
            true
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Codec { .. }), "{error}");
            false
        }
    }
}

fn assert_hostile(key: &[u8]) -> [bool; 13] {
    [
        assert_one_encoding::<u32>(key),
        assert_one_encoding::<i16>(key),
        assert_one_encoding::<bool>(key),
        assert_one_encoding::<[u8; 5]>(key),
        assert_one_encoding::<Vec<u8>>(key),
        assert_one_encoding::<String>(key),
        assert_one_encoding::<Option<Vec<u8>>>(key),
        assert_one_encoding::<Reverse<Vec<u8>>>(key),
        assert_one_encoding::<Reverse<Option<String>>>(key),
        assert_one_encoding::<Tail<Vec<u8>>>(key),
        assert_one_encoding::<Tail<String>>(key),
        assert_one_encoding::<(Vec<u8>, Reverse<Vec<u8>>)>(key),
        assert_one_encoding::<(bool, Option<u8>, Tail<Vec<u8>>)>(key),
    ]
}

#[test]
fn every_short_key_decodes_to_itself_or_fails() {
    let mut decoded = [0_u32; 13];
    let all = strings(&ALPHABET, 6);
    for key in &all {
        for (count, is_key) in decoded.iter_mut().zip(assert_hostile(key)) {
            *count += u32::from(is_key);
        }
    }
    // Every codec has had keys that decode; those of which the number is plain have had exactly
    // that number.
    assert!(decoded.iter().all(|count| *count > 0), "{decoded:?}");
    let [u32s, i16s, bools, fives, ..] = decoded;
    assert_eq!((u32s, i16s, bools, fives), (256, 16, 2, 1024));
    assert_eq!((decoded[9] as usize, decoded[4]), (all.len(), decoded[7]));
}

#[test]
fn random_keys_and_damaged_keys_decode_to_themselves_or_fail() {
    check(&prop::collection::vec(any::<u8>(), 0..64), |key| {
        assert_hostile(&key);
        assert_one_encoding::<Mixed>(&key);
        Ok(())
    });
    check(
        &(mixed(), any::<prop::sample::Index>(), any::<u8>()),
        |(value, at, byte)| {
            let mut key = value.to_key();
            let at = at.index(key.len());
            assert_one_encoding::<Mixed>(&key[..at]);
            key[at] = byte;
            assert_one_encoding::<Mixed>(&key);
            Ok(())
        },
    );
}

#[test]
fn messages_name_lengths_and_no_bytes() {
    let message = |result: Result<(u8, u32)>| result.map_err(|e| e.to_string());
    assert_eq!(
        message(KeyCodec::decode(&[1, 2, 3])),
        Err("codec: key: expected 4 more bytes, found 2".into())
    );
    assert_eq!(
        message(KeyCodec::decode(&[1, 0, 0, 0, 2, 9, 9])),
        Err("codec: key: expected the end after 5 bytes, found 2 more".into())
    );
    let text = String::decode(b"ab\xff\0\0").map_err(|e| e.to_string());
    let found = "codec: key: expected text, found 3 bytes that are not UTF-8 behind the first 2";
    assert_eq!(text, Err(found.into()));
}

#[test]
fn the_latest_version_is_one_seek_away() -> Result<()> {
    let rows: BTreeSet<_> = [("a", 3), ("a", 7), ("a", 9), ("ab", 1), ("b", 8_u64)]
        .map(|(name, height)| (name, Reverse(height)).to_key())
        .into();
    let latest = |name: &str, height: u64| -> Result<Option<u64>> {
        let range = KeyRange::prefix(&name.to_key());
        let seek = (name, Reverse(height)).to_key();
        let row = rows.range(seek..).next().filter(|row| range.contains(row));
        row.map(|row| <(String, Reverse<u64>)>::decode(row).map(|(_, height)| height.0))
            .transpose()
    };
    assert_eq!((latest("a", 8)?, latest("a", 7)?), (Some(7), Some(7)));
    assert_eq!((latest("a", 2)?, latest("a", u64::MAX)?), (None, Some(9)));
    assert_eq!((latest("ab", 5)?, latest("b", 7)?), (Some(1), None));
    Ok(())
}
