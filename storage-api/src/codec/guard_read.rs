//! The reading guard: a deserializer around postcard's that bounds depth, elements and
//! preallocation.
//!
//! It hands every call on and wraps whatever is nested. Invariants: a nested value is one level of
//! the [`Meter`], so a recursive type cannot overflow the stack; an element of a sequence or map
//! that takes no byte is refused, so time is bounded by the input's length; a size hint is never
//! above the bytes left, so that no length prefix makes a collection reserve more elements than the
//! input could hold.

use std::fmt;

use postcard::de_flavors::Flavor;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::codec::meter::{Level, Meter};

/// The input of postcard's deserializer, counted by the meter.
pub(super) struct Input<'de> {
    pub(super) rest: &'de [u8],
    pub(super) meter: &'de Meter,
}

impl<'de> Flavor<'de> for Input<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        match self.rest.split_first() {
            Some((byte, rest)) if self.meter.advance(1) => {
                self.rest = rest;
                Ok(*byte)
            }
            _ => Err(postcard::Error::DeserializeUnexpectedEnd),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }

    #[inline]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) if self.meter.advance(count) => {
                self.rest = rest;
                Ok(taken)
            }
            _ => Err(postcard::Error::DeserializeUnexpectedEnd),
        }
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.rest)
    }
}

/// Whether the number of elements comes from the input or from the type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Prefixed,
    Typed,
}

/// Anything of serde's, with its level beside it. Which traits it has depends on what it holds.
pub(super) struct Guard<'m, I> {
    pub(super) inner: I,
    pub(super) level: Level<'m>,
}

struct Watch<'m, V> {
    inner: V,
    level: Level<'m>,
    length: Length,
}

struct Elements<'m, A> {
    inner: A,
    level: Level<'m>,
    length: Length,
    start: usize,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guard<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let level = self.level.deeper(D::Error::custom)?;
        self.inner.deserialize(Guard { inner, level })
    }
}

macro_rules! forward_deserialize {
    ($($name:ident($($arg:ident: $ty:ty),*) $length:ident;)*) => {$(
        #[inline]
        fn $name<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$name($($arg,)* Watch {
                inner: visitor,
                level: self.level,
                length: Length::$length,
            })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guard<'_, D> {
    type Error = D::Error;

    forward_deserialize! {
        deserialize_any() Prefixed;
        deserialize_bool() Typed;
        deserialize_i8() Typed;
        deserialize_i16() Typed;
        deserialize_i32() Typed;
        deserialize_i64() Typed;
        deserialize_i128() Typed;
        deserialize_u8() Typed;
        deserialize_u16() Typed;
        deserialize_u32() Typed;
        deserialize_u64() Typed;
        deserialize_u128() Typed;
        deserialize_f32() Typed;
        deserialize_f64() Typed;
        deserialize_char() Typed;
        deserialize_str() Typed;
        deserialize_string() Typed;
        deserialize_bytes() Typed;
        deserialize_byte_buf() Typed;
        deserialize_option() Typed;
        deserialize_unit() Typed;
        deserialize_unit_struct(name: &'static str) Typed;
        deserialize_newtype_struct(name: &'static str) Typed;
        deserialize_seq() Prefixed;
        deserialize_tuple(len: usize) Typed;
        deserialize_tuple_struct(name: &'static str, len: usize) Typed;
        deserialize_map() Prefixed;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) Typed;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) Typed;
        deserialize_identifier() Typed;
        deserialize_ignored_any() Prefixed;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! forward_visit {
    ($($name:ident($ty:ty);)*) => {$(
        #[inline]
        fn $name<E: Error>(self, value: $ty) -> Result<V::Value, E> {
            self.inner.$name(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watch<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    forward_visit! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let level = self.level.deeper(D::Error::custom)?;
        self.inner.visit_some(Guard { inner, level })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let level = self.level.deeper(D::Error::custom)?;
        self.inner.visit_newtype_struct(Guard { inner, level })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Elements {
            inner,
            level: self.level,
            length: self.length,
            start: self.level.meter.position(),
        })
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Elements {
            inner,
            level: self.level,
            length: self.length,
            start: self.level.meter.position(),
        })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Guard {
            inner,
            level: self.level,
        })
    }
}

impl<A> Elements<'_, A> {
    fn check<E: Error>(&self) -> Result<(), E> {
        match self.length {
            Length::Prefixed => self.level.meter.element_from(self.start, E::custom),
            Length::Typed => Ok(()),
        }
    }

    fn bounded(&self, hint: Option<usize>) -> Option<usize> {
        match self.length {
            Length::Prefixed => hint.map(|elements| elements.min(self.level.meter.remaining())),
            Length::Typed => hint,
        }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.start = self.level.meter.position();
        let element = self.inner.next_element_seed(Guard {
            inner: seed,
            level: self.level,
        })?;
        if element.is_some() {
            self.check()?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.bounded(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.start = self.level.meter.position();
        self.inner.next_key_seed(Guard {
            inner: seed,
            level: self.level,
        })
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(Guard {
            inner: seed,
            level: self.level,
        })?;
        self.check()?;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.bounded(self.inner.size_hint())
    }
}

impl<'de, 'm, A: EnumAccess<'de>> EnumAccess<'de> for Guard<'m, A> {
    type Error = A::Error;
    type Variant = Guard<'m, A::Variant>;

    /// The tag of a variant is a number and nests nothing, so its seed goes through unwrapped.
    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let level = self.level;
        let (tag, inner) = self.inner.variant_seed(seed)?;
        Ok((tag, Guard { inner, level }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guard<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Guard {
            inner: seed,
            level: self.level,
        })
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, inner: V) -> Result<V::Value, A::Error> {
        let length = Length::Typed;
        let level = self.level;
        self.inner.tuple_variant(
            len,
            Watch {
                inner,
                level,
                length,
            },
        )
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        inner: V,
    ) -> Result<V::Value, A::Error> {
        let length = Length::Typed;
        let level = self.level;
        self.inner.struct_variant(
            fields,
            Watch {
                inner,
                level,
                length,
            },
        )
    }
}
