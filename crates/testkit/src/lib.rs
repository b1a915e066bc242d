//! What tests of Milepost are made of, and of everything that plugs into it.
//!
//! | module | holds |
//! |---|---|
//! | [`bucket_suite`] | does a [`Bucket`](milepost_store::Bucket) keep its promises? |
//! | [`store_suite`] | does a [`BackupStore`](milepost_store::BackupStore) keep its promises? |
//! | [`invariants`] | what must hold of every backup at any moment, and who watches it |
//! | [`faulty`] | a bucket that fails, loses replies and crashes, by script or by seed |
//! | `fake_s3` (feature `fake-s3`) | an S3 server over a memory bucket, with faults by script |
//! | `proxy` (feature `fake-s3`) | a TCP proxy that cuts, resets, swallows, crawls and lags |
//! | [`history`] | what many clients saw of a few statuses: does it fit one order? |
//! | [`races`] | one winner in each of many rounds |
//! | [`hostile`] | input that somebody edited, cut or made up, by the thousand |
//! | [`fixtures`] | broker files, odd file sources, an environment from a seed, comparison of folders |
//!
//! # Is my bucket good enough?
//!
//! Give the suite a way to an empty bucket; the error names every check that failed and what it saw.
//!
//! ```
//! use milepost_store::MemoryBucket; // yours
//! use milepost_testkit::bucket_suite::{SuiteOptions, conforms};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), milepost_testkit::SuiteFailure> {
//!     conforms(async || MemoryBucket::new("mine"), &SuiteOptions::default()).await
//! }
//! ```

pub mod bucket_suite;
mod check;
#[cfg(feature = "fake-s3")]
pub mod fake_s3;
pub mod faulty;
pub mod fixtures;
pub mod history;
pub mod hostile;
pub mod invariants;
mod on;
#[cfg(feature = "fake-s3")]
pub mod proxy;
pub mod races;
pub mod store_suite;

pub use check::{FailedCheck, SuiteFailure};
pub use on::On;
