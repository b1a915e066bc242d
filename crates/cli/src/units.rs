//! Sizes and durations as people write them, in both directions.

use std::time::Duration;

use milepost::Timestamp;

/// A moment, or a time back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    /// The moment; what lies before all times is the first of them.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(back) => now.checked_sub(back).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Reads a moment: RFC 3339, a day (its begin in UTC), or a duration back from now.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    const FORM: &str = "a time is 2026-11-21T10:00:00Z, 2026-11-21 (UTC), or back from now, as in 12h or 7d";
    if let Ok(back) = parse_duration(text) {
        return Ok(Moment::Ago(back));
    }
    let day = text.len() == 10 && text.bytes().filter(|b| *b == b'-').count() == 2;
    let text = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse().map(Moment::At).map_err(|_| FORM.to_owned())
}

/// Reads a size in bytes: `4096`, `8M` (millions), `8Mi` (mebibytes). Suffixes: k, M, G, T and Ki, Mi, Gi, Ti; a `B` may
/// follow. At most 2^53 - 1.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    const FORM: &str = "a size is a whole number with k, M, G, T, Ki, Mi, Gi or Ti, as in 512k or 8Mi";
    let (number, unit) = split(text).ok_or(FORM)?;
    let factor: u64 = match unit.strip_suffix('B').unwrap_or(unit) {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" | "ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(FORM.into()),
    };
    number
        .checked_mul(factor)
        .filter(|bytes| *bytes < 1 << 53)
        .ok_or_else(|| "the size is 2^53 bytes or more".to_owned())
}

/// Reads a duration: `500ms`, `10s`, `5m`, `24h`, `30d`. At most 100 years; `0` needs no unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "a duration is a whole number with ms, s, m, h or d, as in 500ms, 10s or 30d";
    let (number, unit) = split(text).ok_or(FORM)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == 0 => 1,
        _ => return Err(FORM.into()),
    };
    const CENTURY_MS: u64 = 100 * 366 * 86_400_000;
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= CENTURY_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| "the duration is longer than 100 years".to_owned())
}

/// A whole number and what follows it. No sign, no fraction, no space.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() || number.len() > 19 || unit.len() > 3 {
        return None;
    }
    Some((number.parse().ok()?, unit))
}

/// Reads `true` or `false`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

/// A number of bytes for people, in binary units: `0 B`, `1023 B`, `1.5 KiB`, `12.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // 1023.96 KiB would be shown as 1024.0 KiB: the unit is raised where rounding reaches it.
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A rate for people.
fn rate(bytes: u64, took: Duration) -> String {
    format!("{}/s", size(bytes_per_second(bytes, took)))
}

/// `1.4 s, 120.0 MiB/s`: how long a transfer took and how fast it was; no rate where too little moved to tell one.
pub(crate) fn pace(bytes: u64, took: Duration) -> String {
    if bytes < 1024 * 1024 || took < Duration::from_millis(100) {
        span(took)
    } else {
        format!("{}, {}", span(took), rate(bytes, took))
    }
}

/// Bytes per second; of no time, the bytes themselves.
pub(crate) fn bytes_per_second(bytes: u64, took: Duration) -> u64 {
    let seconds = took.as_secs_f64();
    // A float cast saturates; it never wraps.
    if seconds <= 0.0 { bytes } else { (bytes as f64 / seconds) as u64 }
}

/// How long something took, for people: `40 ms`, `1.4 s`, `31 s`, `5 min 10 s`, `3 h 5 min`, `2 d 3 h`.
pub(crate) fn span(took: Duration) -> String {
    let seconds = took.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big} {big_unit}") } else { format!("{big} {big_unit} {small} {small_unit}") }
    };
    match seconds {
        0 => format!("{} ms", took.as_millis().max(1)),
        // Rounded down, as the others are: 9.97 s are not "10.0 s".
        1..10 => format!("{seconds}.{} s", took.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// How long ago something was, for people, in one unit: `now`, `31 s ago`, `5 min ago`, `3 h ago`, `2 d ago`.
pub(crate) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("1k", 1_000),
            ("8M", 8_000_000),
            ("8Mi", 8 << 20),
            ("8MiB", 8 << 20),
            ("2G", 2_000_000_000),
            ("2Gi", 2 << 30),
            ("1T", 1_000_000_000_000),
            ("1Ti", 1 << 40),
            ("9007199254740991", (1 << 53) - 1),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "1.5M",
            "1 M",
            "M",
            "1X",
            "1MM",
            "1Pi",
            "9007199254740992",
            "99999999999999999999",
            "8192Ti",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read() {
        for (text, millis) in
            [("0", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("24h", 86_400_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "-5s", "5 s", "1.5h", "5w", "5min", "9999999d", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_read() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (text, at) in [
            ("7d", "2026-11-14T10:00:00Z"),
            ("0", "2026-11-21T10:00:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T12:00:00+02:00", "2026-11-20T10:00:00Z"),
        ] {
            assert_eq!(parse_moment(text).unwrap().at(now).to_string(), at, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-20 12:00", "7", "-1d"] {
            assert!(parse_moment(text).unwrap_err().contains("back from now"), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_without_odd_steps() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_shown_in_words() {
        let s = Duration::from_secs;
        assert_eq!(span(Duration::from_micros(20)), "1 ms");
        assert_eq!(span(Duration::from_millis(420)), "420 ms");
        assert_eq!(span(Duration::from_millis(1999)), "1.9 s");
        assert_eq!(span(Duration::from_millis(9999)), "9.9 s");
        assert_eq!(span(Duration::from_millis(29_999)), "29 s");
        assert_eq!(span(s(59)), "59 s");
        assert_eq!(span(s(310)), "5 min 10 s");
        assert_eq!(span(s(7200)), "2 h");
        assert_eq!(span(s(90_000)), "1 d 1 h");
        assert_eq!(ago(s(0)), "now");
        assert_eq!(ago(s(3599)), "59 min ago");
        assert_eq!(ago(s(172_800)), "2 d ago");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(bytes_per_second(10, Duration::ZERO), 10);
        assert_eq!(rate(2048, s(2)), "1.0 KiB/s");
        assert_eq!(pace(4 << 20, s(2)), "2.0 s, 2.0 MiB/s");
        assert_eq!(pace(14, s(2)), "2.0 s");
        assert_eq!(pace(14, Duration::from_millis(9)), "9 ms");
    }
}
