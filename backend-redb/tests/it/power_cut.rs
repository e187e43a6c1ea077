//! Power cuts at the storage seam: whatever part of the writes since the last sync reached the
//! disk, whole, torn or in another order, the store opens and holds a state that was committed,
//! never one older than the last commit that was acknowledged as durable. The same holds when the
//! power goes again while that is being repaired.
//!
//! Seeds are printed, and `CHAINSTORE_TEST_SCALE` sets how many images are tried. Every oracle is
//! seen to bite: drives that lie, stores that acknowledge early, forged contents.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use backend_redb::CommitStrategy;
use conformance::damage::Figures;
use conformance::{Scale, scaled};

use crate::history::{Acks, Forgery, History, Views};
use crate::image::{Drive, Event, FATES, Fate, Honesty, Image, Recorder};
use crate::support::Dice;

/// Passes over a history until there are enough different images.
const PASSES_MAX: usize = 12;

/// What was tried, and what was wrong.
#[derive(Debug, Default)]
struct Tally {
    images: u64,
    /// Images whose bytes no other had.
    distinct: u64,
    nested: u64,
    by_fate: BTreeMap<&'static str, u64>,
    /// Images that held more than what had to be there.
    ahead: u64,
    /// Images in which the file kept an older length.
    lens_lost: u64,
    verified: u64,
    gone_on: u64,
    /// Openings that walked every page.
    walked: u64,
    violations: Vec<String>,
}

fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::InOrder => "in_order",
        Fate::Dropped => "dropped",
        Fate::Torn(512) => "torn_512",
        Fate::Torn(_) => "torn_4096",
        Fate::Reordered => "reordered",
    }
}

struct Trial<'h> {
    history: &'h History,
    dice: Dice,
    tally: Tally,
    /// How often the power goes again in one repair.
    nested_each: usize,
    /// One image of so many is repaired under power cuts.
    nested_one_in: u64,
    depth_max: u32,
}

impl Trial<'_> {
    /// Opens an image and checks it; the number of the state that it holds.
    fn open(&mut self, image: &Image, depth: u32) -> Option<(u64, Recorder)> {
        let disk = Recorder::on(image.bytes.clone());
        let outcome = self.check(image, &disk);
        match outcome {
            Ok(number) => {
                self.tally.ahead += u64::from(number > image.durable);
                Some((number, disk))
            }
            Err(what) => {
                self.tally.violations.push(format!("depth {depth}: {what}"));
                None
            }
        }
    }

    fn check(&mut self, image: &Image, disk: &Recorder) -> Result<u64, String> {
        let recovered = self.history.recover(disk);
        let (store, report) = recovered.map_err(|error| format!("not opened: {error}"))?;
        let walked = report.recovered.is_some_and(|how| how.contains("walked"));
        self.tally.walked += u64::from(walked);
        let number = self.history.examine(&store, image)?;
        if self.dice.below(16) == 0 {
            self.history.verify(&store)?;
            self.tally.verified += 1;
        }
        Ok(number)
    }

    /// One image, and the power cuts of its repair.
    fn image(&mut self, image: &Image, depth: u32) -> Option<u64> {
        let (number, disk) = self.open(image, depth)?;
        if depth < self.depth_max && self.dice.below(self.nested_one_in) == 0 {
            self.nested(image, number, &disk, depth);
        }
        if self.dice.below(32) == 0 {
            let gone_on = match self.history.open(&disk) {
                Ok(store) => self.history.go_on(store, &disk),
                Err(error) => Err(format!("not opened a second time: {error}")),
            };
            match gone_on {
                Ok(()) => self.tally.gone_on += 1,
                Err(what) => self.tally.violations.push(what),
            }
        }
        Some(number)
    }

    /// The power goes again while `image`, which holds commit `number`, is repaired and closed.
    fn nested(&mut self, image: &Image, number: u64, disk: &Recorder, depth: u32) {
        let events = disk.events();
        if events.is_empty() {
            return;
        }
        for round in 0..self.nested_each {
            // What was on the disk when the repair began is safe, so the repair must not lose the
            // commit that it found there.
            let mut drive = Drive::new(Honesty::Honest, image.bytes.clone(), number, number);
            let cut = 1 + self.dice.below(events.len() as u64) as usize;
            events[..cut].iter().for_each(|event| drive.pass(event));
            let again = drive.image(FATES[round % FATES.len()], &mut self.dice);
            self.tally.nested += 1;
            self.image(&again, depth + 1);
        }
    }

    /// Tries this many different images, spread over the history.
    fn run(&mut self, honesty: Honesty, images: usize) {
        let history = self.history;
        let mut seen = HashSet::new();
        // The last cuts of a pass may have nothing new to offer, so a pass aims a little higher.
        let aim = images + images / 50 + 1;
        for _ in 0..PASSES_MAX {
            let before = seen.len();
            let cuts = history.events.len() - history.made;
            let mut drive = Drive::new(Honesty::Honest, Vec::new(), 0, 0);
            for (at, event) in history.events.iter().enumerate() {
                if at == history.made {
                    drive.honesty = honesty;
                }
                drive.pass(event);
                let Some(passed) = (at + 1).checked_sub(history.made).filter(|cut| *cut > 0) else {
                    continue;
                };
                let due = before + (aim - before) * passed / cuts;
                self.at_cut(&drive, event, due, &mut seen);
            }
            if seen.len() >= images {
                return;
            }
        }
    }

    fn at_cut(&mut self, drive: &Drive<'_>, event: &Event, due: usize, seen: &mut HashSet<u64>) {
        for _ in 0..4 {
            if seen.len() >= due {
                return;
            }
            let fate = FATES[self.dice.below(FATES.len() as u64) as usize];
            let image = drive.image(fate, &mut self.dice);
            // A state that only the acknowledgement of a commit tells from the one before counts:
            // it must hold that commit.
            let told = matches!(event, Event::Durable(_)) && fate == Fate::InOrder;
            let new = seen.insert(image.print);
            if new || told {
                self.tally.images += 1;
                self.tally.distinct += u64::from(new);
                self.tally.lens_lost += u64::from(image.lens_lost > 0);
                *self.tally.by_fate.entry(name(fate)).or_default() += 1;
                self.image(&image, 1);
            }
        }
    }
}

fn trial(history: &History, seed: u64) -> Trial<'_> {
    Trial {
        history,
        dice: Dice::new(seed),
        tally: Tally::default(),
        nested_each: 4,
        nested_one_in: 16,
        depth_max: if Scale::of_run() == Scale::Soak { 4 } else { 2 },
    }
}

fn try_strategy(strategy: CommitStrategy, views: Views, seed: u64, full: usize) -> Tally {
    let began = Instant::now();
    let (commits, what) = match views {
        Views::Dropped => (60, format!("{strategy:?}")),
        Views::Held => (200, format!("{strategy:?}, views held")),
    };
    let history = History::run(strategy, seed, commits, Acks::AsTheStoreSays, views);
    let mut trial = trial(&history, seed ^ 0xc0de);
    let images = scaled(full);
    trial.run(Honesty::Honest, images);
    let tally = trial.tally;
    let mut figures = Figures::new("redb", &what)
        .number("seed", seed)
        .number("images", tally.images)
        .number("distinct", tally.distinct)
        .number("nested", tally.nested)
        .number("violations", tally.violations.len() as u64)
        .number("ahead", tally.ahead)
        .number("lengths_lost", tally.lens_lost)
        .number("verified", tally.verified)
        .number("gone_on", tally.gone_on)
        .number("walked", tally.walked);
    for (fate, count) in &tally.by_fate {
        figures = figures.number(fate, *count);
    }
    let millis = began.elapsed().as_millis() as u64;
    figures
        .number("millis", millis)
        .publish("images.jsonl")
        .unwrap();
    assert!(
        tally.violations.is_empty(),
        "{:#?}",
        first(&tally.violations)
    );
    assert!(tally.distinct >= images as u64, "{tally:?}");
    let each = tally.images / 20;
    assert!(FATES.iter().all(|fate| tally.by_fate[name(*fate)] > each));
    assert!(tally.ahead >= 10, "{} held more", tally.ahead);
    // The file of a history with views is never cut shorter, and seldom longer.
    assert!(
        tally.lens_lost > 0 || views == Views::Held,
        "no length was ever lost"
    );
    assert!(tally.verified > 0 && tally.gone_on > 0);
    assert!(tally.nested * 20 >= tally.images, "{} nested", tally.nested);
    tally
}

fn first(violations: &[String]) -> &[String] {
    &violations[..violations.len().min(10)]
}

#[test]
fn quick_repair_survives() {
    let tally = try_strategy(CommitStrategy::QuickRepair, Views::Dropped, 0x9041, 12_000);
    println!("{} walks", tally.walked);
}

/// Beside an old view quick repair is left off and comes back when the view drops: cuts fall on
/// both, and on the commits between them.
#[test]
fn quick_repair_survives_beside_views() {
    let tally = try_strategy(CommitStrategy::QuickRepair, Views::Held, 0x9044, 6_000);
    let openings = tally.images + tally.nested;
    for kind in [tally.walked, openings - tally.walked] {
        assert!(kind * 10 >= openings, "{} walks", tally.walked);
    }
}

#[test]
fn two_phase_survives() {
    try_strategy(CommitStrategy::TwoPhase, Views::Dropped, 0x9042, 6_000);
}

#[test]
fn one_phase_survives() {
    try_strategy(CommitStrategy::OnePhase, Views::Dropped, 0x9043, 6_000);
}

/// Kinds of violations, each with how often it was found.
fn kinds(violations: &[String]) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for violation in violations {
        let words = violation.split(": ").nth(1).unwrap_or(violation);
        *kinds.entry(words.to_owned()).or_default() += 1;
    }
    kinds
}

/// A drive or a store that lies is found out, in every strategy.
#[test]
fn lies_are_found_out() {
    for (number, strategy) in [
        CommitStrategy::QuickRepair,
        CommitStrategy::TwoPhase,
        CommitStrategy::OnePhase,
    ]
    .into_iter()
    .enumerate()
    {
        for (lie, honesty, acks) in [
            (
                "syncs do nothing",
                Honesty::IgnoresSyncs,
                Acks::AsTheStoreSays,
            ),
            ("syncs do half", Honesty::SyncsHalf, Acks::AsTheStoreSays),
            ("acknowledged early", Honesty::Honest, Acks::Early),
            (
                "acknowledged as durable, being volatile",
                Honesty::Honest,
                Acks::Volatile,
            ),
        ] {
            let seed = 0x5ab0 + number as u64;
            let history = History::run(strategy, seed, 25, acks, Views::Dropped);
            let mut trial = trial(&history, 0x5ab1);
            trial.depth_max = 1;
            trial.run(honesty, 60);
            let found = trial.tally.violations;
            println!("redb {strategy:?}, {lie}: {:?}", kinds(&found));
            assert!(!found.is_empty(), "{strategy:?}: {lie}");
        }
    }
}

/// Contents that were never committed as a whole are found out, although every page of them is in
/// order.
#[test]
fn forged_contents_are_found_out() {
    let strategy = CommitStrategy::QuickRepair;
    let history = History::run(strategy, 0xf0e, 12, Acks::AsTheStoreSays, Views::Dropped);
    for forgery in [Forgery::ExtraRow, Forgery::LostRow, Forgery::OtherNumber] {
        let image = history.forged(forgery);
        let mut trial = trial(&history, 1);
        assert_eq!(trial.image(&image, 1), None, "{forgery:?}");
        let found = trial.tally.violations.join("");
        assert!(found.contains("torn"), "{forgery:?}: {found}");
    }
}
