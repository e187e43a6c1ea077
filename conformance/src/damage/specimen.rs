//! [`Specimen`]: a store's directory in memory, and single bits of it flipped on disk.
//!
//! Invariants: every file of the directory takes part; a flip changes one bit of one file; a
//! restored directory holds the same files with the same bytes as before, and nothing else. Cost:
//! the directory in memory.

use std::fmt;
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::ops::Dice;

/// The head of a file, where engines keep what leads to everything else, in bytes.
const HEAD_BYTES: usize = 8192;

/// One bit of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flip {
    /// Which file, in the order of their names.
    pub file: usize,
    /// Which byte.
    pub byte: usize,
    /// Which bit of it, 0..=7.
    pub bit: u8,
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.file, self.byte, self.bit)
    }
}

impl Flip {
    /// The flip that this text says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            file: words.next()?.parse().ok()?,
            byte: words.next()?.parse().ok()?,
            bit: words.next()?.parse().ok()?,
        })
    }
}

/// The files of a directory.
#[derive(Clone)]
pub struct Specimen {
    root: PathBuf,
    /// Paths below the root and bytes, in order of path.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl fmt::Debug for Specimen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Specimen")
            .field("root", &self.root)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Specimen {
    /// Reads a directory.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in files_below(root)? {
            let bytes = fs::read(root.join(&path))?;
            files.push((path, bytes));
        }
        files.sort();
        let root = root.to_owned();
        Ok(Self { root, files })
    }

    /// Where the directory is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Files and their lengths in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.files
            .iter()
            .map(|(path, bytes)| (path.as_path(), bytes.len()))
    }

    /// Different bits, chosen by this seed: half of them anywhere, a quarter of them with the same
    /// chance for every file, so that small files are not passed over, a quarter of them in the
    /// heads of files.
    #[must_use]
    pub fn choose(&self, count: usize, seed: u64) -> Vec<Flip> {
        let mut dice = Dice::of(&format!("flips {seed}"));
        let filled: Vec<usize> = (0..self.files.len())
            .filter(|file| self.len_of(*file) > 0)
            .collect();
        let total: usize = filled.iter().map(|file| self.len_of(*file)).sum();
        let count = count.min(total * 8);
        let mut flips = std::collections::BTreeSet::new();
        while flips.len() < count {
            let (file, byte) = match flips.len() % 4 {
                0 | 1 => self.place(dice.below(total)),
                2 => {
                    let file = *dice.pick(&filled);
                    (file, dice.below(self.len_of(file)))
                }
                _ => {
                    let file = *dice.pick(&filled);
                    (file, dice.below(self.len_of(file).min(HEAD_BYTES)))
                }
            };
            let bit = dice.below(8) as u8;
            // A small file has no new bit for ever, so a bit that is taken goes anywhere else.
            if !flips.insert(Flip { file, byte, bit }) {
                let (file, byte) = self.place(dice.below(total));
                flips.insert(Flip { file, byte, bit });
            }
        }
        flips.into_iter().collect()
    }

    /// Different bits of these parts of one file, chosen by this seed; all of them where that is
    /// not more.
    #[must_use]
    pub fn choose_in(
        &self,
        file: usize,
        parts: &[Range<usize>],
        count: usize,
        seed: u64,
    ) -> Vec<Flip> {
        let mut dice = Dice::of(&format!("flips in parts {seed}"));
        let mut flips: Vec<Flip> = parts
            .iter()
            .cloned()
            .flatten()
            .filter(|byte| *byte < self.len_of(file))
            .flat_map(|byte| (0..8).map(move |bit| Flip { file, byte, bit }))
            .collect();
        dice.shuffle(&mut flips);
        flips.truncate(count);
        flips
    }

    /// The number and the bytes of the file whose path ends so.
    #[must_use]
    pub fn file(&self, end: &str) -> Option<(usize, &[u8])> {
        let at = self
            .files
            .iter()
            .position(|(path, _)| path.ends_with(end))?;
        self.files.get(at).map(|(_, bytes)| (at, &bytes[..]))
    }

    fn len_of(&self, file: usize) -> usize {
        self.files.get(file).map_or(0, |(_, bytes)| bytes.len())
    }

    fn place(&self, mut at: usize) -> (usize, usize) {
        for (file, (_, bytes)) in self.files.iter().enumerate() {
            if at < bytes.len() {
                return (file, at);
            }
            at -= bytes.len();
        }
        (0, 0)
    }

    /// The name of a flip's file.
    #[must_use]
    pub fn name_of(&self, flip: Flip) -> String {
        let path = self.files.get(flip.file).map(|(path, _)| path);
        path.map_or_else(String::new, |path| path.display().to_string())
    }

    /// Flips the bit on disk, in a directory that is as it was.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn flip(&self, flip: Flip) -> io::Result<()> {
        let Some((path, bytes)) = self.files.get(flip.file) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let Some(byte) = bytes.get(flip.byte) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.root.join(path))?;
        file.seek(SeekFrom::Start(flip.byte as u64))?;
        file.write_all(&[byte ^ (1 << flip.bit)])
    }

    /// Puts every file back that is not as it was, and removes those that were not there.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn restore(&self) -> io::Result<()> {
        for path in files_below(&self.root)? {
            if self.files.iter().all(|(known, _)| *known != path) {
                fs::remove_file(self.root.join(path))?;
            }
        }
        for (path, bytes) in &self.files {
            let path = self.root.join(path);
            if fs::read(&path).ok().as_ref() != Some(bytes) {
                fs::write(&path, bytes)?;
            }
        }
        Ok(())
    }

    /// Whether the directory is as it was.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Ok(Self::read(&self.root)?.files == self.files)
    }
}

/// Every file below a directory, by its path below it.
fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}
