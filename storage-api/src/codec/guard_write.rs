//! The writing guard: a serializer around postcard's that refuses what the reading guard would
//! refuse.
//!
//! Invariants: a value that is written is within the depth, the element and the length limits under
//! which it is read, so nothing is stored that cannot be loaded; a skipped field is refused,
//! because the format has no names to notice it by.

use std::fmt::Display;

use postcard::ser_flavors::Flavor;
use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::codec::meter::{Fault, Level, Meter};

/// The output of postcard's serializer, counted and bounded by the meter.
pub(super) struct Output<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) meter: &'o Meter,
}

impl Flavor for Output<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if !self.meter.advance(1) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.out.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if !self.meter.advance(bytes.len()) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// An output that writes nothing and fails at the first byte that differs from the expected ones.
pub(super) struct Compare<'e> {
    pub(super) expected: &'e [u8],
}

impl Flavor for Compare<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.expected.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.expected = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.expected = self
            .expected
            .strip_prefix(bytes)
            .ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.expected.is_empty() {
            Ok(())
        } else {
            Err(postcard::Error::SerializeBufferFull)
        }
    }
}

/// A value with its level beside it; writing it is one level.
pub(super) struct Nested<'v, T: ?Sized> {
    pub(super) value: &'v T,
    pub(super) level: Level<'v>,
}

impl<T: Serialize + ?Sized> Serialize for Nested<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let level = self.level.deeper(S::Error::custom)?;
        self.value.serialize(Guard { inner, level })
    }
}

struct Guard<'m, S> {
    inner: S,
    level: Level<'m>,
}

/// The parts of a sequence, tuple, struct or map that is being written.
struct Parts<'m, C> {
    inner: C,
    level: Level<'m>,
    start: usize,
}

impl<'m, C> Parts<'m, C> {
    fn new(inner: C, level: Level<'m>) -> Self {
        let start = level.meter.position();
        Self {
            inner,
            level,
            start,
        }
    }

    fn nested<'v, T: ?Sized>(&self, value: &'v T) -> Nested<'v, T>
    where
        'm: 'v,
    {
        Nested {
            value,
            level: self.level,
        }
    }

    fn skipped<E: Error>(&self) -> E {
        E::custom(self.level.meter.refuse(Fault::FieldSkipped))
    }
}

macro_rules! forward_scalar {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $name(self, $($arg: $ty),*) -> Result<S::Ok, S::Error> {
            self.inner.$name($($arg),*)
        }
    )*};
}

macro_rules! forward_parts {
    ($($name:ident($($arg:ident: $ty:ty),*) $assoc:ident;)*) => {$(
        #[inline]
        fn $name(self, $($arg: $ty),*) -> Result<Self::$assoc, S::Error> {
            Ok(Parts::new(self.inner.$name($($arg),*)?, self.level))
        }
    )*};
}

impl<'m, S: Serializer> Serializer for Guard<'m, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'m, S::SerializeSeq>;
    type SerializeTuple = Parts<'m, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'m, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'m, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'m, S::SerializeMap>;
    type SerializeStruct = Parts<'m, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'m, S::SerializeStructVariant>;

    forward_scalar! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, tag: u32, variant: &'static str);
    }

    forward_parts! {
        serialize_seq(len: Option<usize>) SerializeSeq;
        serialize_tuple(len: usize) SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, tag: u32, variant: &'static str, len: usize)
            SerializeTupleVariant;
        serialize_map(len: Option<usize>) SerializeMap;
        serialize_struct(name: &'static str, len: usize) SerializeStruct;
        serialize_struct_variant(name: &'static str, tag: u32, variant: &'static str, len: usize)
            SerializeStructVariant;
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let level = self.level;
        self.inner.serialize_some(&Nested { value, level })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let level = self.level;
        self.inner
            .serialize_newtype_struct(name, &Nested { value, level })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        tag: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let level = self.level;
        self.inner
            .serialize_newtype_variant(name, tag, variant, &Nested { value, level })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<C: SerializeSeq> SerializeSeq for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.start = self.level.meter.position();
        let value = self.nested(value);
        self.inner.serialize_element(&value)?;
        self.level.meter.element_from(self.start, C::Error::custom)
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: SerializeMap> SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.start = self.level.meter.position();
        let key = self.nested(key);
        self.inner.serialize_key(&key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let value = self.nested(value);
        self.inner.serialize_value(&value)?;
        self.level.meter.element_from(self.start, C::Error::custom)
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: SerializeTuple> SerializeTuple for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let value = self.nested(value);
        self.inner.serialize_element(&value)
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

macro_rules! forward_positional {
    ($($trait:ident)*) => {$(
        impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                value: &T,
            ) -> Result<(), C::Error> {
                let value = self.nested(value);
                self.inner.serialize_field(&value)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

forward_positional!(SerializeTupleStruct SerializeTupleVariant);

macro_rules! forward_named {
    ($($trait:ident)*) => {$(
        impl<C: $trait> $trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                let value = self.nested(value);
                self.inner.serialize_field(name, &value)
            }

            fn skip_field(&mut self, _name: &'static str) -> Result<(), C::Error> {
                Err(self.skipped())
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

forward_named!(SerializeStruct SerializeStructVariant);
