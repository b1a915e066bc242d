//! Values of arguments: words, and texts that are checked while they are parsed.

use clap::ValueEnum;
use milepost::{BackupId, Kind, LogRange, Order, RestoreCheck, VerifyLevel};

use crate::resolve::Choice;

macro_rules! words {
    ($name:ident => $target:ty { $($variant:ident = $value:expr),+ $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name { $($variant),+ }
        impl From<$name> for $target {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => $value),+ }
            }
        }
    };
}
words!(KindArg => Kind { Manual = Kind::Manual, Scheduled = Kind::Scheduled });
words!(OrderArg => Order { Desc = Order::Descending, Asc = Order::Ascending });
words!(CheckArg => RestoreCheck { Digest = RestoreCheck::Digest, Size = RestoreCheck::Size });
words!(LevelArg => VerifyLevel {
    Documents = VerifyLevel::Documents,
    Objects = VerifyLevel::Objects,
    Checksums = VerifyLevel::Checksums,
    Content = VerifyLevel::Content,
});

/// The id of one backup. `latest` and `any` are told apart from other mistakes: people try them.
pub(crate) fn backup_id(text: &str) -> Result<BackupId, String> {
    match text.parse::<Choice>()? {
        Choice::One(id) => Ok(id),
        Choice::Of { .. } => Err("this verb takes one backup, PARTITION/CHECKPOINT/NODE as in 1/100/2".to_owned()),
    }
}

pub(crate) fn log_range(text: &str) -> Result<LogRange, String> {
    const FORM: &str = "a log range is FIRST..LAST, both included, as in 1..4800";
    let (first, last) = text.split_once("..").ok_or(FORM)?;
    let range = LogRange { first: first.parse().map_err(|_| FORM)?, last: last.parse().map_err(|_| FORM)? };
    if range.first > range.last { Err("the log range ends before it begins".to_owned()) } else { Ok(range) }
}

pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a property is KEY=VALUE".to_owned()),
    }
}
