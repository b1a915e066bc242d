//! Log lines on stderr: text for people, JSON lines with `--json`, so that stderr stays machine-readable as a whole.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::out::{Stderr, clean};

/// The level that the flags ask for: warnings by default.
pub(crate) fn level(quiet: bool, verbose: u8) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// What is logged at a level. Of the libraries below, nothing until somebody asks for more: their warnings are for programmers, and what
/// goes wrong there is told by the error that ends the verb.
fn wanted(level: LevelFilter) -> Targets {
    let others = if level <= LevelFilter::WARN { LevelFilter::OFF } else { level };
    Targets::new().with_default(others).with_target("milepost", level)
}

/// Starts logging for the process. A second call changes nothing.
pub(crate) fn start(level: LevelFilter, json: bool, err: Stderr) {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        // A stderr that is closed must not make the fallback `eprintln!` panic.
        .log_internal_errors(false)
        .event_format(Lines { json })
        .with_writer(move || err.clone());
    let _ = tracing_subscriber::registry().with(wanted(level)).with(lines).try_init();
}

struct Lines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        writer.write_str(&if self.json { fields.json(level) } else { fields.words(level) })
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn words(self, level: Level) -> String {
        let word = match level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut line = format!("{word}: {}", clean(&self.message));
        for (name, value) in self.others {
            let value = value.as_str().map_or_else(|| value.to_string(), clean);
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value}");
        }
        line.push('\n');
        line
    }

    fn json(self, level: Level) -> String {
        let mut line = Map::new();
        line.insert("messageType".into(), "log".into());
        line.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        line.insert("message".into(), self.message.into());
        for (name, value) in self.others {
            line.entry(name).or_insert(value);
        }
        format!("{}\n", Value::Object(line))
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.put(field, text.into()) }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { value.clone_into(&mut self.message) } else { self.put(field, value.into()) }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let mut others = Map::new();
        others.insert("key".into(), "a\u{1b}b".into());
        others.insert("bytes".into(), 7.into());
        others.insert("level".into(), "not the level".into());
        Fields { message: "hello\n".into(), others }
    }

    #[test]
    fn lines_are_one_line_each() {
        assert_eq!(fields().words(Level::WARN), "warning: hello\\n bytes=7 key=a\\u{1b}b level=not the level\n");
        let value: Value = serde_json::from_str(&fields().json(Level::INFO)).unwrap();
        assert_eq!(
            (&value["messageType"], &value["level"], &value["bytes"]),
            (&"log".into(), &"info".into(), &7.into())
        );
    }

    #[test]
    fn libraries_are_heard_only_on_request() {
        for (level, others) in [(LevelFilter::ERROR, false), (LevelFilter::WARN, false), (LevelFilter::INFO, true)] {
            assert!(wanted(level).would_enable("milepost_store::engine", &Level::ERROR));
            assert_eq!(wanted(level).would_enable("a_library::inside", &Level::ERROR), others, "{level}");
        }
        assert!(!wanted(LevelFilter::INFO).would_enable("a_library::inside", &Level::DEBUG));
        assert!(wanted(LevelFilter::TRACE).would_enable("hyper_util", &Level::TRACE));
    }

    #[test]
    fn flags_choose_the_level() {
        assert_eq!(level(true, 0), LevelFilter::ERROR);
        assert_eq!(level(false, 0), LevelFilter::WARN);
        assert_eq!(level(false, 9), LevelFilter::TRACE);
    }
}
