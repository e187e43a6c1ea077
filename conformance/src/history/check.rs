//! The checker: from lists that were read to anomalies by name.
//!
//! The longest list of a key that was read is the order of its versions. From it follow the edges
//! of [`Graph`]; anomalies that one or two transactions show are looked for directly, the others as
//! circles. Circles over real time are looked for last, so that a plainer name comes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::graph::{Edge, Graph};
use super::{Anomaly, Element, Ending, Found, ListKey, ListOp, ListTxn};

/// Everything that a strictly serializable store does not show, by name, without repetition.
#[must_use]
pub fn check(history: &[ListTxn]) -> Vec<Found> {
    let mut checker = Checker::new(history);
    checker.reads();
    checker.versions();
    checker.lost_updates();
    checker.monotonic();
    checker.edges();
    checker.circles();
    checker.found.into_iter().collect()
}

struct Checker<'h> {
    history: &'h [ListTxn],
    /// Who wrote an element, and of which key it is.
    writers: HashMap<Element, (usize, ListKey)>,
    /// The order of versions of each key.
    orders: BTreeMap<ListKey, Vec<Element>>,
    graph: Graph,
    /// A key that is the reason of an edge.
    reasons: HashMap<(usize, usize, Edge), ListKey>,
    found: BTreeSet<Found>,
}

/// The reads of a transaction with what it had appended to the key before.
fn reads(txn: &ListTxn) -> impl Iterator<Item = (ListKey, &[Element], Vec<Element>)> {
    txn.ops.iter().enumerate().filter_map(|(at, op)| {
        let ListOp::Read(key, list) = op else {
            return None;
        };
        let own = txn.ops[..at].iter().filter_map(|op| match op {
            ListOp::Append(other, element) if other == key => Some(*element),
            _ => None,
        });
        Some((*key, list.as_slice(), own.collect()))
    })
}

fn appends(txn: &ListTxn) -> impl Iterator<Item = (ListKey, Element)> {
    txn.ops.iter().filter_map(|op| match op {
        ListOp::Append(key, element) => Some((*key, *element)),
        ListOp::Read(..) => None,
    })
}

impl<'h> Checker<'h> {
    fn new(history: &'h [ListTxn]) -> Self {
        let mut writers = HashMap::new();
        for (at, txn) in history.iter().enumerate() {
            for (key, element) in appends(txn) {
                writers.insert(element, (at, key));
            }
        }
        Self {
            history,
            writers,
            orders: BTreeMap::new(),
            graph: Graph::new(history.len()),
            reasons: HashMap::new(),
            found: BTreeSet::new(),
        }
    }

    fn note(&mut self, anomaly: Anomaly, what: String) {
        self.found.insert(Found { anomaly, what });
    }

    /// Transactions whose reads count: a failed one may have seen anything.
    fn committed(&self) -> impl Iterator<Item = (usize, &'h ListTxn)> {
        let history = self.history.iter().enumerate();
        history.filter(|(_, txn)| txn.ending == Ending::Committed)
    }

    /// What single reads show.
    fn reads(&mut self) {
        let mut notes = Vec::new();
        for (at, txn) in self.committed() {
            for (key, list, own) in reads(txn) {
                if !list.ends_with(&own) {
                    notes.push((
                        Anomaly::OwnWriteMissed,
                        format!("T{at} appended {own:?} to {key} and then read {list:?}"),
                    ));
                    continue;
                }
                let mut seen = BTreeSet::new();
                for element in list {
                    let writer = self.writers.get(element);
                    let is_of_key = writer.is_some_and(|(_, of)| *of == key);
                    if !is_of_key || !seen.insert(*element) {
                        notes.push((
                            Anomaly::Garbage,
                            format!("T{at} read {element} in {key}: {list:?}"),
                        ));
                        continue;
                    }
                    let Some((writer, _)) = writer else { continue };
                    if self.history[*writer].ending == Ending::Aborted {
                        notes.push((
                            Anomaly::AbortedRead,
                            format!("T{at} read {element} of {key}, which T{writer} aborted"),
                        ));
                    }
                }
                let foreign = &list[..list.len() - own.len()];
                notes.extend(self.intermediate(at, key, foreign));
            }
        }
        for (anomaly, what) in notes {
            self.note(anomaly, what);
        }
    }

    /// A read that ends inside of what another transaction wrote.
    fn intermediate(
        &self,
        at: usize,
        key: ListKey,
        foreign: &[Element],
    ) -> Option<(Anomaly, String)> {
        let last = foreign.last()?;
        let (writer, _) = self.writers.get(last)?;
        if *writer == at {
            return None;
        }
        let of_key = appends(&self.history[*writer]).filter(|(of, _)| *of == key);
        let (_, end) = of_key.last()?;
        (end != *last).then(|| {
            (
                Anomaly::IntermediateRead,
                format!("T{at} read {key} up to {last}, before T{writer} wrote {end}"),
            )
        })
    }

    /// The order of versions, and reads that do not fit it.
    fn versions(&mut self) {
        let mut longest: BTreeMap<ListKey, (usize, &[Element])> = BTreeMap::new();
        for (at, txn) in self.committed() {
            for (key, list, _) in reads(txn) {
                let known = longest.entry(key).or_insert((at, list));
                if list.len() > known.1.len() {
                    *known = (at, list);
                }
            }
        }
        let mut notes = Vec::new();
        for (at, txn) in self.committed() {
            for (key, list, _) in reads(txn) {
                let Some((other, order)) = longest.get(&key) else {
                    continue;
                };
                if !order.starts_with(list) {
                    notes.push((
                        Anomaly::ForkedList,
                        format!("T{at} read {list:?} in {key}, T{other} read {order:?}"),
                    ));
                }
            }
        }
        let first = self.first_reads();
        for (writer, txn) in self.committed() {
            for (key, element) in appends(txn) {
                let readers = first.get(&key).map_or(&[][..], Vec::as_slice);
                notes.extend(missing((writer, txn), (key, element), readers));
            }
        }
        self.orders = longest
            .into_iter()
            .map(|(key, (_, order))| (key, order.to_vec()))
            .collect();
        for (anomaly, what) in notes {
            self.note(anomaly, what);
        }
    }

    /// The first read of each key in each transaction, by key.
    fn first_reads(&self) -> BTreeMap<ListKey, Vec<FirstRead<'h>>> {
        let mut first: BTreeMap<ListKey, Vec<FirstRead<'h>>> = BTreeMap::new();
        for (at, txn) in self.committed() {
            for op in &txn.ops {
                let ListOp::Read(key, list) = op else {
                    continue;
                };
                let of_key = first.entry(*key).or_default();
                if of_key.last().is_none_or(|last| last.at != at) {
                    of_key.push(FirstRead {
                        at,
                        begin: txn.begin,
                        list,
                    });
                }
            }
        }
        first
    }

    /// Two transactions that read the same list of a key before they appended to it.
    fn lost_updates(&mut self) {
        let mut notes = Vec::new();
        let mut bases: BTreeMap<(ListKey, Vec<Element>), usize> = BTreeMap::new();
        for (at, txn) in self.committed() {
            let mut keys = BTreeSet::new();
            for (key, list, own) in reads(txn) {
                let appends_later =
                    appends(txn).any(|(of, element)| of == key && !own.contains(&element));
                if !own.is_empty() || !appends_later || !keys.insert(key) {
                    continue;
                }
                if let Some(other) = bases.insert((key, list.to_vec()), at) {
                    notes.push(format!(
                        "T{other} and T{at} both read {list:?} in {key} and appended to it"
                    ));
                }
            }
        }
        for what in notes {
            self.note(Anomaly::LostUpdate, what);
        }
    }

    /// What a thread saw never shrinks.
    fn monotonic(&mut self) {
        let mut seen: BTreeMap<(usize, ListKey), (usize, &[Element])> = BTreeMap::new();
        let mut notes = Vec::new();
        for (at, txn) in self.committed() {
            for (key, list, _) in reads(txn) {
                let known = seen.insert((txn.process, key), (at, list));
                if let Some((before, longer)) = known
                    && longer.len() > list.len()
                    && longer.starts_with(list)
                {
                    notes.push(format!(
                        "thread {} read {longer:?} in {key} in T{before} and {list:?} in T{at}",
                        txn.process
                    ));
                }
            }
        }
        for what in notes {
            self.note(Anomaly::NonMonotonicRead, what);
        }
    }

    fn edges(&mut self) {
        let writer_of = |element: &Element| self.writers.get(element).map(|(at, _)| *at);
        let mut edges = Vec::new();
        for (key, order) in &self.orders {
            for pair in order.windows(2) {
                if let (Some(one), Some(next)) = (writer_of(&pair[0]), writer_of(&pair[1])) {
                    edges.push((one, next, Edge::WriteWrite, *key));
                }
            }
        }
        for (at, txn) in self.committed() {
            for (key, list, own) in reads(txn) {
                let foreign = list.len().saturating_sub(own.len());
                let last = list[..foreign].last();
                if let Some(writer) = last.and_then(writer_of) {
                    edges.push((writer, at, Edge::WriteRead, key));
                }
                let order = self.orders.get(&key).map_or(&[][..], Vec::as_slice);
                // The next version that is not the reader's own.
                let mut next = order.iter().skip(foreign).filter_map(writer_of);
                if let Some(writer) = next.find(|writer| *writer != at) {
                    edges.push((at, writer, Edge::ReadWrite, key));
                }
            }
        }
        for (from, to, edge, key) in edges {
            self.graph.add(from, to, edge);
            self.reasons.entry((from, to, edge)).or_insert(key);
        }
    }

    /// Who had ended before who began; as many edges as pairs, so they come last. One whose end
    /// nobody knows may take effect at any time after it began.
    fn real_time(&mut self) {
        let history = self.history;
        for (from, ended) in history.iter().enumerate() {
            if ended.ending != Ending::Committed {
                continue;
            }
            for (to, txn) in history.iter().enumerate() {
                if ended.end < txn.begin && txn.ending != Ending::Aborted {
                    self.graph.add_new(from, to, Edge::RealTime);
                }
            }
        }
    }

    fn circles(&mut self) {
        use Edge::{ReadWrite, RealTime, WriteRead, WriteWrite};
        let named = [
            (Anomaly::DirtyWrite, WriteWrite, &[WriteWrite][..]),
            (
                Anomaly::CircularInformation,
                WriteRead,
                &[WriteWrite, WriteRead],
            ),
        ];
        for (anomaly, first, rest) in named {
            if let Some(circle) = self.graph.circle(first, rest) {
                self.note(anomaly, self.told(&circle, first));
            }
        }
        self.skews();
        // Only what nothing else explains is a matter of real time alone.
        if self.found.is_empty() {
            self.real_time();
            let one_older = &[WriteWrite, WriteRead, RealTime][..];
            let all = &[WriteWrite, WriteRead, ReadWrite, RealTime][..];
            let of_time = [
                (Anomaly::StaleRead, ReadWrite, one_older),
                (Anomaly::WriteSkew, ReadWrite, all),
                (Anomaly::CircularInformation, WriteRead, all),
                (Anomaly::DirtyWrite, WriteWrite, all),
            ];
            for (anomaly, first, rest) in of_time {
                if let Some(circle) = self.graph.circle(first, rest) {
                    self.note(anomaly, self.told(&circle, first));
                    break;
                }
            }
        }
    }

    /// Circles with reads of something older.
    fn skews(&mut self) {
        use Edge::{ReadWrite, WriteRead, WriteWrite};
        if !self.graph.is_circular(&[WriteWrite, WriteRead, ReadWrite]) {
            return;
        }
        let older: Vec<(usize, usize)> = self
            .graph
            .edges()
            .filter(|(_, _, edge)| *edge == ReadWrite)
            .map(|(from, to, _)| (from, to))
            .collect();
        for (reader, writer) in &older {
            if self.graph.has(*writer, *reader, WriteRead) {
                let what = format!("T{reader} saw one write of T{writer} and missed another");
                self.note(Anomaly::FracturedRead, what);
            } else if let Some(way) = self.graph.way(*writer, *reader, &[WriteWrite, WriteRead]) {
                self.note(Anomaly::ReadSkew, self.told(&way, ReadWrite));
            }
        }
        if self.found.iter().any(|found| {
            matches!(
                found.anomaly,
                Anomaly::FracturedRead | Anomaly::ReadSkew | Anomaly::LostUpdate
            )
        }) {
            return;
        }
        let all = [WriteWrite, WriteRead, ReadWrite];
        for (reader, writer) in older {
            let Some(way) = self.graph.way(writer, reader, &all) else {
                continue;
            };
            let readers = way.iter().filter(|at| {
                let txn = &self.history[**at];
                appends(txn).next().is_none()
            });
            let anomaly = if way.len() == 4 && readers.count() == 2 {
                Anomaly::LongFork
            } else {
                Anomaly::WriteSkew
            };
            self.note(anomaly, self.told(&way, ReadWrite));
            return;
        }
    }

    /// A circle in words: why each of its transactions comes before the next, and the last before
    /// the first, which is an edge of the kind `closing`.
    fn told(&self, circle: &[usize], closing: Edge) -> String {
        let kinds = [
            Edge::WriteWrite,
            Edge::WriteRead,
            Edge::ReadWrite,
            Edge::RealTime,
        ];
        let mut words = Vec::new();
        for pair in circle.windows(2) {
            let kind = kinds
                .into_iter()
                .find(|kind| self.graph.has(pair[0], pair[1], *kind));
            words.extend(kind.map(|kind| self.why(pair[0], pair[1], kind)));
        }
        if let (Some(first), Some(last)) = (circle.first(), circle.last()) {
            words.push(self.why(*last, *first, closing));
        }
        words.join("; ")
    }

    /// Why one transaction comes before another.
    fn why(&self, from: usize, to: usize, edge: Edge) -> String {
        let key = self.reasons.get(&(from, to, edge)).copied();
        let key = key.unwrap_or_default();
        let reason = match edge {
            Edge::WriteWrite => format!("its append to {key} is before that of T{to}"),
            Edge::WriteRead => format!("T{to} read its append to {key}"),
            Edge::ReadWrite => format!("it read {key} without the append of T{to}"),
            Edge::RealTime => format!("it had ended when T{to} began"),
        };
        format!("T{from} is before T{to}: {reason}")
    }
}

/// The first read of a key in a transaction.
struct FirstRead<'h> {
    at: usize,
    begin: u64,
    list: &'h [Element],
}

/// A committed element that a later read does not have: stale when another read has it, else lost.
fn missing(
    (writer, txn): (usize, &ListTxn),
    (key, element): (ListKey, Element),
    readers: &[FirstRead<'_>],
) -> Option<(Anomaly, String)> {
    let later = readers.iter().filter(|reader| reader.begin > txn.end);
    let mut without = later.filter(|reader| !reader.list.contains(&element));
    let FirstRead { at, list, .. } = without.next()?;
    let is_seen = readers.iter().any(|reader| reader.list.contains(&element));
    let anomaly = if is_seen {
        Anomaly::StaleRead
    } else {
        Anomaly::LostWrite
    };
    Some((
        anomaly,
        format!("T{writer} put {element} into {key} and ended before T{at} read {list:?}"),
    ))
}
