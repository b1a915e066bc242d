//! Hashing a file in parts: in any order, on several threads, joined in the end.
//!
//! CRC64NVME of any two neighbours can be combined. BLAKE3 is a tree of chunks of 1 KiB: parts whose length is a power of two
//! times that are whole subtrees of it, so each gives a chaining value by itself, and the values are joined as the tree joins
//! them. SHA-256 knows no parts: it takes bytes in order.
//!
//! [`PartPlan`] makes parts a power of two wherever the store's limits let it (S3: up to 39 TiB a file); [`any_order`] says
//! whether they are. Where they are not, the caller gives the bytes in order to a [`DigestHasher`], as for SHA-256.
//!
//! ```
//! use milepost_core::{DigestAlgorithm, Hashes, PartPlan};
//! use milepost_core::hashing::{PartHasher, any_order, join};
//!
//! let bytes = vec![7; 5000];
//! let plan = PartPlan::new(5000, 2048, 1024, 8192, 10)?;
//! let algorithm = Some(DigestAlgorithm::Blake3);
//! assert!(any_order(algorithm, &plan));
//! let mut parts = Vec::new();
//! for number in [3, 1, 2] {
//!     let range = plan.range(number);
//!     let mut hasher = PartHasher::new(algorithm, &plan, number);
//!     hasher.update(&bytes[range.start as usize..range.end as usize]);
//!     parts.push(hasher.finish());
//! }
//! assert_eq!(join(&plan, parts, None)?, Hashes::of(&bytes, algorithm));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use thiserror::Error;

use crate::checksum::{Crc64Nvme, Crc64NvmeHasher, Digest, DigestAlgorithm, DigestHasher};
use crate::parts::PartPlan;

/// The smallest subtree: a chunk of BLAKE3.
const CHUNK: u64 = blake3::CHUNK_LEN as u64;

/// Bytes that one hash leaves in a core's own cache for the next: where two are taken of the same bytes, they are taken piece by
/// piece of this length. A power of two times BLAKE3's chunk, so that its tree grows by whole subtrees.
const WARM: usize = 128 * 1024;

/// What is known of bytes that were hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashes {
    /// Their checksum.
    pub crc: Crc64Nvme,
    /// Their digest, where one was asked for.
    pub digest: Option<Digest>,
}

impl Hashes {
    /// The hashes of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8], algorithm: Option<DigestAlgorithm>) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Takes all bytes of a file, in order.
#[derive(Debug)]
pub struct Hasher {
    crc: Crc64NvmeHasher,
    digest: Option<DigestHasher>,
}

impl Hasher {
    /// A hasher that has seen nothing; without an algorithm it takes the checksum alone.
    #[must_use]
    pub fn new(algorithm: Option<DigestAlgorithm>) -> Self {
        Self { crc: Crc64NvmeHasher::new(), digest: algorithm.map(DigestHasher::new) }
    }

    /// Takes the next bytes, of any length.
    pub fn update(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(WARM) {
            self.crc.update(bytes);
            if let Some(digest) = &mut self.digest {
                digest.update(bytes);
            }
        }
    }

    /// The hashes of what it has seen so far.
    #[must_use]
    pub fn finish(&self) -> Hashes {
        Hashes { crc: self.crc.finish(), digest: self.digest.as_ref().map(DigestHasher::finish) }
    }
}

/// Can the parts of `plan` be hashed in any order with this digest? Otherwise [`PartHasher`] gives their checksums alone.
#[must_use]
pub fn any_order(algorithm: Option<DigestAlgorithm>, plan: &PartPlan) -> bool {
    match algorithm {
        None => true,
        Some(_) if plan.count() == 1 => true,
        Some(DigestAlgorithm::Blake3) => plan.part_size().is_power_of_two() && plan.part_size() >= CHUNK,
        Some(DigestAlgorithm::Sha256) => false,
    }
}

/// Takes the bytes of one part, in order.
#[derive(Debug)]
pub struct PartHasher {
    number: u32,
    crc: Crc64NvmeHasher,
    tree: Tree,
    /// Bytes that the part still lacks.
    missing: u64,
    len: u64,
}

#[derive(Debug)]
enum Tree {
    None,
    /// The file has this part only.
    Root(DigestHasher),
    // Boxed: a BLAKE3 state is 2 KiB and would be copied with every move of a hashing task.
    Subtree(Box<blake3::Hasher>),
}

impl PartHasher {
    /// A hasher of part `number` that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Option<DigestAlgorithm>, plan: &PartPlan, number: u32) -> Self {
        let range = plan.range(number);
        let tree = match algorithm {
            Some(algorithm) if plan.count() == 1 => Tree::Root(DigestHasher::new(algorithm)),
            Some(_) if any_order(algorithm, plan) => {
                let mut hasher = Box::<blake3::Hasher>::default();
                hasher.set_input_offset(range.start);
                Tree::Subtree(hasher)
            }
            _ => Tree::None,
        };
        Self { number, crc: Crc64NvmeHasher::new(), tree, missing: range.end - range.start, len: 0 }
    }

    /// Takes the next bytes of the part. Bytes beyond its end are counted and nothing else: [`join`] then refuses it.
    pub fn update(&mut self, bytes: &[u8]) {
        let taken = usize::try_from(self.missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
        self.missing -= taken as u64;
        self.len = self.len.saturating_add(bytes.len() as u64);
        for bytes in bytes[..taken].chunks(WARM) {
            self.crc.update(bytes);
            match &mut self.tree {
                Tree::None => {}
                Tree::Root(hasher) => hasher.update(bytes),
                Tree::Subtree(hasher) => {
                    hasher.update(bytes);
                }
            }
        }
    }

    /// What the part gives to its file.
    #[must_use]
    pub fn finish(self) -> PartHash {
        let value = match self.tree {
            Tree::Root(hasher) => Value::Root(hasher.finish()),
            // No part of several is empty, but for one that was not given its bytes; that has no chaining value.
            Tree::Subtree(hasher) if self.len > 0 => Value::Subtree(hasher.finalize_non_root()),
            Tree::Subtree(_) | Tree::None => Value::None,
        };
        PartHash { number: self.number, len: self.len, crc: self.crc.finish(), value }
    }
}

/// One part's share of its file's hashes.
#[derive(Debug, Clone)]
pub struct PartHash {
    number: u32,
    len: u64,
    crc: Crc64Nvme,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    None,
    Root(Digest),
    Subtree(ChainingValue),
}

impl PartHash {
    /// The part's number, from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Bytes of the part.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Has the part no bytes? Only an empty file has such a one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part's own checksum.
    #[must_use]
    pub const fn crc(&self) -> Crc64Nvme {
        self.crc
    }
}

/// Why parts do not make a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("part {number} of {count} was hashed with {found} bytes, not {expected}")]
pub struct PartHashError {
    /// The part that is missing, twice there, or of another length.
    pub number: u32,
    /// How many parts the file has.
    pub count: u32,
    /// The part's length by the plan, in bytes.
    pub expected: u64,
    /// The bytes that were hashed under this number; 0 where it is missing.
    pub found: u64,
}

/// The hashes of a file from those of its parts, given in any order; `in_order` is the digest where the parts have none of
/// their own.
///
/// # Errors
/// [`PartHashError`] where a part is missing, twice there, or not as long as the plan says.
pub fn join(
    plan: &PartPlan,
    parts: impl IntoIterator<Item = PartHash>,
    in_order: Option<Digest>,
) -> Result<Hashes, PartHashError> {
    let mut parts: Vec<PartHash> = parts.into_iter().collect();
    parts.sort_unstable_by_key(|part| part.number);
    let mut crc = Crc64Nvme::EMPTY;
    for (at, number) in (1..=plan.count()).enumerate() {
        let range = plan.range(number);
        let expected = range.end - range.start;
        let found = parts.get(at).filter(|part| part.number == number);
        match found {
            Some(part) if part.len == expected => crc = crc.combine(part.crc, part.len),
            _ => {
                let found = found.map_or(0, |part| part.len);
                return Err(PartHashError { number, count: plan.count(), expected, found });
            }
        }
    }
    if let Some(surplus) = parts.get(plan.count() as usize) {
        let range = plan.range(surplus.number);
        let (number, expected) = (surplus.number, range.end - range.start);
        return Err(PartHashError { number, count: plan.count(), expected, found: surplus.len });
    }
    let digest = match parts.first().map(|part| &part.value) {
        Some(Value::Root(digest)) => Some(*digest),
        Some(Value::Subtree(_)) => {
            let values: Vec<ChainingValue> = parts
                .iter()
                .filter_map(|part| match part.value {
                    Value::Subtree(value) => Some(value),
                    _ => None,
                })
                .collect();
            let (left, right) = values.split_at(left(values.len()));
            let root = merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash);
            Some(Digest { algorithm: DigestAlgorithm::Blake3, value: *root.as_bytes() })
        }
        _ => in_order,
    };
    Ok(Hashes { crc, digest })
}

/// How many of `count` leaves, two or more, are in the left half of a tree that is complete on the left.
fn left(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two().min(count.saturating_sub(1))
}

/// The chaining value of the tree above `values`, which are not empty. As deep as the tree: at most 14 levels.
fn subtree(values: &[ChainingValue]) -> ChainingValue {
    match values {
        [] => ChainingValue::default(),
        [value] => *value,
        _ => {
            let (left, right) = values.split_at(left(values.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
