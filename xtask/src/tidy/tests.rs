//! Every rule is shown a good and a bad sample: a rule that cannot fail is a defect. The last test
//! runs all of them on the real workspace.

use super::house::{Arrow, Crate, House, Source, Strength};
use super::{Finding, arrows, code, docs, text};

/// A house of these files, as path and text.
fn house(files: &[(&str, &str)]) -> House {
    let mut house = House::default();
    for (path, text) in files {
        house.paths.insert((*path).to_owned());
        let known = [".rs", ".toml", ".md", ".sh", ".ci/run"];
        if known.iter().any(|end| path.ends_with(end)) {
            house.sources.push(Source::new(path, (*text).to_owned()));
        }
    }
    house
}

/// The findings as they are printed.
fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(findings: &[Finding], expected: &[&str]) {
    assert_eq!(shown(findings), expected);
}

#[test]
fn head_comment() {
    let good = house(&[
        ("a/src/lib.rs", "//! The head.\nfn f() {}\n"),
        ("a/src/run.rs", "#!/usr/bin/env run\n//! The head.\n"),
    ]);
    check(&text::head_comment(&good), &[]);
    let bad = house(&[
        (
            "a/src/attribute.rs",
            "#![forbid(unsafe_code)]\n//! Too late.\n",
        ),
        ("a/src/code.rs", "fn f() {}\n"),
        ("a/src/empty.rs", ""),
        ("a/src/nothing.rs", "//!\nfn f() {}\n"),
        ("a/src/script.rs", "#!/usr/bin/env run\nfn f() {}\n"),
    ]);
    let message = "does not start with a `//!` comment";
    let expected = [
        "attribute.rs:1",
        "code.rs:1",
        "empty.rs:1",
        "nothing.rs:1",
        "script.rs:2",
    ]
    .map(|place| format!("a/src/{place}: {message}"));
    assert_eq!(shown(&text::head_comment(&bad)), expected);
}

#[test]
fn length() {
    let lines = |count: usize| "//\n".repeat(count);
    let good = house(&[
        ("a/src/lib.rs", &lines(800)),
        ("a/src/tests.rs", &lines(1200)),
        ("a/tests/it/main.rs", &lines(1200)),
        ("a/README.md", &lines(2000)),
    ]);
    check(&text::length(&good), &[]);
    let bad = house(&[
        ("a/src/lib.rs", &lines(801)),
        ("a/src/tests.rs", &lines(1201)),
    ]);
    check(
        &text::length(&bad),
        &[
            "a/src/lib.rs:801: 801 lines, more than 800",
            "a/src/tests.rs:1201: 1201 lines, more than 1200",
        ],
    );
}

#[test]
fn width() {
    let wide = "a".repeat(90);
    let good = house(&[
        (
            "a/src/lib.rs",
            &format!("//! {wide}\n// https://example.org/{wide}\n"),
        ),
        ("README.md", &wide.repeat(2)),
    ]);
    check(&text::width(&good), &[]);
    let bad = house(&[
        (".ci/run", &format!("#\n# {wide}{wide}\n")),
        ("a/src/lib.rs", &wide.repeat(2)),
    ]);
    check(
        &text::width(&bad),
        &[
            ".ci/run:2: 182 columns, more than 100",
            "a/src/lib.rs:1: 180 columns, more than 100",
        ],
    );
}

#[test]
fn ascii() {
    let good = house(&[("README.md", "plain - text\twith a tab\r\n")]);
    check(&text::ascii(&good), &[]);
    let bad = house(&[
        ("Cargo.toml", "# fine\n# \u{2014}\n"),
        ("a/src/lib.rs", "//! \u{7}\n"),
    ]);
    check(
        &text::ascii(&bad),
        &[
            "Cargo.toml:2: holds \\u{2014}, which is not plain ASCII",
            "a/src/lib.rs:1: holds \\u{7}, which is not plain ASCII",
        ],
    );
}

#[test]
fn unfinished() {
    let (first, second) = (concat!("TO", "DO"), concat!("FIX", "ME"));
    let good = house(&[(
        "a/src/lib.rs",
        &format!("// {first} (#12): later\n// METHO{first}S\n"),
    )]);
    check(&text::unfinished(&good), &[]);
    let bad = house(&[
        ("README.md", &format!("{first}: later\n")),
        ("a/src/lib.rs", &format!("\n// {second} # 1\n")),
    ]);
    let message = "without the number of an issue, as in #123";
    let expected = [
        format!("README.md:1: `{first}` {message}"),
        format!("a/src/lib.rs:2: `{second}` {message}"),
    ];
    assert_eq!(shown(&text::unfinished(&bad)), expected);
}

#[test]
fn folder_size() {
    let paths: Vec<String> = (0..13)
        .map(|number| format!("a/src/file{number}.rs"))
        .collect();
    let files: Vec<(&str, &str)> = paths
        .iter()
        .map(|path| (path.as_str(), "//! Head.\n"))
        .collect();
    check(&text::folder_size(&house(&files[..12])), &[]);
    check(
        &text::folder_size(&house(&files)),
        &["a/src: 13 Rust files in one folder, more than 12"],
    );
}

#[test]
fn parses() {
    check(&code::parses(&house(&[("a/src/lib.rs", "fn f() {}")])), &[]);
    let bad = house(&[("a/src/lib.rs", "\nfn f( {}")]);
    let findings = shown(&code::parses(&bad));
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(": cannot be parsed: "), "{findings:?}");
}

/// A function of this many lines.
fn function(head: &str, lines: usize) -> String {
    format!("{head} {{\n{}}}\n", "    g();\n".repeat(lines - 2))
}

#[test]
fn function_length() {
    let excuse = format!("{}it is one table of rows", code::EXCUSE);
    let long = function("fn f()", 71);
    let good = house(&[
        ("a/src/fits.rs", &function("fn f()", 70)),
        ("a/src/excused.rs", &format!("{excuse}\n/// Does.\n{long}")),
        (
            "a/src/inside.rs",
            &long.replacen("{\n", &format!("{{\n    {excuse}\n"), 1),
        ),
        (
            "a/src/test.rs",
            &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n#[test]\n{long}"),
        ),
        ("a/tests/it/main.rs", &long),
        // Braces in text do not end a function.
        (
            "a/src/text.rs",
            &format!(
                "fn s() -> &'static str {{ \"{{\" }}\n{}",
                function("fn f()", 70)
            ),
        ),
    ]);
    check(&code::function_length(&good), &[]);

    let method = function("    fn m(&self)", 71);
    let bad = house(&[
        ("a/src/impl.rs", &format!("impl A {{\n{method}}}\n")),
        ("a/src/long.rs", &format!("//! Head.\n\n/// Does.\n{long}")),
        (
            "a/src/stale.rs",
            &format!("//! Head.\n{excuse}\n{}", function("fn f()", 70)),
        ),
        ("a/src/trait.rs", &format!("trait A {{\n{method}}}\n")),
        ("a/src/why.rs", &format!("{}x\n{long}", code::EXCUSE)),
    ]);
    let findings = shown(&code::function_length(&bad));
    let places: Vec<&str> = findings
        .iter()
        .filter_map(|text| text.split(": ").next())
        .collect();
    let expected = [
        "a/src/impl.rs:2",
        "a/src/long.rs:4",
        "a/src/stale.rs:2",
        "a/src/trait.rs:2",
        "a/src/why.rs:2",
    ];
    assert_eq!(places, expected, "{findings:?}");
    assert!(
        findings[1].contains("`f` has 71 lines, more than 70"),
        "{findings:?}"
    );
}

#[test]
fn unsafe_code() {
    let root = "//! Head.\n#![forbid(unsafe_code)]\n";
    let good = house(&[
        ("a/src/lib.rs", root),
        (
            "a/src/words.rs",
            "/// Not unsafe.\nconst A: &str = \"unsafe {\";\n",
        ),
        ("backend-lmdb/src/lib.rs", "//! Head.\n"),
        ("backend-lmdb/src/env.rs", "fn f() { unsafe { g() } }\n"),
    ]);
    check(&code::unsafe_code(&good), &[]);
    let bad = house(&[
        ("a/src/lib.rs", "//! Head.\n#![deny(unsafe_code)]\n"),
        ("a/src/main.rs", "//! Head.\n#![forbid(missing_docs)]\n"),
        ("a/src/raw.rs", "fn f() {\n    unsafe { g() }\n}\n"),
        (
            "a/src/rules.rs",
            "macro_rules! m { () => {\n unsafe {} } }\n",
        ),
        ("backend-lmdb/src/store.rs", "unsafe impl Send for A {}\n"),
    ]);
    check(
        &code::unsafe_code(&bad),
        &[
            "a/src/lib.rs:1: lacks `#![forbid(unsafe_code)]`",
            "a/src/main.rs:1: lacks `#![forbid(unsafe_code)]`",
            "a/src/raw.rs:2: `unsafe` is not allowed in this file",
            "a/src/rules.rs:2: `unsafe` is not allowed in this file",
            "backend-lmdb/src/store.rs:1: `unsafe` is not allowed in this file",
        ],
    );
}

#[test]
fn printing() {
    let good = house(&[
        ("cli/src/main.rs", "fn f() { println!(\"a\"); }"),
        (
            "storage-api/src/key.rs",
            "#[cfg(test)]\nmod tests { fn f() { println!(\"a\"); } }",
        ),
        ("storage-api/src/tests.rs", "fn f() { dbg!(1); }"),
        ("storage-api/src/table.rs", "fn f() { write!(a, \"b\"); }"),
    ]);
    check(&code::printing(&good), &[]);
    let bad = house(&[
        (
            "backend-kit/src/lib.rs",
            "#[cfg(not(test))]\nfn f() {\n    std::eprintln!(\"a\");\n}",
        ),
        ("storage-api/src/key.rs", "fn f() { dbg!(1); }"),
    ]);
    check(
        &code::printing(&bad),
        &[
            "backend-kit/src/lib.rs:3: a library does not call `eprintln!`",
            "storage-api/src/key.rs:1: a library does not call `dbg!`",
        ],
    );
}

#[test]
fn purity() {
    let good = house(&[
        (
            "storage-api/src/key.rs",
            "use std::{fmt, io};\nfn f() -> io::Result<()> { Ok(()) }",
        ),
        ("storage-api/src/tests.rs", "use std::fs;"),
        ("backend-kit/src/lock.rs", "use std::fs;"),
    ]);
    check(&code::purity(&good), &[]);
    let bad = house(&[
        ("storage-api/src/a.rs", "use std::{fmt, fs::{self, File}};"),
        ("storage-api/src/b.rs", "\nfn f() { std::net::lookup(); }"),
        (
            "storage-api/src/c.rs",
            "use std::io;\nfn f<W: io::Write>() {}",
        ),
        ("storage-api/src/d.rs", "use std::io::Write as _;"),
    ]);
    let message = "has no place in a pure crate";
    let expected = [
        "a.rs:1: `std::fs`",
        "a.rs:1: `std::fs::File`",
        "b.rs:2: `std::net::lookup`",
        "c.rs:2: `io::Write`",
        "d.rs:1: `std::io::Write`",
    ]
    .map(|place| format!("storage-api/src/{place} {message}"));
    assert_eq!(shown(&code::purity(&bad)), expected);
}

#[test]
fn orphans() {
    let good = house(&[
        (
            "a/src/lib.rs",
            "mod one;\npub(crate) mod two;\nmod three;\n",
        ),
        ("a/src/one.rs", ""),
        ("a/src/two/mod.rs", "mod inner;"),
        ("a/src/two/inner.rs", ""),
        ("a/src/three.rs", "mod inner;"),
        ("a/src/three/inner.rs", ""),
        ("a/src/bin/program.rs", ""),
        ("a/tests/it/main.rs", "mod case;"),
        ("a/tests/it/case.rs", ""),
        ("a/examples/show.rs", ""),
    ]);
    check(&code::orphans(&good), &[]);
    let bad = house(&[
        ("a/src/lib.rs", "// mod gone;\nmod two;\nmod inner;\n"),
        ("a/src/gone.rs", ""),
        ("a/src/two/inner.rs", ""),
        ("a/src/two/mod.rs", ""),
        ("a/tests/it/case.rs", ""),
    ]);
    let message = "is no module of its crate: never compiled";
    let expected = ["a/src/gone.rs", "a/src/two/inner.rs", "a/tests/it/case.rs"]
        .map(|path| format!("{path}: {message}"));
    assert_eq!(shown(&code::orphans(&bad)), expected);
}

/// A house of one crate with one arrow.
fn arrow(from: &str, to: &str, strength: Strength) -> House {
    let arrows = vec![Arrow {
        to: to.to_owned(),
        strength,
    }];
    let manifest = format!("{from}/Cargo.toml");
    House {
        crates: vec![Crate {
            name: from.to_owned(),
            manifest,
            arrows,
        }],
        ..House::default()
    }
}

#[test]
fn arrows() {
    let good = [
        ("backend-kit", "storage-api", Strength::Always),
        ("backend-redb", "backend-kit", Strength::Always),
        ("backend-redb", "conformance", Strength::TestsOnly),
        ("chain-store", "backend-rocks", Strength::BehindFeature),
        ("chain-store", "backend-rocks", Strength::TestsOnly),
        ("cli", "conformance", Strength::BehindFeature),
        ("benches", "chain-store", Strength::Always),
    ];
    for (from, to, strength) in good {
        check(&arrows::arrows(&arrow(from, to, strength)), &[]);
    }
    let bad = [
        ("storage-api", "backend-kit", Strength::Always, ""),
        (
            "backend-redb",
            "backend-lmdb",
            Strength::TestsOnly,
            " in its tests",
        ),
        ("backend-redb", "conformance", Strength::Always, ""),
        (
            "backend-redb",
            "conformance",
            Strength::BehindFeature,
            " behind a feature",
        ),
        ("chain-store", "backend-rocks", Strength::Always, ""),
        ("chain-store", "cli", Strength::Always, ""),
        ("cli", "conformance", Strength::Always, ""),
        ("xtask", "storage-api", Strength::Always, ""),
    ];
    for (from, to, strength, how) in bad {
        let expected = format!("{from}/Cargo.toml: `{from}` must not use `{to}`{how}");
        check(&arrows::arrows(&arrow(from, to, strength)), &[&expected]);
    }
    let unknown = arrow("newcomer", "storage-api", Strength::Always);
    let expected = "newcomer/Cargo.toml: `newcomer` has no row in the table of arrows";
    check(&arrows::arrows(&unknown), &[expected]);
}

/// A house in which the contract pulls in these packages.
fn pulls_in(packages: &[&str]) -> House {
    let mut house = House::default();
    let packages = packages
        .iter()
        .map(|package| (*package).to_owned())
        .collect();
    house.pulled_in.insert("storage-api".to_owned(), packages);
    house
}

#[test]
fn pulled_in() {
    check(&arrows::pulled_in(&pulls_in(&["serde", "serde_core"])), &[]);
    check(
        &arrows::pulled_in(&pulls_in(&["redb", "serde", "tokio"])),
        &[
            "storage-api/Cargo.toml: `storage-api` must not pull in `redb`",
            "storage-api/Cargo.toml: `storage-api` must not pull in `tokio`",
        ],
    );
    check(
        &arrows::pulled_in(&House::default()),
        &["Cargo.toml: `storage-api` is no member"],
    );
}

#[test]
fn formats() {
    let good = house(&[
        ("docs/format/README.md", ""),
        ("docs/format/marker.md", ""),
        ("backend-kit/tests/fixtures/marker.v1.bin", ""),
        ("backend-kit/tests/fixtures/marker-corrupt.bin", ""),
        ("docs/format/row.md", ""),
        ("chain-store/tests/fixtures/row/one.bin", ""),
        ("chain-store/tests/fixtures/row/corrupt-length.bin", ""),
    ]);
    check(&docs::formats(&good), &[]);
    let bad = house(&[
        ("docs/format/marker.md", ""),
        ("backend-kit/tests/fixtures/markers.bin", ""),
        ("backend-kit/tests/marker.bin", ""),
        ("docs/format/row.md", ""),
        ("chain-store/tests/fixtures/row/one.bin", ""),
        ("docs/format/tag.md", ""),
        ("chain-store/tests/fixtures/tag.corrupt.bin", ""),
    ]);
    check(
        &docs::formats(&bad),
        &[
            "docs/format/marker.md: no fixture `*/tests/fixtures/marker.*` shows this format",
            "docs/format/marker.md: no fixture `*/tests/fixtures/marker*corrupt*` is refused",
            "docs/format/row.md: no fixture `*/tests/fixtures/row*corrupt*` is refused",
            "docs/format/tag.md: no fixture `*/tests/fixtures/tag.*` shows this format",
        ],
    );
}

#[test]
fn architecture() {
    let with_map = |map: &str| House {
        sources: vec![Source::new("ARCHITECTURE.md", map.to_owned())],
        ..arrow("cli", "storage-api", Strength::Always)
    };
    check(&docs::architecture(&with_map("The program is `cli`.")), &[]);
    check(
        &docs::architecture(&with_map("The clip.")),
        &["ARCHITECTURE.md: does not name `cli`"],
    );
    check(
        &docs::architecture(&House::default()),
        &["ARCHITECTURE.md: is missing"],
    );
}

#[test]
fn links() {
    let good = house(&[
        (
            "README.md",
            "[a](docs/a.md#part) [b](https://example.org/b) [c](#here) [d](docs)\n",
        ),
        (
            "docs/a.md",
            "[up](../README.md \"title\")\n```\n[not](a.link)\n```\n`[nor](this)`\n",
        ),
    ]);
    check(&docs::links(&good), &[]);
    let bad = house(&[
        ("README.md", "\n`code` [a](docs/gone.md) and [b](doc)\n"),
        ("docs/a.md", "[out](../../README.md)\n[beside](README.md)\n"),
    ]);
    check(
        &docs::links(&bad),
        &[
            "README.md:2: the link to `docs/gone.md` leads nowhere",
            "README.md:2: the link to `doc` leads nowhere",
            "docs/a.md:1: the link to `../../README.md` leads nowhere",
            "docs/a.md:2: the link to `README.md` leads nowhere",
        ],
    );
    check(&docs::links(&House::default()), &["README.md: is missing"]);
}

#[test]
fn a_broken_house_is_found_through_all_rules() {
    let bad = house(&[("a/src/lib.rs", "fn f( {")]);
    let findings = shown(&super::check(&bad));
    for part in [
        "`//!`",
        "cannot be parsed",
        "ARCHITECTURE.md",
        "README.md",
        "is no member",
    ] {
        assert!(
            findings.iter().any(|finding| finding.contains(part)),
            "{part}: {findings:?}"
        );
    }
}

#[test]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
fn the_workspace_is_tidy() {
    let findings = shown(&super::findings().unwrap());
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}
