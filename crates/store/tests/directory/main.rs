//! The directory bucket against every sentence of the `Bucket` trait, and against strangers in its folder.

#![expect(clippy::unwrap_used, reason = "helpers of tests outside a #[test] function")]

mod common;
mod crashes;
mod listing;
mod multipart;
mod objects;
mod strangers;
