//! What was found so far: the input in the corpus, and what was wrong before it was mended.

use crate::corpus;

/// Target, file, and the story.
const FINDINGS: [(&str, &str, &str); 12] = [
    (
        "seglog_sealed",
        "segments-far-apart",
        "every absent segment was listed: a number in a header decided how much memory that took",
    ),
    (
        "seglog_sealed",
        "segments-at-both-ends",
        "the same up to the last number, without an end",
    ),
    (
        "seglog_sealed",
        "behind-last-height",
        "no height follows 2^64 - 1, so a second record was taken at the same one",
    ),
    (
        "block_rows",
        "gap-without-end",
        "a check went through every height that the row of totals named, and told each",
    ),
    (
        "kv_rows",
        "tip-is-the-last-height",
        "truncating to a tip at 2^64 - 1 kept its entry and removed its body",
    ),
    (
        "block_rows",
        "entry-last",
        "the same of the place of a body in segments",
    ),
    (
        "era1",
        "total-difficulty-does-not-follow",
        "a reader that went on behind a block did not know its total difficulty, and took what had \
         been refused",
    ),
    (
        "marker",
        "carriage-returns",
        "a marker that this program never writes was taken, and rewritten as another text",
    ),
    ("marker", "id-with-sign", "the same of a sign"),
    ("marker", "id-short", "the same of a missing zero"),
    ("marker", "number-with-zeros", "the same of zeros too many"),
    (
        "marker",
        "version-with-spaces",
        "the same of spaces around the version",
    ),
];

#[test]
fn every_finding_is_in_the_corpus() {
    for (target, name, story) in FINDINGS {
        let path = corpus::root().join(target).join(name);
        assert!(path.exists(), "{}: {story}", path.display());
    }
}
