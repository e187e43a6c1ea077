//! The conformance suite over the enum and the erased form, and over overlays.
