//! Which parts of an upload were written: a file of 10,000 places, one per part number, each written in place.
//!
//! A place says which bytes `data` holds. It is written after they were synced, and cleared before other bytes go over
//! them, so it does not outlive them; yet whoever continues an upload reads the bytes again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use milepost_core::Crc64Nvme;

use crate::bucket::{ETag, PartInfo};

/// Bytes of one place: number, size, checksum, and the checksum of these; eight bytes each, little-endian.
const SLOT: usize = 32;

/// What is recorded of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) size: u64,
    pub(super) crc: Crc64Nvme,
}

impl Slot {
    /// Names the part in a completion: other bytes, other name.
    pub(super) fn etag(&self) -> ETag {
        ETag(format!("{}-{}", self.crc, self.size))
    }

    pub(super) fn info(&self) -> PartInfo {
        PartInfo { number: self.number, size: self.size, etag: self.etag(), crc64nvme: Some(self.crc) }
    }

    fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&u64::from(self.number).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.crc.0.to_le_bytes());
        let check = Crc64Nvme::of(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.0.to_le_bytes());
        bytes
    }

    /// `None`: empty, torn, or of another number.
    fn from_bytes(number: u32, bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let slot = Self { number, size: word(8)?, crc: Crc64Nvme(word(16)?) };
        (slot.to_bytes() == bytes).then_some(slot)
    }
}

fn offset(number: u32) -> u64 {
    u64::from(number.saturating_sub(1)) * SLOT as u64
}

/// The record of one part.
pub(super) fn read(file: &File, number: u32) -> io::Result<Option<Slot>> {
    let mut bytes = [0; SLOT];
    match file.read_exact_at(&mut bytes, offset(number)) {
        Ok(()) => Ok(Slot::from_bytes(number, &bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// All records, by number.
pub(super) fn read_all(file: &File, max: u32) -> io::Result<Vec<Slot>> {
    let size = file.metadata()?.len().min(offset(max) + SLOT as u64);
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok((1..=max).zip(bytes.chunks_exact(SLOT)).filter_map(|(number, bytes)| Slot::from_bytes(number, bytes)).collect())
}

pub(super) fn write(file: &File, slot: Slot) -> io::Result<()> {
    file.write_all_at(&slot.to_bytes(), offset(slot.number))
}

/// Clears a place, for good: other bytes are about to go over those it speaks of.
pub(super) fn clear(file: &File, number: u32) -> io::Result<()> {
    file.write_all_at(&[0; SLOT], offset(number))?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_in_any_order_and_damage_is_no_record() {
        let file = tempfile::tempfile().unwrap();
        let slot = |number: u32| Slot { number, size: u64::from(number) * 7, crc: Crc64Nvme(u64::from(number)) };
        for number in [10_000, 3, 1] {
            write(&file, slot(number)).unwrap();
        }
        assert_eq!(read_all(&file, 10_000).unwrap(), [slot(1), slot(3), slot(10_000)]);
        assert_eq!(read(&file, 3).unwrap(), Some(slot(3)));
        assert_eq!(read(&file, 2).unwrap(), None);
        clear(&file, 3).unwrap();
        file.write_all_at(b"x", 9).unwrap();
        assert_eq!(read_all(&file, 10_000).unwrap(), [slot(10_000)]);
        file.set_len(31).unwrap();
        assert_eq!(read_all(&file, 10_000).unwrap(), []);
        assert_eq!(read(&file, 1).unwrap(), None);
    }
}
