//! How answers look: tables for people, JSON for programs, a bar while work goes on.

pub(crate) mod cluster_json;
pub(crate) mod copy_json;
pub(crate) mod doctor_json;
pub(crate) mod journal_json;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod look_json;
pub(crate) mod node_json;
pub(crate) mod progress;
pub(crate) mod prune_json;
pub(crate) mod table;
pub(crate) mod verify_json;
pub(crate) mod watch_json;
