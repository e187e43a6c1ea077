//! Integration tests of the vocabularies, on every engine.

mod bitshares;
mod chainbase;
mod repchain;
