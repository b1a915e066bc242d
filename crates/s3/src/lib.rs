//! Milepost's main backend: backups in a bucket of AWS S3, MinIO or another compatible server.
//!
//! [`S3BackupStore`] is what a broker opens; [`S3Bucket`] is the port to the server over aws-sdk-s3; [`S3Settings`] is what
//! an operator may tune, and [`S3Location`] what an `s3://` URL says. Retries and ambiguity are the engine's in
//! `milepost-store`: here each request is sent once, and its failure told truly.
//!
//! What a server must be able to do, which permissions a role needs, and what messages mean: `docs/s3.md`.

mod bucket;
mod client;
mod encryption;
mod error;
mod listing;
mod location;
mod multipart;
mod objects;
mod percent;
mod reply;
mod settings;
mod store;

pub use bucket::S3Bucket;
pub use location::S3Location;
pub use settings::{S3Settings, Sse, WireChecksum};
pub use store::S3BackupStore;
