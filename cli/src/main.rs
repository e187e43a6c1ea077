//! Placeholder head while the workspace is laid out.
fn main() {}
