//! Metrics of the program: served while it works, printed at the end, refused where they cannot be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;

use chain_store::EngineName;

use crate::chain;
use crate::import::{Fed, feed_with, said};
use crate::support::{Ran, disk_engines, finish, real_file, run, url, wait_until};

/// Reads the address that the program serves at from its first line on standard error.
fn address(child: &mut Child) -> String {
    let line = said(child);
    let at = line.trim().strip_prefix("chainstore: metrics at http://");
    let at = at.and_then(|rest| rest.strip_suffix("/metrics"));
    at.unwrap_or_else(|| panic!("{line:?}")).to_owned()
}

/// Sends these bytes and gives back the whole answer.
fn send(address: &str, request: &[u8]) -> String {
    let mut server = TcpStream::connect(address).unwrap();
    server.write_all(request).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    answer
}

/// One scrape, checked for its form.
fn scrape(address: &str) -> Metrics {
    let answer = send(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    Metrics::read(body)
}

/// Samples by their names with labels, as they stand in the text.
#[derive(Debug)]
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text format; every sample has its kind and its help before it.
    #[track_caller]
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "{text}");
        let (mut helped, mut typed) = (String::new(), String::new());
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split(' ').next().unwrap().to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                typed = rest.split(' ').next().unwrap().to_owned();
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                assert!(
                    bare.starts_with(&typed) && typed.starts_with("chainstore_"),
                    "{line}"
                );
                assert_eq!(helped, typed, "{line}");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert_eq!(samples.insert(name.to_owned(), value), None, "{line}");
            }
        }
        Self(samples)
    }

    /// The sum over all samples of this name that have all these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let with = |sample: &str| {
            let rest = sample.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
                && labels
                    .iter()
                    .all(|(label, value)| sample.contains(&format!("{label}=\"{value}\"")))
        };
        let found = self.0.iter().filter(|(sample, _)| with(sample));
        found.map(|(_, value)| value).sum()
    }

    /// Whether there is any sample of this name.
    fn has(&self, name: &str) -> bool {
        let mut names = self.0.keys().map(|sample| sample.split('{').next());
        names.any(|found| found == Some(name))
    }
}

fn commits(metrics: &Metrics, engine: EngineName) -> f64 {
    let labels = [("engine", engine.as_str()), ("durability", "durable")];
    metrics.sum("chainstore_commit_seconds_count", &labels)
}

#[test]
fn an_import_is_watched_while_it_runs() {
    let blocks = chain::blocks(30);
    for engine in EngineName::compiled() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let Fed {
            mut child,
            mut pipe,
        } = feed_with(place.path(), &store, &["--metrics-addr", "0"]);
        let at = address(&mut child);
        assert!(at.starts_with("127.0.0.1:"), "{at}");

        // Half of a record at the end, so that the program waits for more.
        pipe.write_all(&chain::file(&blocks[..20])).unwrap();
        pipe.write_all(&chain::record(&blocks[20])[..50]).unwrap();
        let state = [("engine", engine.as_str()), ("store", store.as_str())];
        let put = |metrics: &Metrics, table: &str| {
            let labels = [("engine", engine.as_str()), ("table", table), ("op", "put")];
            metrics.sum("chainstore_operations_total", &labels)
        };
        let mut last = scrape(&at);
        // The parts of one commit are counted one after the other, so a scrape may come between.
        wait_until("twenty blocks are committed and counted", || {
            last = scrape(&at);
            let seq = last.sum("chainstore_commit_seq", &state);
            [commits(&last, engine), put(&last, "blocks.bodies"), seq] == [20.0; 3]
        });
        assert!(put(&last, "bitcoin.unspent") > 0.0, "{last:?}");
        let on_disk = engine != EngineName::Mem;
        assert_eq!(last.sum("chainstore_disk_bytes", &state) > 0.0, on_disk);
        assert_eq!(
            last.sum("chainstore_disk_free_bytes", &state) > 0.0,
            on_disk
        );
        assert!(last.has("chainstore_readers") && last.has("chainstore_pinned_bytes"));

        pipe.write_all(&chain::record(&blocks[20])[50..]).unwrap();
        pipe.write_all(&chain::file(&blocks[21..])).unwrap();
        wait_until("all blocks are committed", || {
            commits(&scrape(&at), engine) == 30.0
        });
        drop(pipe);
        let report = finish(child).ok().json();
        assert_eq!(report["stat"]["blocks"]["count"], 30);
    }
}

#[test]
fn whatever_a_client_sends_the_next_one_is_served() {
    let place = tempfile::tempdir().unwrap();
    let Fed {
        mut child,
        mut pipe,
    } = feed_with(place.path(), "mem:", &["--metrics-addr", "0"]);
    let at = address(&mut child);
    pipe.write_all(&chain::file(&chain::blocks(3))).unwrap();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
        (
            b"DELETE /metrics HTTP/1.1\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (b"\x16\x03\x01\x00\xff\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = send(&at, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(!answer.contains("chainstore_"), "{answer}");
    }
    // One that is gone at once and one that says nothing, which is left after its time.
    drop(TcpStream::connect(&at).unwrap());
    let silent = TcpStream::connect(&at).unwrap();
    assert!(scrape(&at).has("chainstore_views_total"));
    drop((silent, pipe));
    finish(child).ok();
}

/// The real chain where it is, else the small one.
fn blocks_file(folder: &Path) -> std::path::PathBuf {
    real_file("btc-blocks1-256.bz2").unwrap_or_else(|| {
        let file = folder.join("blocks.dat");
        fs::write(&file, chain::file(&chain::blocks(60))).unwrap();
        file
    })
}

fn import(store: &str, file: &Path) -> Ran {
    let args = ["import", "--from", "bitcoin", "--store", store];
    run(args.into_iter().chain([file.to_str().unwrap()])).ok()
}

#[test]
fn stat_prints_the_metrics_of_its_own_process() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        import(&store, &blocks_file(place.path()));
        let ran = run(["stat", "--metrics", "--digest", "--store", &store]).ok();
        let metrics = Metrics::read(ran.text());
        let stat = run(["stat", "--output", "json", "--store", &store])
            .ok()
            .json();
        let this = ("engine", engine.as_str());
        let state = [this, ("store", store.as_str())];
        let seq = metrics.sum("chainstore_commit_seq", &state);
        assert_eq!(Some(seq), stat["commit_seq"].as_f64(), "{stat}");
        assert!(metrics.sum("chainstore_disk_bytes", &state) > 0.0);
        assert!(metrics.sum("chainstore_disk_free_bytes", &state) > 0.0);
        assert_eq!(metrics.sum("chainstore_readers", &state), 0.0);
        let opened = [this, ("op", "open")];
        let opens = metrics.sum("chainstore_operation_seconds_count", &opened);
        assert_eq!(opens, 1.0, "{ran}");
        for table in stat["tables"].as_array().unwrap() {
            let labels = [this, ("table", table["name"].as_str().unwrap())];
            let rows = metrics.sum("chainstore_rows_total", &labels);
            if table["exact"] == true {
                // The digest has read every row, and a sample was read for some sizes.
                assert!(Some(rows) >= table["rows"].as_f64(), "{table}: {rows}");
            }
            assert_eq!(
                metrics.sum("chainstore_operations_total", &[labels[1], ("op", "put")]),
                0.0
            );
        }
        let args = ["stat", "--metrics", "--output", "json", "--store", &store];
        run(args).refused(2, &["'--metrics' cannot be used with '--output"]);
    }
}

#[test]
fn an_address_that_cannot_be_served_stops_before_anything_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = tempfile::tempdir().unwrap();
    let file = blocks_file(place.path());
    let file = file.to_str().unwrap();
    for engine in disk_engines() {
        let store = url(engine, place.path());
        for (address, code, words) in [
            (port.as_str(), 74, "cannot serve metrics at 127.0.0.1:"),
            (
                "192.0.2.1:9187",
                74,
                "cannot serve metrics at 192.0.2.1:9187",
            ),
            ("example.org:9187", 2, "write PORT for this machine alone"),
            (":9187", 2, "0.0.0.0:9187 for everybody"),
            ("65536", 2, "metrics-addr"),
        ] {
            let args = ["import", "--from", "bitcoin", "--store", &store];
            let args = args.into_iter().chain(["--metrics-addr", address, file]);
            run(args).refused(code, &[words]);
            assert!(!place.path().join("store").exists(), "{engine} {address}");
        }
        let args = ["verify", "--store", &store, "--metrics-addr", &port];
        run(args).refused(74, &["cannot serve metrics"]);
    }
}

#[test]
fn verification_serves_from_its_second_process_and_nothing_is_served_unasked() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let ran = import(&store, &blocks_file(place.path()));
        assert!(!ran.stderr.contains("metrics at"), "{ran}");
        let args = ["verify", "--store", &store, "--metrics-addr", "0"];
        let ran = run(args).ok();
        let said = ran.stderr.matches("metrics at http://127.0.0.1:").count();
        assert_eq!(said, 1, "{ran}");
        assert!(!ran.text().contains("metrics"), "{ran}");
        let ran = run(["verify", "--store", &store]).ok();
        assert!(!ran.stderr.contains("metrics"), "{ran}");
    }
}

/// Lines of the log by the words that they are of, from a run with this much logging.
fn logged(verbose: &str, args: &[&str]) -> Vec<String> {
    let ran = run(args.iter().chain([&verbose])).ok();
    let lines = ran
        .stderr
        .lines()
        .filter(|line| line.contains("backend_kit"));
    lines.map(str::to_owned).collect()
}

#[test]
fn long_work_is_traced_with_its_fields_and_no_key_ever() {
    for engine in disk_engines() {
        let demo = ["demo", "--blocks", "10", "--engine", engine.as_str()];
        let lines = logged("-vv", &demo);
        let name = format!("engine=\"{engine}\"");
        let with = |words: &[&str]| {
            let all = |line: &&String| words.iter().all(|word| line.contains(word));
            lines.iter().filter(all).count()
        };
        // Made, and opened again after the restart in the middle.
        let opened = ["INFO open{", &name, "path=", "tables=", "took_seconds="];
        assert_eq!(with(&opened), 2, "{lines:#?}");
        let commit = [
            "DEBUG commit{",
            &name,
            "op=\"commit\"",
            "durability=\"durable\"",
        ];
        assert_eq!(with(&commit), 10, "{lines:#?}");
        assert_eq!(with(&["commit{", "ops=", "bytes=", "took_seconds="]), 10);
        assert!(lines.len() < 40, "{lines:#?}");
        let lines = logged("-v", &demo);
        assert!(
            !lines.iter().any(|line| line.contains("commit{")),
            "{lines:#?}"
        );

        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        import(&store, &blocks_file(place.path()));
        let lines = logged("-v", &["verify", "--here", "--store", &store]);
        let verified = [
            "verify{",
            &name,
            "tables=",
            "rows=",
            "findings=0",
            "took_seconds=",
        ];
        let line = lines.iter().find(|line| line.contains("verified")).unwrap();
        assert!(verified.iter().all(|word| line.contains(word)), "{line}");
    }
}
