//! `put` and `delete`: rows by hand and by the thousand, atomic, durable, refused before anything
//! is touched.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{listed, run_with, store};
use crate::support::{
    PROGRAM, Ran, disk_engines, finish, run, signal, snapshot, spawn, wait_until,
};

/// `put` or `delete` into `names`, agreed to.
fn change<'a>(command: &'a str, store: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![command, "--store", store, "--table", "names", "--write"];
    args.extend(more);
    args
}

fn value(store: &str, key: &str) -> Ran {
    run(["get", "--store", store, "--table", "names", key])
}

#[test]
fn a_row_is_put_and_deleted() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 1);
        let put = run(change(
            "put",
            &store,
            &["--key", "0xab", "--value", "0x0102"],
        ))
        .ok();
        assert!(put.text().contains("rows put"), "{put}");
        assert_eq!(value(&store, "ab").ok().text(), "0x0102\n");

        // The bytes of a file and of standard input as they are; an empty value is a value.
        let file = place.path().join("value");
        fs::write(&file, b"\x00raw\n").unwrap();
        let from = ["--key", "ab", "--value-file", file.to_str().unwrap()];
        run(change("put", &store, &from)).ok();
        assert_eq!(value(&store, "ab").ok().text(), "0x007261770a\n");
        let from = ["--key", "ac", "--value-file", "-", "--output", "json"];
        let json = run_with(b"\xff", change("put", &store, &from)).ok().json();
        assert_eq!(json["rows"], 1);
        assert_eq!(json["bytes"], 2);
        assert_eq!(json["change"], "put");
        assert_eq!(json["interrupted"], false);
        assert_eq!(value(&store, "ac").ok().text(), "0xff\n");
        run(change("put", &store, &["--key", "ac", "--value", ""])).ok();
        assert_eq!(value(&store, "ac").ok().text(), "0x\n");

        let delete = run(change("delete", &store, &["--key", "ac"])).ok();
        assert!(delete.text().contains("keys deleted"), "{delete}");
        value(&store, "ac").refused(1, &["has no key 0xac"]);
        assert_eq!(value(&store, "ab").ok().text(), "0x007261770a\n");
        let before = snapshot(place.path());
        run(change("delete", &store, &["--key", "ac"])).refused(1, &["has no key 0xac"]);
        assert_eq!(snapshot(place.path()), before, "{engine}");
    }
}

#[test]
fn what_list_prints_goes_back_in_and_out() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let from = store(engine, &place.path().join("from"), 25_000);
        let to = store(engine, &place.path().join("to"), 3);
        let rows = listed(&from, "names");
        let put = run_with(
            &rows,
            change("put", &to, &["--from-jsonl", "-", "--output", "json"]),
        );
        let json = put.ok().json();
        assert_eq!(json["rows"], 25_000);
        assert_eq!(json["commits"], 3, "10,000 rows a commit");
        assert_eq!(listed(&to, "names"), rows, "{engine}");

        let file = place.path().join("rows.jsonl");
        let half: Vec<&[u8]> = rows.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&file, half[..20_000].concat()).unwrap();
        let from = ["--from-jsonl", file.to_str().unwrap()];
        run(change("delete", &to, &from)).ok();
        assert_eq!(listed(&to, "names"), half[20_000..].concat(), "{engine}");
        // Absent keys stay absent, and the rows come back.
        run(change("delete", &to, &from)).ok();
        run(change("put", &to, &from)).ok();
        assert_eq!(listed(&to, "names"), rows, "{engine}");
        // No rows are no commit.
        let none = run_with(
            b"\n",
            change("put", &to, &["--from-jsonl", "-", "--output", "json"]),
        );
        assert_eq!(none.ok().json()["commits"], 0);
    }
}

#[test]
fn rows_that_no_table_takes_touch_nothing() {
    let long = "00".repeat(512);
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 2);
        let before = snapshot(place.path());
        let check = |args: Vec<&str>, code: i32, words: &[&str]| {
            eprintln!("chainstore {}", args.join(" "));
            run(args).refused(code, words);
            assert_eq!(snapshot(place.path()), before, "{engine}");
        };
        let row = ["--key", "01", "--value", "02"];
        for command in ["put", "delete"] {
            let more = if command == "put" {
                &row[..]
            } else {
                &row[..2]
            };
            let mut args = change(command, &store, more);
            args.retain(|arg| *arg != "--write");
            check(args, 2, &["--write is missing", "hint:", "add --write"]);
            let mut args = change(command, &store, more);
            args[4] = "nmaes";
            check(
                args,
                1,
                &["unknown table nmaes", "hint:", "chainstore list"],
            );
            let with = |key: &'static str| {
                let mut args = change(command, &store, more);
                args[7] = key;
                args
            };
            check(with(""), 2, &["empty key"]);
            check(with("0x1"), 2, &["odd number"]);
            check(with("zz"), 2, &["'z' is not a hexadecimal digit"]);
            let mut args = change(command, &store, more);
            args[7] = &long;
            check(args, 2, &["key of 512 bytes", "limit of 511"]);
            check(change(command, &store, &[]), 2, &["--key"]);
            let both = [more, &["--from-jsonl", "x"]].concat();
            check(change(command, &store, &both), 2, &["cannot be used with"]);
            let missing = ["--from-jsonl", "no-such-file"];
            check(change(command, &store, &missing), 74, &["no-such-file"]);
        }
        check(change("put", &store, &["--key", "01"]), 2, &["--value"]);
        let two = [&row[..], &["--value-file", "x"]].concat();
        check(change("put", &store, &two), 2, &["cannot be used with"]);
        let missing = ["--key", "01", "--value-file", "no-such-file"];
        check(change("put", &store, &missing), 74, &["no-such-file"]);
    }
}

#[test]
fn a_bad_row_of_a_file_is_known_before_the_first_commit() {
    let good = "{\"key\":\"0x05\",\"value\":\"0x06\"}\n";
    let long = format!("{{\"key\":\"{}\",\"value\":\"00\"}}", "00".repeat(512));
    let bad = [
        ("{\"key\":", 1, "is no row"),
        ("{\"key\":\"0x\",\"value\":\"00\"}", 2, "empty key"),
        (&long[..], 2, "key of 512 bytes"),
        ("{\"key\":\"05\"}", 1, "no value"),
        ("{\"key\":\"05\",\"value\":\"0\"}", 1, "odd number"),
    ];
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 1);
        let before = snapshot(place.path());
        for (line, code, words) in bad {
            // The bad one is behind what one commit takes.
            let text = format!("{}{line}\n", good.repeat(10_001));
            let file = outside.path().join("rows.jsonl");
            fs::write(&file, &text).unwrap();
            let from = ["--from-jsonl", file.to_str().unwrap()];
            let words = ["rows.jsonl, line 10002", words];
            run(change("put", &store, &from)).refused(code, &words);
            assert_eq!(snapshot(place.path()), before, "{engine}: {line}");
        }
        // A pipe cannot be read twice: what was committed before is told and stays.
        let text = format!("{}oops\n", good.repeat(10_001));
        let ran = run_with(
            text.as_bytes(),
            change("put", &store, &["--from-jsonl", "-"]),
        );
        let words = [
            "10,000 rows before the error are committed",
            "standard input, line 10002",
        ];
        ran.refused(1, &words);
        assert_eq!(value(&store, "05").ok().text(), "0x06\n");
        // One that begins wrong touches nothing.
        let before = snapshot(place.path());
        run_with(b"oops\n", change("put", &store, &["--from-jsonl", "-"]))
            .refused(1, &["standard input, line 1 is no row"]);
        assert_eq!(snapshot(place.path()), before, "{engine}");
    }
}

#[test]
fn keys_of_the_engines_own_limit_are_taken_where_the_table_says_so() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 1);
        let key = "00".repeat(511);
        let args = [
            "put", "--store", &store, "--table", "wide", "--key", &key, "--value", "01", "--write",
        ];
        run(args).ok();
        let get = run(["get", "--store", &store, "--table", "wide", &key]);
        assert_eq!(get.ok().text(), "0x01\n");
    }
}

#[test]
fn an_interrupt_ends_between_two_commits() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 0);
        let mut command = Command::new(PROGRAM);
        command.args(change("put", &store, &["--from-jsonl", "-", "-v"]));
        command.stdin(Stdio::piped());
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut pipe = child.stdin.take().unwrap();
        let lines = |from: u32| {
            let line = |number: u32| format!("{{\"key\":\"{number:08x}\",\"value\":\"01\"}}\n");
            (from..from + 10_000).map(line).collect::<String>()
        };
        pipe.write_all(lines(0).as_bytes()).unwrap();
        // The first commit is there once the next rows are being taken.
        let next = lines(10_000);
        let (some, rest) = next.split_at(200_000);
        pipe.write_all(some.as_bytes()).unwrap();
        signal(&child, "INT");
        let err = child.stderr.as_mut().unwrap();
        crate::support::read_until(err, "interrupt again to abort");
        pipe.write_all(rest.as_bytes()).unwrap();
        drop(pipe);
        let ran = finish(child);
        assert_eq!(ran.code, Some(130), "{ran}");
        assert!(
            ran.stderr.contains("interrupted between two commits"),
            "{ran}"
        );
        let rows = String::from_utf8(listed(&store, "names")).unwrap();
        let rows = rows.lines().count();
        assert!(rows == 10_000, "{rows} rows, and commits have 10,000");
        wait_until("the store is free", || {
            run(["stat", "--store", &store]).code == Some(0)
        });
    }
}
