//! The tree against a `BTreeMap` model: every operation, every snapshot, every walk.
//!
//! Seeds are fixed and printed, so that a failure repeats. `CHAINSTORE_TEST_SCALE` (`tenth`, the
//! default, `full` or `soak`) sets how many operations run; under Miri there are few.

use std::collections::BTreeMap;
use std::ops::Bound;

use rand::{Rng, RngExt, SeedableRng};

use super::check::check;
use super::leaf::{INLINE_MAX_BYTES, LEAF_CAPACITY, Leaf};
use super::{Tree, TreeBuilder, TreePart};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Rng8 = rand_chacha::ChaCha8Rng;

fn scaled(tenth: usize) -> usize {
    // Miri is some hundred times slower; what it looks for shows in the first splits and merges.
    if cfg!(miri) {
        return (tenth / 60).max(1);
    }
    match std::env::var("CHAINSTORE_TEST_SCALE").as_deref() {
        Err(_) | Ok("tenth") => tenth,
        Ok("full") => tenth * 10,
        Ok("soak") => tenth * 300,
        Ok(other) => panic!("CHAINSTORE_TEST_SCALE is {other}; tenth, full or soak are known"),
    }
}

/// How keys and values of a run look.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    key: fn(&mut Rng8) -> Vec<u8>,
    value: fn(&mut Rng8) -> Vec<u8>,
    live_target: usize,
}

fn bytes(rng: &mut Rng8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn short_values(rng: &mut Rng8) -> Vec<u8> {
    let len = rng.random_range(0..40);
    bytes(rng, len)
}

/// Lengths on both sides of the limit between inline and out of line, seldom huge.
fn mixed_values(rng: &mut Rng8) -> Vec<u8> {
    let len = match rng.random_range(0..100) {
        0..50 => rng.random_range(0..200),
        50..80 => rng.random_range(INLINE_MAX_BYTES - 60..INLINE_MAX_BYTES + 20),
        80..99 => rng.random_range(0..3000),
        _ => 100_000,
    };
    let mut value = vec![rng.random(); len];
    let marked = len.min(8);
    rng.fill_bytes(&mut value[..marked]);
    value
}

const SHAPES: [Shape; 7] = [
    Shape {
        name: "uniform 32 byte keys",
        key: |rng| {
            let mut key = vec![0; 32];
            key[..2].copy_from_slice(&rng.random_range(0..6000u16).to_be_bytes());
            key
        },
        value: |rng| bytes(rng, 150),
        live_target: 3000,
    },
    Shape {
        name: "shared prefix and number",
        key: |rng| {
            let prefix = ["a/", "account/storage/", ""][rng.random_range(0..3)];
            let number = rng.random_range(0..1500u64);
            [prefix.as_bytes(), &number.to_be_bytes()].concat()
        },
        value: short_values,
        live_target: 2000,
    },
    Shape {
        name: "runs of 0x00 and 0xff",
        key: |rng| {
            let len = rng.random_range(0..14);
            (0..len)
                .map(|_| if rng.random::<bool>() { 0x00 } else { 0xff })
                .collect()
        },
        value: short_values,
        live_target: 1500,
    },
    Shape {
        name: "zero bytes of every length",
        key: |rng| vec![0; rng.random_range(0..600)],
        value: short_values,
        live_target: 400,
    },
    Shape {
        name: "few keys, values about the inline limit",
        key: |rng| rng.random_range(0..600u16).to_be_bytes().to_vec(),
        value: mixed_values,
        live_target: 300,
    },
    Shape {
        name: "long keys with a long common prefix",
        key: |rng| {
            let len = [0, 8, 300, 1020, 1024, 1030, 3000][rng.random_range(0..7)];
            let mut key = vec![7; len];
            key.extend_from_slice(&rng.random_range(0..90u16).to_le_bytes());
            key
        },
        value: short_values,
        live_target: 300,
    },
    Shape {
        name: "huge keys",
        key: |rng| {
            let mut key = vec![0xff; [0, 100, 100_000][rng.random_range(0..3)]];
            key.push(rng.random_range(0..30));
            key
        },
        value: mixed_values,
        live_target: 60,
    },
];

/// Compares everything that can be read: both walks, sums, and the invariants.
fn assert_same(tree: &Tree, model: &Model) {
    check(tree);
    assert_eq!(tree.len(), model.len());
    assert_eq!(tree.is_empty(), model.is_empty());
    let payload: usize = model
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert_eq!(tree.payload_bytes(), payload);
    let mut cursor = tree.cursor();
    let mut forward = model.iter();
    let mut row = cursor.next();
    while let Some((key, value)) = row {
        assert_eq!(forward.next(), Some((&key.to_vec(), &value.to_vec())));
        assert_eq!(cursor.current(), row);
        row = cursor.next();
    }
    assert_eq!(forward.next(), None);
    assert_eq!(
        (cursor.current(), cursor.next()),
        (None, None),
        "after the last"
    );
    let mut backward = model.iter().rev();
    let mut row = cursor.prev();
    while let Some((key, value)) = row {
        assert_eq!(backward.next(), Some((&key.to_vec(), &value.to_vec())));
        row = cursor.prev();
    }
    assert_eq!(backward.next(), None);
    assert_eq!(
        (cursor.current(), cursor.prev()),
        (None, None),
        "before the first"
    );
    assert_eq!(
        cursor.next().map(|row| row.0),
        model.keys().next().map(Vec::as_slice)
    );
}

/// Compares grouped reads of about fifty keys, present and absent, with single ones.
fn assert_same_many(tree: &Tree, model: &Model, shape: &Shape, rng: &mut Rng8) {
    let keys: Vec<Vec<u8>> = (0..rng.random_range(0..50))
        .map(|_| (shape.key)(rng))
        .collect();
    tree.warm(&keys);
    let mut next = 0;
    tree.get_many(&keys, |index, value| {
        assert_eq!(index, next);
        assert_eq!(value, model.get(&keys[index]).map(Vec::as_slice));
        next += 1;
    });
    assert_eq!(next, keys.len());
}

/// Compares reads at and around one key, and a walk from there that turns about at random.
fn assert_same_at(tree: &Tree, model: &Model, key: &[u8], rng: &mut Rng8) {
    let borrow = |row: Option<(&Vec<u8>, &Vec<u8>)>| row.map(|(k, v)| (k.clone(), v.clone()));
    let own = |row: Option<(&[u8], &[u8])>| row.map(|(k, v)| (k.to_vec(), v.to_vec()));
    assert_eq!(tree.get(key), model.get(key).map(Vec::as_slice));
    assert_eq!(tree.contains(key), model.contains_key(key));
    let at_or_after = || model.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
    let at_or_before = || model.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
    let before = || model.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key)));
    assert_eq!(tree.rank(key), before().count());
    let mut cursor = tree.cursor();
    assert_eq!(
        own(cursor.seek_back(key)),
        borrow(at_or_before().next_back())
    );
    assert_eq!(
        own(cursor.next()),
        borrow(match at_or_before().next_back() {
            Some((found, _)) => {
                model
                    .range::<Vec<u8>, _>((Bound::Excluded(found), Bound::Unbounded))
                    .next()
            }
            None => model.iter().next(),
        })
    );
    assert_eq!(own(cursor.seek(key)), borrow(at_or_after().next()));
    assert_eq!(own(cursor.current()), borrow(at_or_after().next()));
    // Position in the model: 0 is before the first, n + 1 after the last.
    let all: Vec<_> = model.iter().collect();
    let mut place = before().count() + 1;
    for _ in 0..40 {
        let row = if rng.random::<bool>() {
            place = (place + 1).min(all.len() + 1);
            cursor.next()
        } else {
            place = place.saturating_sub(1);
            cursor.prev()
        };
        let expected = place.checked_sub(1).and_then(|index| all.get(index));
        assert_eq!(own(row), borrow(expected.copied()));
    }
    assert_eq!(own(cursor.first()), borrow(model.iter().next()));
    assert_eq!(cursor.prev(), None);
    assert_eq!(own(cursor.last()), borrow(model.iter().next_back()));
    assert_eq!(cursor.next(), None);
}

fn model_remove_range(model: &mut Model, start: &[u8], end: Option<&[u8]>) -> usize {
    let before = model.len();
    model.retain(|key, _| key.as_slice() < start || end.is_some_and(|end| key.as_slice() >= end));
    before - model.len()
}

/// A range about any key; mostly short, sometimes open, reversed or empty.
fn random_range(model: &Model, shape: &Shape, rng: &mut Rng8) -> (Vec<u8>, Option<Vec<u8>>) {
    let start = (shape.key)(rng);
    let end = match rng.random_range(0..20) {
        0 if model.len() > shape.live_target / 2 => return (start, None),
        0..3 => (shape.key)(rng),
        3 => start.clone(),
        _ => {
            let span = rng.random_range(0..1 + shape.live_target / 8);
            let from = (Bound::Included(start.as_slice()), Bound::Unbounded);
            match model.range::<[u8], _>(from).nth(span) {
                Some((key, _)) => key.clone(),
                None => return (start, None),
            }
        }
    };
    (start, Some(end))
}

/// Runs `steps` operations; about `live_target` entries stay alive.
fn run(shape: &Shape, seed: u64, steps: usize) {
    eprintln!("shape {:?}, seed {seed:#x}, {steps} steps", shape.name);
    let mut rng = Rng8::seed_from_u64(seed);
    let (mut tree, mut model) = (Tree::default(), Model::new());
    let mut snapshots: Vec<(Tree, Model)> = Vec::new();
    for step in 0..steps {
        let roll = rng.random_range(0..1000);
        let grows = model.len() < shape.live_target;
        match roll {
            0..3 => {
                let (start, end) = random_range(&model, shape, &mut rng);
                let (start, end) = (start.as_slice(), end.as_deref());
                let counted = tree.count_range(start, end);
                let removed = model_remove_range(&mut model, start, end);
                assert_eq!(counted, removed);
                assert_eq!(tree.remove_range(start, end), removed);
                check(&tree);
            }
            3..10 => {
                if snapshots.len() == 4 {
                    let (old, then) = snapshots.remove(rng.random_range(0..4));
                    assert_same(&old, &then);
                }
                snapshots.push((tree.clone(), model.clone()));
            }
            10..12 if !snapshots.is_empty() => {
                let chosen = rng.random_range(0..snapshots.len());
                (tree, model) = snapshots[chosen].clone();
            }
            12..300 if !grows => remove_near(&mut tree, &mut model, shape, &mut rng),
            12..700 if !grows && roll % 2 == 0 => {
                remove_near(&mut tree, &mut model, shape, &mut rng);
            }
            _ => {
                let (key, value) = ((shape.key)(&mut rng), (shape.value)(&mut rng));
                let replaced = tree.insert(&key, &value);
                let old = model.insert(key, value);
                assert_eq!(replaced, old.map(|value| value.len()));
            }
        }
        if step % 37 == 0 {
            let key = (shape.key)(&mut rng);
            assert_same_at(&tree, &model, &key, &mut rng);
            assert_same_many(&tree, &model, shape, &mut rng);
        }
        if step % 211 == 0 {
            assert_same(&tree, &model);
        }
    }
    assert_same(&tree, &model);
    drain(tree, model, &mut rng);
    for (old, then) in &snapshots {
        assert_same(old, then);
    }
}

/// Removes a key that exists, mostly; a random one, which mostly does not, sometimes.
fn remove_near(tree: &mut Tree, model: &mut Model, shape: &Shape, rng: &mut Rng8) {
    let mut key = (shape.key)(rng);
    if rng.random_range(0..10) > 0 {
        let from = (Bound::Included(key.as_slice()), Bound::Unbounded);
        if let Some((found, _)) = model.range::<[u8], _>(from).next() {
            key = found.clone();
        }
    }
    assert_eq!(tree.remove(&key), model.remove(&key).is_some());
}

/// Removes all keys one by one, in one of three orders.
fn drain(mut tree: Tree, mut model: Model, rng: &mut Rng8) {
    let order = rng.random_range(0..3);
    while !model.is_empty() {
        let at = match order {
            0 => 0,
            1 => model.len() - 1,
            _ => rng.random_range(0..model.len()),
        };
        let key = model.keys().nth(at).cloned().unwrap_or_default();
        model.remove(&key);
        assert!(tree.remove(&key));
        if model.len().is_multiple_of(64) {
            check(&tree);
        }
    }
    assert!(tree.is_empty());
    assert_eq!(
        (tree.len(), tree.payload_bytes(), tree.memory_bytes()),
        (0, 0, 0)
    );
    assert_eq!(tree.cursor().next(), None);
}

#[test]
fn behaves_like_the_model() {
    for (index, shape) in SHAPES.iter().enumerate() {
        run(shape, 0x6368_6169_6e00 + index as u64, scaled(6000));
    }
}

fn number_key(number: usize) -> [u8; 8] {
    (number as u64).to_be_bytes()
}

#[test]
fn ascending_inserts_leave_full_leaves() {
    let mut tree = Tree::new();
    let count = scaled(30_000);
    for number in 0..count {
        assert_eq!(tree.insert(&number_key(number), b"value"), None);
    }
    check(&tree);
    assert_eq!(tree.len(), count);
    assert_eq!(tree.payload_bytes(), count * 13);
    // A half-full leaf of such small entries would take more than twice this.
    let leaf_bytes = size_of::<Leaf>() / LEAF_CAPACITY + 13 * 5 / 4;
    assert!(
        tree.memory_bytes() / count < leaf_bytes + 8,
        "{}",
        tree.memory_bytes() / count
    );
    for number in (0..count).step_by(97) {
        assert_eq!(tree.rank(&number_key(number)), number);
        assert_eq!(
            tree.cursor().seek(&number_key(number)).map(|row| row.0),
            Some(&number_key(number)[..])
        );
    }
}

#[test]
fn descending_inserts_and_bounds() {
    let mut tree = Tree::new();
    let count = scaled(5_000);
    for number in (0..count).rev() {
        tree.insert(&number_key(number), &[]);
    }
    check(&tree);
    let (first, last) = (number_key(0), number_key(count - 1));
    assert_eq!(tree.cursor().first(), Some((&first[..], &[][..])));
    assert_eq!(tree.cursor().last(), Some((&last[..], &[][..])));
    assert_eq!(tree.cursor().seek(&[0xff; 9]), None);
    assert_eq!(tree.cursor().seek_back(&[]), None);
    assert_eq!(tree.count_range(&first, None), count);
    assert_eq!(tree.count_range(&last, Some(&first)), 0);
}

#[test]
fn large_ranges_go_and_snapshots_stay() {
    let mut tree = Tree::new();
    let count = scaled(20_000);
    (0..count).for_each(|number| {
        tree.insert(&number_key(number), &[number as u8; 20]);
    });
    let whole = tree.clone();
    let cuts = [
        (count / 3, Some(count / 2)),
        (7, Some(8)),
        (count - count / 5, None),
        (1, Some(9)),
    ];
    let mut left: Vec<usize> = (0..count).collect();
    for (start, end) in cuts {
        let before = left.len();
        left.retain(|number| *number < start || end.is_some_and(|end| *number >= end));
        let end = end.map(number_key);
        let removed = tree.remove_range(&number_key(start), end.as_ref().map(|end| &end[..]));
        assert_eq!(removed, before - left.len());
        check(&tree);
        assert_eq!(tree.len(), left.len());
        assert!(
            left.iter()
                .all(|number| tree.contains(&number_key(*number)))
        );
    }
    assert_eq!(tree.remove_range(&[], None), left.len());
    assert!(tree.is_empty());
    check(&whole);
    assert_eq!(whole.len(), count);
    let mut cursor = whole.cursor();
    for number in 0..count {
        assert_eq!(
            cursor.next(),
            Some((&number_key(number)[..], &[number as u8; 20][..]))
        );
    }
}

#[test]
fn values_that_shrink_let_leaves_merge() {
    let mut tree = Tree::new();
    let count = if cfg!(miri) { 60 } else { 2_000 };
    (0..count).for_each(|number| {
        tree.insert(&number_key(number * 7 % count), &[1; INLINE_MAX_BYTES - 8]);
    });
    let (grown, before) = (tree.memory_bytes(), tree.clone());
    for number in 0..count {
        let replaced = tree.insert(&number_key(number), &[2]);
        assert_eq!(replaced, Some(INLINE_MAX_BYTES - 8));
        if number % 50 == 0 {
            check(&tree);
        }
    }
    check(&tree);
    assert_eq!(tree.payload_bytes(), count * 9);
    assert!(
        tree.memory_bytes() * 10 < grown,
        "{} of {grown}",
        tree.memory_bytes()
    );
    check(&before);
    assert_eq!(
        before.get(&number_key(3)),
        Some(&[1; INLINE_MAX_BYTES - 8][..])
    );
}

#[test]
fn a_clone_can_be_read_while_the_tree_is_written() {
    let mut tree = Tree::new();
    let count = scaled(2_000);
    (0..count).for_each(|number| {
        tree.insert(&number_key(number), b"old");
    });
    let snapshot = tree.clone();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let old = |number| snapshot.get(&number_key(number)) == Some(b"old");
            (0..4).all(|_| (0..count).all(old)) && snapshot.len() == count
        });
        for number in 0..count {
            match number % 3 {
                0 => assert!(tree.remove(&number_key(number))),
                _ => assert_eq!(tree.insert(&number_key(number), b"newer"), Some(3)),
            }
        }
        assert!(reader.join().is_ok_and(|same| same), "the snapshot changed");
    });
    check(&tree);
}

#[test]
fn an_empty_tree_has_nothing() {
    let mut tree = Tree::default();
    check(&tree);
    assert_eq!(tree.get(b""), None);
    assert!(!tree.remove(b""));
    assert_eq!(tree.remove_range(b"", None), 0);
    assert_eq!(
        (
            tree.rank(b"x"),
            tree.count_range(b"", None),
            tree.memory_bytes()
        ),
        (0, 0, 0)
    );
    let mut cursor = tree.cursor();
    let moves = [
        cursor.first(),
        cursor.last(),
        cursor.next(),
        cursor.prev(),
        cursor.seek(b""),
        cursor.seek_back(b"x"),
        cursor.current(),
    ];
    assert!(moves.iter().all(Option::is_none));
    tree.insert(b"", b"");
    assert_eq!(
        (tree.get(b""), tree.len(), tree.payload_bytes()),
        (Some(&b""[..]), 1, 0)
    );
    assert!(tree.remove(b""));
    assert!(tree.is_empty());
}

#[test]
fn random_cuts_leave_no_thin_nodes() {
    for seed in 0..scaled(4) as u64 {
        eprintln!("seed {seed}");
        let mut rng = Rng8::seed_from_u64(seed);
        let mut tree = Tree::new();
        let count = if cfg!(miri) { 600 } else { 16_000 };
        (0..count).for_each(|number| {
            tree.insert(&number_key(number), &[7; 3]);
        });
        let mut left = count;
        while left > 200 {
            // Spans about the size of a leaf, at times of a branch of leaves.
            let long = rng.random_range(0..4) == 0;
            let span = if long {
                rng.random_range(600..900)
            } else {
                rng.random_range(1..90)
            };
            let start = rng.random_range(0..count);
            let (start, end) = (number_key(start), number_key(start + span));
            let expected = tree.count_range(&start, Some(&end));
            let shared = rng.random::<bool>().then(|| tree.clone());
            assert_eq!(tree.remove_range(&start, Some(&end)), expected);
            left -= expected;
            assert_eq!(tree.len(), left);
            if expected > 0 {
                check(&tree);
            }
            shared
                .iter()
                .for_each(|before| assert_eq!(before.len(), left + expected));
        }
    }
}

#[test]
fn sorted_rows_build_packed_trees() {
    for shape in &SHAPES {
        let mut rng = Rng8::seed_from_u64(11);
        eprintln!("shape {:?}, seed 11", shape.name);
        for count in [0, 1, 2, 44, 45, 46, 91, scaled(1500)] {
            let mut model = Model::new();
            for _ in 0..count {
                model.insert((shape.key)(&mut rng), (shape.value)(&mut rng));
            }
            let mut tree = Tree::from_sorted(&model).expect("ascending rows");
            assert_same(&tree, &model);
            let before = (tree.clone(), model.clone());
            for _ in 0..count.min(200) {
                let (key, value) = ((shape.key)(&mut rng), (shape.value)(&mut rng));
                tree.insert(&key, &value);
                model.insert(key, value);
                remove_near(&mut tree, &mut model, shape, &mut rng);
            }
            assert_same(&tree, &model);
            assert_same(&before.0, &before.1);
        }
    }
}

#[test]
fn built_trees_are_full_at_every_size() {
    for count in (0..scaled(3_000))
        .step_by(37)
        .chain([45 * 22, 45 * 22 * 22 + 1])
    {
        let rows = (0..count).map(|number| (number_key(number), b"value"));
        let tree = Tree::from_sorted(rows).expect("ascending rows");
        check(&tree);
        assert_eq!(tree.len(), count);
        let leaf_bytes = size_of::<Leaf>() / LEAF_CAPACITY + 13 * 5 / 4;
        assert!(count < 1000 || tree.memory_bytes() / count < leaf_bytes + 8);
    }
}

#[test]
fn rows_out_of_order_are_refused() {
    let mut builder = TreeBuilder::new();
    for number in 0..200 {
        assert!(builder.push(&number_key(number), b"kept"));
        assert!(!builder.push(&number_key(number), b"equal"));
        assert!(number == 0 || !builder.push(&number_key(number - 1), b"smaller"));
    }
    let tree = builder.finish();
    check(&tree);
    assert_eq!(tree.len(), 200);
    assert!((0..200).all(|number| tree.get(&number_key(number)) == Some(b"kept")));
    assert!(Tree::from_sorted([(b"b", b""), (b"a", b"")]).is_none());
    assert!(
        tree.merged([(number_key(7), b""), (number_key(7), b"")])
            .is_none()
    );
}

#[test]
fn parts_make_the_tree_that_rows_make_one_by_one() {
    let value = |number: usize| vec![7; number % 3 * 400];
    let counts = [0, 1, 2, 11, 44, 45, 46, 90, 91, 1_000];
    for first in counts {
        for second in counts {
            for third in [0, 1, 45, 200] {
                let mut builder = TreeBuilder::new();
                let mut number = 0;
                for count in [first, second, third] {
                    let mut part = TreePart::new();
                    for _ in 0..count {
                        assert!(part.push(&number_key(number), &value(number)));
                        number += 1;
                    }
                    assert!(builder.append(part));
                }
                // The ordinary way goes on behind the parts.
                assert!(builder.push(&number_key(number), &value(number)));
                let tree = builder.finish();
                check(&tree);
                let rows = (0..=number).map(|number| (number_key(number).to_vec(), value(number)));
                assert_same(&tree, &rows.collect());
            }
        }
    }
}

#[test]
fn parts_out_of_order_are_refused() {
    let part = |numbers: std::ops::Range<usize>| {
        let mut part = TreePart::new();
        for number in numbers {
            assert!(part.push(&number_key(number), b"kept"));
            assert!(!part.push(&number_key(number), b"equal"));
        }
        part
    };
    let mut builder = TreeBuilder::new();
    assert!(builder.append(part(100..200)));
    assert!(!builder.append(part(0..50)), "before the rows there");
    assert!(!builder.append(part(199..300)), "the last key again");
    assert!(builder.append(part(200..300)));
    let tree = builder.finish();
    check(&tree);
    assert_eq!(tree.len(), 200);
}

#[test]
fn merged_rows_win_over_entries() {
    let mut rng = Rng8::seed_from_u64(12);
    for shape in &SHAPES {
        eprintln!("shape {:?}, seed 12", shape.name);
        for (kept, new) in [(0, 30), (30, 0), (300, 40), (40, 300)] {
            let mut draw = |count| -> Model {
                let row = |rng: &mut Rng8| ((shape.key)(rng), (shape.value)(rng));
                (0..count).map(|_| row(&mut rng)).collect()
            };
            let (mut model, rows) = (draw(kept), draw(new));
            let tree = Tree::from_sorted(&model).expect("ascending rows");
            let merged = tree.merged(&rows).expect("ascending rows");
            assert_same(&tree, &model);
            model.extend(rows);
            assert_same(&merged, &model);
        }
    }
}
