//! CRC64NVME, combinable from parts, and the digests that a backup records of each file.
//!
//! CRC64NVME is what S3 stores and verifies as a full-object checksum; its text form is S3's: base64 of eight big-endian
//! bytes. A digest carries its algorithm's name, so that a reader never guesses.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use thiserror::Error;

/// Why a text is not a checksum or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChecksumError {
    /// Not base64 of eight bytes.
    #[error("a CRC64NVME is base64 of 8 bytes, as in jYEL4RPB2n8=")]
    NotCrc64,
    /// Not `blake3:` or `sha256:` with 64 lower-case hex digits.
    #[error("a digest is blake3:… or sha256:… with 64 lower-case hex digits")]
    NotADigest,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// The lower-case hex SHA-256 of a document's bytes, as `status.json` names the metadata it commits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

/// Is this 64 lower-case hex digits?
#[must_use]
pub fn is_sha256_hex(text: &str) -> bool {
    unhex(text).is_some()
}

/// A CRC64NVME checksum (polynomial `0xad93d23594c93659`, reflected, all ones in and out).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crc64Nvme(pub u64);

/// The polynomial, bit-reflected.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// `a · b` modulo the polynomial, both reflected: bit 63 is the coefficient of x^0.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    let mut bit = 1 << 63;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 { (b >> 1) ^ POLYNOMIAL } else { b >> 1 };
        bit >>= 1;
    }
    product
}

/// x^(2^k) for each bit k of a length in bits; lengths in bytes start at k = 3.
const POWERS: [u64; 67] = {
    let mut powers = [0; 67];
    powers[0] = 1 << 62;
    let mut k = 1;
    while k < 67 {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

impl Crc64Nvme {
    /// The checksum of no bytes.
    pub const EMPTY: Self = Self(0);

    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes))
    }

    /// The checksum of this run of bytes followed by another one of `next_len` bytes whose checksum is `next`.
    ///
    /// About 3 µs, whatever the length: a multiplication by x^(8·len) in GF(2).
    #[must_use]
    pub fn combine(self, next: Self, next_len: u64) -> Self {
        let mut shifted = self.0;
        for bit in 0..64 {
            if next_len >> bit & 1 == 1 {
                shifted = multiply(POWERS[bit + 3], shifted);
            }
        }
        Self(shifted ^ next.0)
    }
}

impl fmt::Display for Crc64Nvme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}
impl fmt::Debug for Crc64Nvme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crc64nvme {self}")
    }
}
impl FromStr for Crc64Nvme {
    type Err = ChecksumError;
    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let bytes = STANDARD.decode(text).map_err(|_| ChecksumError::NotCrc64)?;
        bytes.try_into().map(|bytes| Self(u64::from_be_bytes(bytes))).map_err(|_| ChecksumError::NotCrc64)
    }
}
impl Serialize for Crc64Nvme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Crc64Nvme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes bytes in order and gives their [`Crc64Nvme`].
pub struct Crc64NvmeHasher(crc_fast::Digest);

impl Crc64NvmeHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> Crc64Nvme {
        Crc64Nvme(self.0.finalize())
    }
}
impl Default for Crc64NvmeHasher {
    fn default() -> Self {
        Self::new()
    }
}
impl fmt::Debug for Crc64NvmeHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crc64NvmeHasher")
    }
}

/// Which digest a save records of each file, besides CRC64NVME.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestAlgorithm {
    /// BLAKE3, 256 bits: the default, and the cheapest.
    #[default]
    Blake3,
    /// SHA-256, for those whose auditors ask for it.
    Sha256,
}

impl DigestAlgorithm {
    /// The name in documents and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }
}

/// The digest of a file's bytes, written `blake3:<hex>` or `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    /// How the value was computed.
    pub algorithm: DigestAlgorithm,
    /// The 256 bits.
    pub value: [u8; 32],
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), hex(&self.value))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Digest {
    type Err = ChecksumError;
    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let (name, value) = text.split_once(':').ok_or(ChecksumError::NotADigest)?;
        let algorithm = [DigestAlgorithm::Blake3, DigestAlgorithm::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(ChecksumError::NotADigest)?;
        Ok(Self { algorithm, value: unhex(value).ok_or(ChecksumError::NotADigest)? })
    }
}
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes bytes in order and gives their [`Digest`].
#[derive(Debug, Clone)]
pub struct DigestHasher(Inner);

#[derive(Debug, Clone)]
enum Inner {
    // Boxed: a BLAKE3 state is 2 KiB and would be copied with every move of a hashing task.
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
}

impl DigestHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self(match algorithm {
            DigestAlgorithm::Blake3 => Inner::Blake3(Box::default()),
            DigestAlgorithm::Sha256 => Inner::Sha256(sha2::Sha256::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Inner::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        match &self.0 {
            Inner::Blake3(hasher) => {
                Digest { algorithm: DigestAlgorithm::Blake3, value: *hasher.finalize().as_bytes() }
            }
            Inner::Sha256(hasher) => {
                Digest { algorithm: DigestAlgorithm::Sha256, value: hasher.clone().finalize().into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        // The check value of the CRC catalogue for CRC-64/NVME.
        assert_eq!(Crc64Nvme::of(b"123456789"), Crc64Nvme(0xae8b_1486_0a79_9888));
        assert_eq!(Crc64Nvme::of(b""), Crc64Nvme::EMPTY);
        assert_eq!(Crc64Nvme(0xae8b_1486_0a79_9888).to_string(), "rosUhgp5mIg=");
        let mut sha = DigestHasher::new(DigestAlgorithm::Sha256);
        sha.update(b"abc");
        assert_eq!(sha.finish().to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            DigestHasher::new(DigestAlgorithm::Blake3).finish().to_string(),
            "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    proptest! {
        #[test]
        fn combining_equals_hashing_at_once(bytes in proptest::collection::vec(any::<u8>(), 0..4096), at in 0usize..4096) {
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let combined = Crc64Nvme::of(first).combine(Crc64Nvme::of(second), second.len() as u64);
            prop_assert_eq!(combined, Crc64Nvme::of(&bytes));
            let mut hasher = Crc64NvmeHasher::new();
            hasher.update(first);
            hasher.update(second);
            prop_assert_eq!(hasher.finish(), combined);
        }

        #[test]
        fn text_reads_back(crc: u64, value: [u8; 32]) {
            prop_assert_eq!(Crc64Nvme(crc).to_string().parse(), Ok(Crc64Nvme(crc)));
            let digest = Digest { algorithm: DigestAlgorithm::Blake3, value };
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "jYEL4RPB2n8", "jYEL4RPB2n8==", "AAAA", "%%%%"] {
            assert!(text.parse::<Crc64Nvme>().is_err(), "{text}");
        }
        let upper = format!("blake3:{}", "A".repeat(64));
        for text in ["", "blake3:", "md5:abc", "blake3:af13", upper.as_str()] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
