//! Flags over environment over file over defaults; every value in effect, and mistakes named.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::store;
use crate::support::{PROGRAM, Ran, disk_engines, run, run_command, snapshot};

/// Runs the program in a folder with these variables.
fn run_in(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(args);
    command.envs(variables.iter().copied());
    if variables.iter().all(|(name, _)| *name != "RUST_LOG") {
        return run_command(command);
    }
    command.stdin(std::process::Stdio::null());
    let piped = std::process::Stdio::piped;
    crate::support::finish(crate::support::spawn(
        command.stdout(piped()).stderr(piped()),
    ))
}

/// Value and origin of a setting in what `config show --output json` prints.
fn shown(json: &Value, key: &str) -> (String, String) {
    let rows = json["settings"].as_array().unwrap();
    let row = rows.iter().find(|row| row["key"] == key).unwrap();
    let word = |field: &str| row[field].as_str().map(str::to_owned);
    let from = ["flag", "variable", "file"].map(word);
    let from: Vec<String> = from.into_iter().flatten().collect();
    let origin = format!("{} {}", row["origin"].as_str().unwrap(), from.join(" "));
    (word("value").unwrap_or_default(), origin.trim().to_owned())
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let place = tempfile::tempdir().unwrap();
    let file = "store = \"redb:./of-file\"\noutput = \"json\"\nmemory_budget_bytes = 1048576\n\
                metrics_addr = 9187\nlog_level = \"info\"\ncolor = \"never\"\n";
    fs::write(place.path().join("c.toml"), file).unwrap();
    let environment = [
        ("CHAINSTORE_CONFIG", "c.toml"),
        ("CHAINSTORE_STORE", "redb:./of-env"),
        ("CHAINSTORE_OUTPUT", "json"),
        ("CHAINSTORE_MEMORY_BUDGET_BYTES", "2097152"),
        ("CHAINSTORE_METRICS_ADDR", "9188"),
        ("RUST_LOG", "debug"),
        ("CLICOLOR_FORCE", "1"),
    ];
    let flags = [
        "--store",
        "redb:./of-flag",
        "--output",
        "json",
        "--memory-budget-bytes",
        "3145728",
        "--metrics-addr",
        "9189",
        "-v",
        "--color",
        "never",
    ];
    let keys = [
        "store",
        "output",
        "memory_budget_bytes",
        "metrics_addr",
        "log_level",
        "color",
    ];
    let check = |variables: &[(&str, &str)], flags: &[&str], expected: [[&str; 2]; 6]| {
        let args = [&["config", "show"], flags].concat();
        let json = run_in(place.path(), variables, &args).ok().json();
        for (key, [value, origin]) in keys.into_iter().zip(expected) {
            let expected = (value.to_owned(), origin.to_owned());
            assert_eq!(shown(&json, key), expected, "{key}");
        }
    };
    check(
        &environment[..1],
        &[],
        [
            ["redb:./of-file", "file c.toml"],
            ["json", "file c.toml"],
            ["1048576", "file c.toml"],
            ["9187", "file c.toml"],
            ["info", "file c.toml"],
            ["never", "file c.toml"],
        ],
    );
    let of_environment = [
        ["redb:./of-env", "environment CHAINSTORE_STORE"],
        ["json", "environment CHAINSTORE_OUTPUT"],
        ["2097152", "environment CHAINSTORE_MEMORY_BUDGET_BYTES"],
        ["9188", "environment CHAINSTORE_METRICS_ADDR"],
        ["debug", "environment RUST_LOG"],
        ["always", "environment CLICOLOR_FORCE"],
    ];
    check(&environment, &[], of_environment);
    check(
        &environment,
        &flags,
        [
            ["redb:./of-flag", "flag --store"],
            ["json", "flag --output"],
            ["3145728", "flag --memory-budget-bytes"],
            ["9189", "flag --metrics-addr"],
            ["info", "flag -v"],
            ["never", "flag --color"],
        ],
    );
    check(
        &[],
        &["--output", "json"],
        [
            ["", "default"],
            ["json", "flag --output"],
            ["", "default"],
            ["", "default"],
            ["warn", "default"],
            ["auto", "default"],
        ],
    );
    // The flag's file wins over the environment's, and is shown itself.
    let other = [("CHAINSTORE_CONFIG", "no-such-file")];
    let args = ["config", "show", "--config=c.toml"];
    let json = run_in(place.path(), &other, &args).ok().json();
    let expected = ("c.toml".to_owned(), "flag --config".to_owned());
    assert_eq!(shown(&json, "config"), expected);
    let table = run_in(place.path(), &[], &["config", "show"]).ok();
    assert!(table.text().starts_with("setting"), "{table}");
}

#[test]
fn values_of_the_file_take_effect_in_every_command() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 3);
        let file = format!(
            "store = \"{store}\"\noutput = \"jsonl\"\nlog_level = \"debug\"\n\
             memory_budget_bytes = 33554432\n"
        );
        let config = place.path().join("c.toml");
        fs::write(&config, file).unwrap();
        let config = ["--config", config.to_str().unwrap()];
        let commands: [&[&str]; 10] = [
            &["stat"],
            &["list"],
            &["list", "--table", "names"],
            &["get", "--table", "names", "00000001"],
            &["checksum"],
            &[
                "put", "--table", "names", "--key", "77", "--value", "01", "--write",
            ],
            &["delete", "--table", "names", "--key", "77", "--write"],
            &["compact", "--write"],
            &["copy", "--to", &format!("{}/copy", place.path().display())],
            &["verify"],
        ];
        for command in commands {
            let ran = run(command.iter().chain(&config)).ok();
            assert!(!ran.json_lines().is_empty(), "{command:?}: {ran}");
            // Verification is the second process's, which opens the store its own way.
            if command[0] != "verify" {
                let words = "memory_budget_bytes=33554432";
                assert!(ran.stderr.contains(words), "{command:?}: {ran}");
            }
        }
        // Nor is it in the way of other forms: raw bytes, and Prometheus text.
        let get = ["get", "--table", "names", "00000001", "--raw"];
        let raw = run(get.iter().chain(&config)).ok();
        assert_eq!(raw.stdout, [7; 64]);
        let stat = run(["stat", "--metrics"].iter().chain(&config)).ok();
        assert!(stat.text().starts_with("# HELP"), "{stat}");
        let list = run(["list", "--output", "table"].iter().chain(&config)).ok();
        assert!(list.text().starts_with("table"), "{list}");
        let blocks = run(["blocks", "list"].iter().chain(&config));
        blocks.refused(1, &["the store has no blocks"]);
        // Nobody is asked for a store that the file names, and a flag names another.
        let nowhere = ["stat", "--store", "/no/such/place"];
        run(nowhere.iter().chain(&config)).refused(4, &["/no/such/place"]);
    }
}

#[test]
fn the_address_of_metrics_is_served_once() {
    let place = tempfile::tempdir().unwrap();
    // Free now, and with luck still free when it is served.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let served = format!("metrics at http://127.0.0.1:{port}/");
    let variables = [("CHAINSTORE_METRICS_ADDR", port.as_str())];
    fs::write(
        place.path().join("c.toml"),
        format!("metrics_addr = {port}"),
    )
    .unwrap();
    // What opens no store is not in the way of what does.
    run_in(place.path(), &variables, &["version"]).ok();
    run_in(place.path(), &[], &["config", "show", "--config", "c.toml"]).ok();
    let demo = ["demo", "--engine", "mem"];
    run_in(place.path(), &variables, &demo).refused(74, &["cannot serve metrics"]);
    drop(listener);
    let ran = run_in(
        place.path(),
        &[],
        &[&demo[..], &["--config", "c.toml"]].concat(),
    )
    .ok();
    assert!(ran.stderr.contains(&served), "{ran}");
    // Second processes are told the same address by the environment.
    for engine in disk_engines() {
        let store = store(engine, &place.path().join(engine.as_str()), 3);
        let ran = run_in(place.path(), &variables, &["verify", "--store", &store]).ok();
        assert_eq!(ran.stderr.matches(&served).count(), 1, "{ran}");
    }
    if cfg!(feature = "bench") {
        let bench = [
            "bench",
            "--engines",
            "mem",
            "--rounds",
            "1",
            "--rows",
            "1000",
            "--workloads",
            "gets",
        ];
        let ran = run_in(place.path(), &variables, &bench).ok();
        assert_eq!(ran.stderr.matches(&served).count(), 1, "{ran}");
    }
}

#[test]
fn the_memory_of_a_store_in_memory_is_its_limit() {
    let place = tempfile::tempdir().unwrap();
    let blocks = crate::chain::file(&crate::chain::blocks(400));
    fs::write(place.path().join("blocks.dat"), blocks).unwrap();
    fs::write(place.path().join("c.toml"), "memory_budget_bytes = 4096").unwrap();
    let import = [
        "import",
        "--store",
        "mem:",
        "--from",
        "bitcoin",
        "blocks.dat",
    ];
    let with_file = [&import[..], &["--config", "c.toml"]].concat();
    let words = ["the store is full: limit of 4096 bytes", "hint:"];
    run_in(place.path(), &[], &with_file).refused(74, &words);
    let demo = ["demo", "--engine", "mem", "--config", "c.toml"];
    run_in(place.path(), &[], &demo).refused(74, &words);
    let enough = [("CHAINSTORE_MEMORY_BUDGET_BYTES", "268435456")];
    run_in(place.path(), &enough, &with_file).ok();
    let flag = [&with_file[..], &["--memory-budget-bytes", "5000"]].concat();
    run_in(place.path(), &enough, &flag).refused(74, &["limit of 5000 bytes"]);
}

#[test]
fn a_wrong_configuration_is_named_and_nothing_is_touched() {
    let Some(engine) = disk_engines().next() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let store = store(engine, &place.path().join("x"), 1);
    let before = snapshot(&place.path().join("x"));
    let file = place.path().join("c.toml");
    let name = file.to_str().unwrap();
    for (text, words) in [
        (
            "\ndb_backend = \"rocksdb\"",
            "c.toml, line 2: unknown key db_backend",
        ),
        (
            "output = 1",
            "line 1: key output is integer, a string is needed",
        ),
        ("metrics_addr = \"x\"", "line 1: key metrics_addr is \"x\""),
        ("output = ", "c.toml, line 1: "),
        ("store = \"leveldb:x\"", "unknown engine leveldb"),
    ] {
        fs::write(&file, text).unwrap();
        for command in [
            &["stat", "--store", &store][..],
            &["config", "show"],
            &["version"],
        ] {
            run([command, &["--config", name]].concat()).refused(2, &[words]);
        }
        // Help is there for whoever has to mend it.
        run(["--help", "--config", name]).ok();
        run(["--version", "--config", name]).ok();
    }
    fs::write(&file, b"output = \"\xff\"").unwrap();
    run(["version", "--config", name]).refused(2, &["c.toml is no text"]);
    fs::remove_file(&file).unwrap();
    run(["version", "--config", name]).refused(74, &["cannot read the configuration", name]);
    run(["version", "--config", place.path().to_str().unwrap()]).refused(74, &["cannot read"]);
    run(["version", "--config"]).refused(2, &["--config"]);
    for (variable, value) in [
        ("CHAINSTORE_OUTPUT", "xml"),
        ("CHAINSTORE_MEMORY_BUDGET_BYTES", "1GB"),
        ("CHAINSTORE_METRICS_ADDR", "here"),
    ] {
        let ran = run_in(
            place.path(),
            &[(variable, value)],
            &["stat", "--store", &store],
        );
        ran.refused(2, &[variable, value]);
    }
    let ran = run_in(
        place.path(),
        &[("CHAINSTORE_STORE", "leveldb:x")],
        &["stat"],
    );
    ran.refused(2, &["unknown engine leveldb"]);
    assert_eq!(snapshot(&place.path().join("x")), before);
}

#[test]
fn colours_are_where_they_are_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let coloured = |variables: &[(&str, &str)], more: &[&str]| {
        let version = run_in(place.path(), variables, &[&["version"], more].concat()).ok();
        let error = run_in(
            place.path(),
            variables,
            &[&["stat", "--store", "./nowhere", "-vv"], more].concat(),
        );
        assert_eq!(error.code, Some(4), "{error}");
        let usage = run_in(
            place.path(),
            variables,
            &[&["stat", "--wrong"], more].concat(),
        );
        assert_eq!(usage.code, Some(2), "{usage}");
        let has = [
            version.stdout.contains(&0x1b),
            error.stderr.contains("\x1b[1;31merror:"),
            error.stderr.contains('\x1b'),
            usage.stderr.contains('\x1b'),
        ];
        assert!(
            has.iter().all(|it| *it == has[0]),
            "{has:?}: {error}{usage}"
        );
        has[0]
    };
    // Neither is a terminal here.
    assert!(!coloured(&[], &[]));
    assert!(coloured(&[], &["--color", "always"]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
        &[]
    ));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--color=never"]));
    assert!(coloured(&[("NO_COLOR", "1")], &["--color", "always"]));
    fs::write(place.path().join("c.toml"), "color = \"always\"").unwrap();
    assert!(coloured(&[], &["--config", "c.toml"]));
    assert!(!coloured(&[("NO_COLOR", "1")], &["--config", "c.toml"]));
    // JSON is JSON.
    let json = ["version", "--output", "json", "--color", "always"];
    run(json).ok().json();
}

#[test]
fn terminals_are_spared_colours_where_they_do_not_want_them() {
    // `script` gives the program a terminal.
    let has_script = Command::new("script").arg("--version").output().is_ok();
    if super::is_missing("the program script, which makes a terminal", has_script) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let on_terminal = |variables: &[(&str, &str)]| {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{PROGRAM} version"), "/dev/null"]);
        command.current_dir(place.path()).env("TERM", "xterm");
        command.envs(variables.iter().copied());
        run_command(command).ok().stdout.contains(&0x1b)
    };
    assert!(on_terminal(&[]));
    assert!(!on_terminal(&[("NO_COLOR", "1")]));
    assert!(!on_terminal(&[("TERM", "dumb")]));
}
