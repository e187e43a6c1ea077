//! Filling a copy: a store that is made with the tables, numbers and chain of another one, filled
//! step by step, and complete only when it is said to be.
//!
//! Invariants: until [`Store::finish_filling`] the marker names the source and no ordinary opening
//! takes the copy for a store; a copy is gone on with only for the same state of the same source;
//! the finished copy counts its commits from where the source stood, because rows may hold commit
//! numbers.

use std::path::Path;

use storage_api::{
    ChainId, CommitSeq, Durability, Error, ErrorKind, KvStore, Location, OpenOptions, Result,
    TableInfo, WriteBatch,
};

use crate::directory::{self, Directory, FillSource, Found, Marker, State};
use crate::raw::RawEngine;
use crate::store::{self, Store};
use crate::tables::Merged;

/// What a copy is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillPlan {
    /// What it is filled from.
    pub source: FillSource,
    /// Tables with their numbers, in order of number.
    pub tables: Vec<TableInfo>,
    /// The number that the next new table gets.
    pub next_table: u16,
    /// The chain, once known.
    pub chain_id: Option<ChainId>,
}

/// Whether a copy was begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It was made just now.
    New,
    /// It holds a part of the rows already.
    Before,
}

impl<E: RawEngine> Store<E> {
    /// Opens the copy at this path, making it where nothing is.
    ///
    /// # Errors
    /// As [`storage_api::Engine::open`]; `NotAStore` for a complete store and for a copy of another
    /// source, which are not touched.
    pub fn open_to_fill(
        path: &Path,
        plan: &FillPlan,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, Filled)> {
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("open");
        Self::fill_at(path, plan, options, engine_options).map_err(explain)
    }

    fn fill_at(
        path: &Path,
        plan: &FillPlan,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, Filled)> {
        if !E::CAPABILITIES.persistent {
            return Err(Error::unsupported("persistent"));
        }
        let mut options = options.clone();
        options.chain_id.clone_from(&plan.chain_id);
        let merged = Merged {
            tables: plan.tables.clone(),
            next_table: plan.next_table,
            ..Merged::default()
        };
        if merged.tables.len() > E::CAPABILITIES.tables_max {
            return Err(Error::new(ErrorKind::TooManyTables {
                asked: merged.tables.len(),
                max: E::CAPABILITIES.tables_max,
            }));
        }
        let (directory, found) = Directory::open(path, (E::NAME, E::FORMAT), &options)?;
        let data = directory.data_path();
        let location = Location::Directory(&data);
        match found {
            Found::Existing(_) => Err(Error::new(ErrorKind::NotAStore {
                path: path.display().to_string(),
                found: "a complete store, which is not overwritten".to_owned(),
            })),
            Found::Filling(_, source) if source != plan.source => {
                Err(directory::unfinished(path, source))
            }
            Found::Filling(marker, _) => {
                directory.sweep()?;
                Self::catch_up(&directory, marker, plan)?;
                let opened = Self::assemble(
                    location,
                    Some(directory),
                    &merged,
                    false,
                    &options,
                    engine_options,
                );
                Ok((opened?.0, Filled::Before))
            }
            Found::Nothing => {
                let creation = directory.creation();
                let made = Self::make_to_fill(directory, plan, &merged, &options, engine_options);
                if made.is_err() {
                    creation.undo();
                }
                Ok((made?, Filled::New))
            }
        }
    }

    /// Writes down what the source was declared to hold since the copy was begun: a new table and
    /// the name of the chain are no commits, so the copy is still of the same state.
    fn catch_up(directory: &Directory, mut marker: Marker, plan: &FillPlan) -> Result<()> {
        let is_same = marker.tables == plan.tables
            && marker.next_table == plan.next_table
            && marker.chain_id == plan.chain_id;
        if is_same {
            return Ok(());
        }
        marker.tables.clone_from(&plan.tables);
        marker.next_table = plan.next_table;
        marker.chain_id.clone_from(&plan.chain_id);
        directory.write_marker(&marker)
    }

    fn make_to_fill(
        directory: Directory,
        plan: &FillPlan,
        merged: &Merged,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<Self> {
        let mut marker = store::new_marker::<E>(merged.tables.clone(), merged.next_table, options)?;
        let data = directory.data_path();
        directory.begin_creation(&marker)?;
        let (store, _) = Self::assemble(
            Location::Directory(&data),
            Some(directory),
            merged,
            true,
            options,
            engine_options,
        )?;
        directory::sync_folder(&data)?;
        marker.state = State::Filling(plan.source);
        store.directory()?.write_marker(&marker)?;
        Ok(store)
    }

    /// Makes the copy a store: everything in it is durable, its commits go on from where the source
    /// stood.
    ///
    /// # Errors
    /// `InvalidArgument` for a store that is not being filled; as [`KvStore::apply`], and `Io`.
    pub fn finish_filling(&self) -> Result<()> {
        let directory = self.directory()?;
        let marker = directory::read_marker(directory.path())?;
        let filling = marker.and_then(|marker| match marker.state {
            State::Filling(source) => Some((marker, source)),
            State::Creating | State::Ready => None,
        });
        let Some((mut marker, source)) = filling else {
            return Err(Error::invalid("the store is not being filled"));
        };
        // The number goes back to the source's, and a seal of an earlier opening would condemn
        // that.
        directory.remove_seal()?;
        let before = source.commit.get().saturating_sub(1);
        self.shared.set_last_seq(CommitSeq::new(before));
        self.apply(&WriteBatch::new(), Durability::Durable)?;
        self.sync()?;
        directory::sync_folder(&directory.data_path())?;
        marker.state = State::Ready;
        directory.write_marker(&marker)
    }
}
