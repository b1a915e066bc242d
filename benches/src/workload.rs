//! The sets of files: seeded, so that every run moves the same lengths.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pattern::{self, Noise};
use crate::{Context as _, Result};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Which set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Workload {
    /// A partition: 200 snapshot files of 0.25 to 2 MiB and 16 segments of 128 MiB.
    R,
    /// Small files: 5,000 of 4 to 64 KiB.
    S,
    /// Large files: 4 of 512 MiB.
    L,
    /// What is deleted: 10,000 files of 1 KiB.
    D,
    /// A segment of 256 MiB that grows while it is saved.
    G,
}

impl Workload {
    /// The lengths of the snapshot files and of the segments. `scale` multiplies how many there are of them (L and G, which
    /// have few: how long they are); at least one of each stays.
    #[must_use]
    pub fn lengths(self, scale: f64, seed: u64) -> (Vec<u64>, Vec<u64>) {
        let mut noise = Noise::new(seed ^ (self as u64 + 1));
        let some = |count: u64| ((count as f64 * scale).round() as u64).max(1);
        let long = |bytes: u64| ((bytes as f64 * scale) as u64).max(MIB);
        match self {
            Self::R => (
                (0..some(200)).map(|_| noise.between(256 * KIB, 2 * MIB)).collect(),
                (0..some(16)).map(|_| 128 * MIB).collect(),
            ),
            Self::S => ((0..some(5000)).map(|_| noise.between(4 * KIB, 64 * KIB)).collect(), vec![]),
            Self::L => (vec![], vec![long(512 * MIB); 4]),
            Self::D => (vec![KIB; usize::try_from(some(10_000)).unwrap_or(1)], vec![]),
            Self::G => (vec![], vec![long(256 * MIB)]),
        }
    }

    /// What it consists of, as the tables name it.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::R => "200 files of 0.25 to 2 MiB, 16 segments of 128 MiB",
            Self::S => "5,000 files of 4 to 64 KiB",
            Self::L => "4 segments of 512 MiB",
            Self::D => "list and delete 10,000 files of 1 KiB",
            Self::G => "a segment of 256 MiB that grows while it is saved",
        }
    }
}

/// A file of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name below the workload's folder, as in `snapshots/000001.sst`.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Writes the files below `folder`, in `snapshots` and `segments`, and syncs them: a measurement must not pay for the
/// write-back of its own input.
///
/// # Errors
/// What the file system says.
pub fn make(folder: &Path, workload: Workload, scale: f64, seed: u64) -> Result<()> {
    let (snapshots, segments) = workload.lengths(scale, seed);
    for (set, lengths, end) in [("snapshots", snapshots, "sst"), ("segments", segments, "log")] {
        let set = folder.join(set);
        fs::create_dir_all(&set).context(set.display())?;
        for (number, length) in lengths.into_iter().enumerate() {
            let path = set.join(format!("{number:06}.{end}"));
            let mut file = BufWriter::with_capacity(256 * 1024, File::create(&path).context(path.display())?);
            pattern::write(&mut file, 0, length).context(path.display())?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all())?;
        }
    }
    Ok(())
}

/// The files below a workload's folder, by name: what [`make`] has written, or a copy of it.
///
/// # Errors
/// What the file system says.
pub fn files(folder: &Path) -> Result<Vec<WorkFile>> {
    let mut found = Vec::new();
    for set in ["segments", "snapshots"] {
        let Ok(entries) = fs::read_dir(folder.join(set)) else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| format!("{name:?} is no name of ours"))?;
            found.push(WorkFile { path: entry.path(), name: format!("{set}/{name}"), size: entry.metadata()?.len() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_what_the_tables_say() {
        let (snapshots, segments) = Workload::R.lengths(1.0, 1);
        assert_eq!((snapshots.len(), segments.len()), (200, 16));
        assert!(snapshots.iter().all(|length| (256 * KIB..=2 * MIB).contains(length)));
        assert_eq!(segments, [128 * MIB; 16]);
        let (small, _) = Workload::S.lengths(1.0, 1);
        assert!(small.len() == 5000 && small.iter().all(|length| (4 * KIB..=64 * KIB).contains(length)));
        assert_eq!(Workload::R.lengths(0.001, 1).1.len(), 1);
    }

    #[test]
    fn files_come_out_as_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Workload::S, 0.002, 3).unwrap();
        let found = files(folder.path()).unwrap();
        assert_eq!(found.iter().map(|file| file.size).collect::<Vec<_>>(), Workload::S.lengths(0.002, 3).0);
        for file in found {
            let mut expected = Vec::new();
            pattern::write(&mut expected, 0, file.size).unwrap();
            assert!(fs::read(&file.path).unwrap() == expected, "{}", file.name);
        }
    }
}
