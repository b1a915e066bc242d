//! What a save would save, byte by byte.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use milepost_core::FileSetKind;
use milepost_store::Backup;

/// The files of one save: folder and name, as in `snapshots/000001.sst`, with their bytes.
pub type Contents = BTreeMap<String, Bytes>;

/// Reads the files of a backup as a save would: a file is as long as its entry says, else as it is now.
///
/// # Errors
/// A source cannot be read, or is shorter than its entry says.
pub fn contents_of(backup: &Backup) -> io::Result<Contents> {
    let mut contents = Contents::new();
    for (kind, set) in [(FileSetKind::Snapshots, &backup.snapshots), (FileSetKind::Segments, &backup.segments)] {
        for entry in set {
            let open = entry.source.open()?;
            let len = entry.len.map_or_else(|| open.len(), Ok)?;
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            let mut at = 0;
            while at < bytes.len() {
                match open.read_at(&mut bytes[at..], at as u64)? {
                    0 => return Err(io::Error::other(format!("{} ends at {at}, before {len}", entry.name))),
                    count => at += count,
                }
            }
            contents.insert(format!("{kind}/{}", entry.name), bytes.into());
        }
    }
    Ok(contents)
}
