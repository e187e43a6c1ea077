//! What is counted and timed, on every engine: exact numbers by engine, table and operation, and no
//! name that the page does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use chain_store::metrics::{ALL, Kind, publish};
use chain_store::{AnyStore, EngineName, StoreUrl, Timed};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use storage_api::{
    BulkOptions, Cursor, Durability, ErrorKind, KeyRange, KvStore, OpenOptions, Reader, Schema,
    TableDef, TableId, WriteBatch, WriteTxn, Writer,
};

const A: TableDef = TableDef::new("a");
const B: TableDef = TableDef::new("b");
const BIG: TableDef = TableDef::new("big");

/// A store of one engine and the place that it is in.
struct Place {
    store: AnyStore,
    url: String,
    _folder: tempfile::TempDir,
}

fn open(engine: EngineName) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = match engine {
        EngineName::Mem => "mem:".to_owned(),
        engine => format!("{engine}:{}", folder.path().join("store").display()),
    };
    let schema = Schema::new([&A, &B, &BIG]).unwrap();
    Place {
        store: AnyStore::open(&url, &schema).unwrap(),
        url,
        _folder: folder,
    }
}

fn table(store: &impl KvStore, def: &TableDef) -> TableId {
    store.catalogue().id(def.name()).unwrap()
}

/// The numbers since the last look: counters by name and labels, histograms by their counts.
#[derive(Debug, Default)]
struct Numbers {
    counters: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<f64>>,
    gauges: BTreeMap<String, f64>,
}

/// A name with its labels, without that of the engine, which is checked.
fn look(snapshotter: &Snapshotter, engine: EngineName) -> Numbers {
    let mut numbers = Numbers::default();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let metric = ALL.iter().find(|metric| metric.name == key.name());
        let metric = metric.unwrap_or_else(|| panic!("{} is on no page", key.name()));
        let same = match metric.kind {
            Kind::Counter => kind == MetricKind::Counter,
            Kind::Gauge => kind == MetricKind::Gauge,
            Kind::Histogram => kind == MetricKind::Histogram,
        };
        assert!(same, "{} is a {kind:?}", key.name());
        let labels: Vec<_> = key.labels().map(::metrics::Label::key).collect();
        assert_eq!(labels, metric.labels, "{}", key.name());
        let mut name = key.name().trim_start_matches("chainstore_").to_owned();
        for label in key.labels() {
            match label.key() {
                "engine" => assert_eq!(label.value(), engine.as_str()),
                "op" => {
                    assert!(metric.ops.contains(&label.value()), "{label:?}");
                    name = format!("{name} {}", label.value());
                }
                _ => name = format!("{name} {}", label.value()),
            }
        }
        match value {
            DebugValue::Counter(count) => {
                if count > 0 {
                    numbers.counters.insert(name, count);
                }
            }
            DebugValue::Gauge(value) => {
                numbers.gauges.insert(name, value.into_inner());
            }
            DebugValue::Histogram(values) => {
                if !values.is_empty() {
                    let values = values.iter().map(|value| **value).collect();
                    numbers.histograms.insert(name, values);
                }
            }
        }
    }
    numbers
}

impl Numbers {
    #[track_caller]
    fn counted(&self, expected: &[(&str, u64)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        assert_eq!(self.counters, expected);
    }

    #[track_caller]
    fn timed(&self, expected: &[(&str, usize)]) {
        let found: Vec<_> = self
            .histograms
            .iter()
            .map(|(name, values)| (name.as_str(), values.len()))
            .collect();
        assert_eq!(found, expected);
        let mut values = self.histograms.values().flatten();
        assert!(values.all(|seconds| (0.0..600.0).contains(seconds)));
    }
}

/// Runs a test on every engine of this build, with a recorder of its own.
fn on_every_engine(test: impl Fn(EngineName, &Snapshotter)) {
    for engine in EngineName::compiled() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        ::metrics::with_local_recorder(&recorder, || test(engine, &snapshotter));
    }
}

#[test]
fn reads_are_counted_exactly_and_added_when_the_view_drops() {
    on_every_engine(|engine, seen| {
        let Place { store, _folder, .. } = open(engine);
        let (a, b) = (table(&store, &A), table(&store, &B));
        let mut batch = WriteBatch::new();
        for key in 0..20u8 {
            batch.put(a, &[key], b"value").unwrap();
        }
        store.apply(&batch, Durability::Volatile).unwrap();
        look(seen, engine);

        let view = store.begin_read().unwrap();
        assert!(view.get(a, &[3]).unwrap().is_some());
        assert!(view.get(a, b"absent").unwrap().is_none());
        assert!(view.get(a, b"").unwrap().is_none());
        assert!(!view.contains(b, &[3]).unwrap());
        assert!(view.get_with(a, &[4], &mut |_| ()).unwrap());
        let keys: [&[u8]; 3] = [&[1], &[2], b"absent"];
        view.multi_get(a, &keys, &mut |_, _| ()).unwrap();
        view.multi_get(b, &[b"", &[1]], &mut |_, _| ()).unwrap();
        let mut cursor = view.cursor(a, KeyRange::from_key(&[15])).unwrap();
        while cursor.next().unwrap().is_some() {}
        assert!(cursor.prev().unwrap().is_some());
        drop(cursor);
        let mut cursor = view.cursor(a, KeyRange::all()).unwrap();
        for seek in [&[][..], &[7], &[200]] {
            cursor.seek(seek).unwrap();
            cursor.seek_back(seek).unwrap();
        }
        cursor.first().unwrap();
        cursor.last().unwrap();
        drop(cursor);
        assert!(view.get(TableId::new(99), &[1]).is_err());
        look(seen, engine).counted(&[("views_total", 1)]);
        drop(view);

        let numbers = look(seen, engine);
        numbers.counted(&[
            ("operations_total a get", 7),
            ("operations_total a seek", 8),
            ("operations_total b get", 3),
            ("rows_total a", 6),
        ]);
        numbers.timed(&[]);
        drop(
            store
                .begin_read_many(NonZeroUsize::new(3).unwrap())
                .unwrap(),
        );
        look(seen, engine).counted(&[("views_total", 3)]);
    });
}

#[test]
fn writes_are_counted_exactly_and_commits_timed_by_durability() {
    on_every_engine(|engine, seen| {
        let Place { store, _folder, .. } = open(engine);
        let (a, b) = (table(&store, &A), table(&store, &B));
        let opened = look(seen, engine);
        opened.counted(&[]);
        opened.timed(&[("operation_seconds open", 1)]);

        let mut txn = store.begin_write().unwrap();
        txn.put(a, b"k1", b"12345").unwrap();
        txn.put(a, b"k2", b"").unwrap();
        txn.delete(a, b"k3").unwrap();
        txn.delete_range(b, &KeyRange::all()).unwrap();
        assert!(txn.put(a, b"", b"refused").is_err());
        assert!(txn.get(a, b"k1").unwrap().is_some());
        let mut cursor = txn.cursor(a, KeyRange::all()).unwrap();
        while cursor.next().unwrap().is_some() {}
        drop(cursor);
        look(seen, engine).counted(&[]);
        txn.commit(Durability::Durable).unwrap();
        let numbers = look(seen, engine);
        numbers.counted(&[
            ("operations_total a delete", 1),
            ("operations_total a get", 1),
            ("operations_total a put", 2),
            ("operations_total b delete_range", 1),
            ("rows_total a", 2),
            ("written_bytes_total", 11),
        ]);
        numbers.timed(&[("commit_seconds commit durable", 1)]);

        let mut batch = WriteBatch::new();
        batch.put(b, b"k", b"v").unwrap();
        batch.put(b, b"k", b"w").unwrap();
        batch.delete(a, b"k1").unwrap();
        batch.delete_range(a, &KeyRange::all()).unwrap();
        for durability in [Durability::Volatile, Durability::Buffered] {
            store.apply(&batch, durability).unwrap();
        }
        store.sync().unwrap();
        let numbers = look(seen, engine);
        let bytes = 2 * batch.payload_bytes() as u64;
        numbers.counted(&[
            ("operations_total a delete", 2),
            ("operations_total a delete_range", 2),
            ("operations_total b put", 4),
            ("written_bytes_total", bytes),
        ]);
        numbers.timed(&[
            ("commit_seconds apply buffered", 1),
            ("commit_seconds apply volatile", 1),
            ("operation_seconds sync", 1),
            ("write_wait_seconds apply", 2),
        ]);

        // What was refused or aborted is no commit; an aborted transaction has done its work.
        batch.put(b, &[0; 100_000], b"").unwrap();
        assert!(store.apply(&batch, Durability::Volatile).is_err());
        let mut txn = store.begin_write().unwrap();
        txn.put(a, b"k", b"v").unwrap();
        let refused = store.apply(&WriteBatch::new(), Durability::Volatile);
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::WouldDeadlock);
        assert!(store.begin_write().is_err());
        txn.abort().unwrap();
        let numbers = look(seen, engine);
        numbers.counted(&[
            ("failures_total apply", 2),
            ("failures_total begin_write", 1),
            ("operations_total a put", 1),
        ]);
        numbers.timed(&[("write_wait_seconds begin_write", 1)]);
    });
}

#[test]
fn long_work_and_long_scans_are_timed() {
    on_every_engine(|engine, seen| {
        let Place { store, _folder, .. } = open(engine);
        let big = table(&store, &BIG);
        let mut batch = WriteBatch::new();
        for key in 0..3_000u32 {
            batch.put(big, &key.to_be_bytes(), b"v").unwrap();
        }
        store.apply(&batch, Durability::Durable).unwrap();
        look(seen, engine);
        let scan = |view: &<AnyStore as KvStore>::ReadTxn, range| {
            let mut cursor = view.cursor(big, range).unwrap();
            while cursor.next().unwrap().is_some() {}
            drop(cursor);
            let scans = look(seen, engine).histograms;
            scans.get("scan_seconds big").map_or(0, Vec::len)
        };
        let view = store.begin_read().unwrap();
        // Strides end before row 1,024, 2,048 and so on of the view, and the first of a cursor
        // only begins the next.
        assert_eq!(scan(&view, KeyRange::all()), 1, "{engine}");
        assert_eq!(scan(&view, KeyRange::all()), 2, "{engine}");
        drop(view);
        let view = store.begin_read().unwrap();
        let most = KeyRange::half_open(&[], &2_047u32.to_be_bytes());
        assert_eq!(scan(&view, most), 1, "{engine}");
        assert_eq!(scan(&view, KeyRange::from_key(&2_900u32.to_be_bytes())), 0);
        drop(view);
        look(seen, engine);
        if let Some(verify) = store.as_verify() {
            assert!(verify.verify(&mut |_| ()).unwrap().is_sound());
        }
        let numbers = look(seen, engine);
        assert_eq!(numbers.counters["operations_total big get"], 3_000);
        assert_eq!(numbers.counters["rows_total big"], 3_000);
        assert_eq!(numbers.histograms["operation_seconds verify"].len(), 1);
        if let Some(bulk) = store.as_bulk() {
            let options = BulkOptions::default();
            let mut load = bulk.begin_bulk(table(&store, &A), &options).unwrap();
            for key in [3, 1, 2, 1] {
                load.put(&[key], b"v").unwrap();
            }
            assert_eq!(load.finish().unwrap().rows, 3);
            let numbers = look(seen, engine);
            assert_eq!(numbers.counters["bulk_rows_total"], 3);
            assert_eq!(numbers.histograms["operation_seconds bulk"].len(), 1);
        }
        if let Some(compact) = store.as_compact() {
            compact.compact().unwrap();
            let numbers = look(seen, engine);
            assert_eq!(numbers.histograms["operation_seconds compact"].len(), 1);
        }
        if let Some(backup) = store.as_backup() {
            let target = tempfile::tempdir().unwrap();
            backup.backup(&target.path().join("copy")).unwrap();
            assert!(backup.backup(target.path()).is_err());
            let numbers = look(seen, engine);
            assert_eq!(numbers.histograms["operation_seconds backup"].len(), 1);
            assert_eq!(numbers.counters["failures_total backup"], 1);
        }
    });
}

#[test]
fn one_beginning_of_sixteen_is_timed() {
    on_every_engine(|engine, seen| {
        let Place { store, _folder, .. } = open(engine);
        look(seen, engine);
        for _ in 0..48 {
            drop(store.begin_read().unwrap());
        }
        let numbers = look(seen, engine);
        numbers.counted(&[("views_total", 48)]);
        numbers.timed(&[("view_begin_seconds", 3)]);
    });
}

#[test]
fn gauges_say_what_is_so_when_they_are_published() {
    on_every_engine(|engine, seen| {
        let Place {
            store,
            url,
            _folder,
        } = open(engine);
        let a = table(&store, &A);
        let mut batch = WriteBatch::new();
        batch.put(a, b"k", b"v").unwrap();
        store.apply(&batch, Durability::Durable).unwrap();
        let view = store.begin_read().unwrap();
        assert!(look(seen, engine).gauges.is_empty());
        publish(&store, &url).unwrap();
        let gauges = look(seen, engine).gauges;
        let gauge = |name: &str| gauges.get(&format!("{name} {url}")).copied();
        assert_eq!(gauge("readers"), Some(1.0));
        assert_eq!(gauge("commit_seq"), Some(1.0));
        assert!(gauge("oldest_reader_age_seconds").is_some_and(|age| age > 0.0));
        assert!(gauge("pinned_bytes").is_some_and(|bytes| bytes >= 0.0));
        let on_disk = engine != EngineName::Mem;
        assert_eq!(
            gauge("disk_bytes").is_some_and(|bytes| bytes > 0.0),
            on_disk
        );
        assert_eq!(
            gauge("disk_free_bytes").is_some_and(|bytes| bytes > 0.0),
            on_disk
        );
        drop(view);
        publish(&store, &url).unwrap();
        let gauges = look(seen, engine).gauges;
        let gauge = |name: &str| gauges.get(&format!("{name} {url}")).copied();
        assert_eq!(gauge("readers"), Some(0.0));
        assert_eq!(gauge("oldest_reader_age_seconds"), Some(0.0));
    });
}

#[test]
fn opening_that_fails_counts() {
    on_every_engine(|engine, seen| {
        let Place {
            store,
            url,
            _folder,
        } = open(engine);
        look(seen, engine);
        if let Ok(StoreUrl::Engine(..)) = url.parse() {
            assert!(AnyStore::open_existing(&url, &OpenOptions::new()).is_err());
            look(seen, engine).counted(&[("failures_total open", 1)]);
        }
        drop(store);
    });
}

#[test]
fn single_reads_are_timed_only_in_the_decorator() {
    on_every_engine(|engine, seen| {
        let Place { store, _folder, .. } = open(engine);
        let store = Timed::new(store);
        let (a, b) = (table(&store, &A), table(&store, &B));
        look(seen, engine);
        let view = store.begin_read().unwrap();
        view.get(a, b"k").unwrap();
        view.contains(a, b"k").unwrap();
        view.get_with(b, b"k", &mut |_| ()).unwrap();
        view.multi_get(a, &[b"k", b"l"], &mut |_, _| ()).unwrap();
        let mut cursor = view.cursor(b, KeyRange::all()).unwrap();
        cursor.seek(b"k").unwrap();
        cursor.next().unwrap();
        drop(cursor);
        drop(view);
        let mut txn = store.begin_write().unwrap();
        txn.put(a, b"k", b"v").unwrap();
        txn.get(a, b"k").unwrap();
        txn.abort().unwrap();
        look(seen, engine).timed(&[
            ("read_seconds a get", 3),
            ("read_seconds a multi_get", 1),
            ("read_seconds b get", 1),
            ("read_seconds b seek", 1),
            ("view_begin_seconds", 1),
            ("write_wait_seconds begin_write", 1),
        ]);
    });
}

#[test]
fn every_metric_of_the_page_exists_and_is_described() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let names: BTreeSet<String> = ::metrics::with_local_recorder(&recorder, || {
        let mut places: Vec<_> = EngineName::compiled().map(open).collect();
        for place in &mut places {
            publish(&place.store, &place.url).unwrap();
        }
        let timed: Vec<_> = places.into_iter().map(|it| Timed::new(it.store)).collect();
        let found = snapshotter.snapshot().into_vec().into_iter();
        let names = found.map(|(key, unit, meaning, _)| {
            let name = key.key().name().to_owned();
            let metric = ALL.iter().find(|metric| metric.name == name).unwrap();
            assert_eq!(unit, Some(metric.unit), "{name}");
            assert_eq!(meaning.as_deref(), Some(metric.meaning), "{name}");
            name
        });
        let names = names.collect();
        drop(timed);
        names
    });
    for metric in ALL {
        // Engines that know these figures are not in every build.
        let some_engines = ["memory_bytes", "reusable_bytes", "limit_bytes"];
        let needs_disk = "disk_free_bytes";
        let short = metric.name.trim_start_matches("chainstore_");
        let may_miss = some_engines.contains(&short) || short == needs_disk;
        let everything = cfg!(all(feature = "redb", feature = "lmdb", feature = "rocks"));
        if everything || !may_miss {
            assert!(
                names.contains(metric.name),
                "{} is never emitted",
                metric.name
            );
        }
    }
}
