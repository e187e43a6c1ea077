//! Rules about dependencies: which crate may use which, and what the contract may pull in.
//!
//! Arrows point only downward. The table is the whole truth about them; a crate that is not in it
//! is a finding.

use super::Finding;
use super::house::{House, Strength};

/// What one crate may use of the others.
struct Allowed {
    name: &'static str,
    always: &'static [&'static str],
    behind_feature: &'static [&'static str],
}

const ENGINES: [&str; 2] = ["backend-kit", "storage-api"];

const fn allowed(name: &'static str, always: &'static [&'static str]) -> Allowed {
    Allowed {
        name,
        always,
        behind_feature: &[],
    }
}

/// The table, from the bottom up.
const TABLE: [Allowed; 16] = [
    allowed("storage-api", &[]),
    allowed("seglog", &[]),
    allowed("chain-files", &[]),
    allowed("blocks", &["seglog", "storage-api"]),
    allowed("backend-kit", &["storage-api"]),
    allowed("backend-mem", &ENGINES),
    allowed("backend-redb", &ENGINES),
    allowed("backend-lmdb", &ENGINES),
    allowed("backend-rocks", &ENGINES),
    allowed("conformance", &["storage-api"]),
    Allowed {
        name: "chain-store",
        always: &[
            "backend-kit",
            "backend-mem",
            "blocks",
            "chain-files",
            "seglog",
            "storage-api",
        ],
        behind_feature: &["backend-lmdb", "backend-redb", "backend-rocks"],
    },
    allowed(
        "compat",
        &[
            "blocks",
            "chain-files",
            "chain-store",
            "seglog",
            "storage-api",
        ],
    ),
    allowed(
        "benches",
        &[
            "backend-kit",
            "backend-lmdb",
            "backend-mem",
            "backend-redb",
            "backend-rocks",
            "blocks",
            "chain-store",
            "conformance",
            "seglog",
            "storage-api",
        ],
    ),
    allowed(
        "fuzz",
        &[
            "backend-kit",
            "backend-mem",
            "blocks",
            "chain-files",
            "chain-store",
            "compat",
            "seglog",
            "storage-api",
        ],
    ),
    Allowed {
        name: "cli",
        always: &["blocks", "chain-store", "seglog", "storage-api"],
        behind_feature: &["benches", "conformance"],
    },
    allowed("xtask", &[]),
];

/// What any crate's tests may use besides its own arrows.
const FOR_TESTS: [&str; 5] = [
    "backend-mem",
    "backend-redb",
    "blocks",
    "conformance",
    "seglog",
];

/// The outside packages that a crate may pull in, with all that these need.
const PULLED_IN: [(&str, &[&str]); 1] = [(
    "storage-api",
    &[
        "cobs",
        "crc32c",
        "embedded-io",
        "postcard",
        "proc-macro2",
        "quote",
        "rustc_version",
        "semver",
        "serde",
        "serde_core",
        "serde_derive",
        "smallvec",
        "syn",
        "thiserror",
        "thiserror-impl",
        "unicode-ident",
    ],
)];

/// No crate uses another against the table.
pub(super) fn arrows(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &house.crates {
        let Some(row) = TABLE.iter().find(|row| row.name == member.name) else {
            let message = format!("`{}` has no row in the table of arrows", member.name);
            findings.push(Finding::new(&member.manifest, 0, message));
            continue;
        };
        for arrow in &member.arrows {
            let to = arrow.to.as_str();
            let may = match arrow.strength {
                Strength::Always => row.always.contains(&to),
                Strength::BehindFeature => {
                    row.always.contains(&to) || row.behind_feature.contains(&to)
                }
                Strength::TestsOnly => {
                    row.always.contains(&to)
                        || row.behind_feature.contains(&to)
                        || FOR_TESTS.contains(&to)
                        // With a feature that only tests need.
                        || to == member.name
                }
            };
            if !may {
                let how = match arrow.strength {
                    Strength::Always => "",
                    Strength::BehindFeature => " behind a feature",
                    Strength::TestsOnly => " in its tests",
                };
                let message = format!("`{}` must not use `{to}`{how}", member.name);
                findings.push(Finding::new(&member.manifest, 0, message));
            }
        }
    }
    findings
}

/// The contract pulls in no engine and nothing that does input or output.
pub(super) fn pulled_in(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, known) in PULLED_IN {
        let Some(pulled_in) = house.pulled_in.get(name) else {
            findings.push(Finding::new(
                "Cargo.toml",
                0,
                format!("`{name}` is no member"),
            ));
            continue;
        };
        for package in pulled_in
            .iter()
            .filter(|package| !known.contains(&package.as_str()))
        {
            let message = format!("`{name}` must not pull in `{package}`");
            findings.push(Finding::new(&format!("{name}/Cargo.toml"), 0, message));
        }
    }
    findings
}
