//! Placeholder head while the workspace is laid out.
#![forbid(unsafe_code)]
pub mod tree;
