//! Is a history of reads and writes of registers linearizable, where revisions tell the order of the writes?
//!
//! Each version that landed needs a moment within its write, in the order of the revisions, so that every read of a version
//! touches the time from its moment to the next one's. Lower bounds: a write's begin, and the begin of every read of an earlier
//! version. Upper bounds: a write's end, and the end of every read of that version. If the highest lower bound so far is above an
//! upper bound anywhere, there are no such moments; otherwise the highest lower bounds themselves are.

use std::collections::BTreeMap;

/// From when to when.
type Span = (u64, u64);

#[derive(Debug, Clone, Default)]
struct Version {
    name: String,
    /// Of a write that was answered, or that may have landed.
    write: Option<Span>,
    reads: Vec<Span>,
}

/// What became of one status: by revision, every version that landed; those that may have, and saves that ended well.
#[derive(Debug, Clone, Default)]
struct Register {
    landed: BTreeMap<u64, Version>,
    open: Vec<(u64, String, u64)>,
    saved: Vec<(String, Span)>,
    faults: Vec<String>,
}

/// The calls of all clients, by status.
#[derive(Debug, Default)]
pub struct History {
    registers: BTreeMap<String, Register>,
    lines: Vec<(u64, String)>,
    counted: [u64; 4],
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

impl Register {
    fn version(&mut self, revision: u64, name: &str) -> &mut Version {
        let version = self.landed.entry(revision).or_default();
        if version.name.is_empty() {
            version.name = name.to_owned();
        }
        if version.name != name {
            self.faults.push(format!("two versions of revision {revision}: {} and {name}", version.name));
        }
        version
    }
}

impl History {
    /// Reads the logs of all clients. A kill may leave the beginning of a last line, where a page of the file ends within it: that is
    /// as if nothing of it had been written.
    ///
    /// # Errors
    /// Names a line that [`super::Log`] does not write.
    pub fn read(logs: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut history = Self::default();
        let mut begun: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
        let mut ended = Vec::new();
        let whole = |log: String| {
            log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n').map(str::to_owned)).collect::<Vec<_>>()
        };
        for line in logs.flat_map(whole) {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let odd = || format!("no line of a log: {line}");
            let time = words.get(2).and_then(|time| time.parse().ok()).ok_or_else(odd)?;
            history.lines.push((time, line.clone()));
            match words[0].as_str() {
                "BEGIN" => drop(begun.insert(words[1].clone(), (time, words[3..].to_vec()))),
                _ => ended.push((words[1].clone(), time, words[3..].to_vec())),
            }
        }
        for (call, end, words) in ended {
            let (begin, _) = begun.remove(&call).ok_or_else(|| format!("{call} ends and never began"))?;
            let span = (begin, end);
            let [kind, id, revision, name] = &words[..] else {
                return Err(format!("no end of a call: {words:?}"));
            };
            let revision = number(revision)?;
            let register = history.registers.entry(id.clone()).or_default();
            match kind.as_str() {
                "W" => {
                    history.counted[0] += 1;
                    let version = register.version(revision, name);
                    // Two may write the same bytes; only one of them landed.
                    let before = version.write.unwrap_or(span);
                    version.write = Some((before.0.min(span.0), before.1.max(span.1)));
                }
                "R" => {
                    history.counted[1] += 1;
                    register.version(revision, name).reads.push(span);
                }
                "S" => register.saved.push((name.clone(), span)),
                // It did not land.
                _ => history.counted[2] += 1,
            }
        }
        // What has no end: a killed process, or a reply that was lost.
        for (begin, words) in begun.into_values() {
            if let [kind, id, revision, name] = &words[..]
                && kind == "W"
            {
                history.counted[3] += 1;
                let register = history.registers.entry(id.clone()).or_default();
                register.open.push((number(revision)?, name.clone(), begin));
            }
        }
        for register in history.registers.values_mut() {
            for (revision, name, begin) in &register.open {
                if let Some(version) = register.landed.get_mut(revision)
                    && version.name == *name
                {
                    // It may be this one that landed, at any time since.
                    let end = version.write.map_or(u64::MAX, |span| span.1);
                    version.write = Some((version.write.map_or(*begin, |span| span.0.min(*begin)), end));
                }
            }
            register.landed.entry(0).or_default().name = "-".to_owned();
        }
        history.lines.sort();
        Ok(history)
    }

    /// Does all of it fit one order?
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn is_linearizable(&self) -> Result<(), String> {
        for (id, register) in &self.registers {
            if let Some(fault) = register.faults.first() {
                return Err(format!("{id}: {fault}"));
            }
            let mut lowest = 0;
            for ((expected, (revision, version)), after) in (0..).zip(&register.landed).zip(1u64..) {
                if *revision != expected {
                    return Err(format!("{id}: revision {revision} follows {}", after.saturating_sub(2)));
                }
                // Revision 0 stands from the beginning.
                let (begin, end) = match (version.write, revision) {
                    (_, 0) => (0, 0),
                    (Some(write), _) => write,
                    (None, _) => return Err(format!("{id}: revision {revision} was read and never written")),
                };
                lowest = lowest.max(begin);
                let highest = version.reads.iter().map(|read| read.1).chain([end]).min().unwrap_or(end);
                let highest = if *revision == 0 { u64::MAX } else { highest };
                if lowest > highest {
                    return Err(format!(
                        "{id}: revision {revision} ({}) must stand by {highest}, and cannot before {lowest}",
                        version.name
                    ));
                }
                lowest = version.reads.iter().map(|read| read.0).fold(lowest, u64::max);
            }
            for (sha256, span) in &register.saved {
                let committed = register.landed.values().any(|version| {
                    version.name.ends_with(&format!(":{sha256}"))
                        && version.write.is_some_and(|write| write.0 <= span.1)
                });
                if !committed {
                    return Err(format!("{id}: a save ended well with the metadata {sha256}, which nobody committed"));
                }
            }
        }
        Ok(())
    }

    /// Adds the counts of another.
    pub fn count(&mut self, other: &Self) {
        for (sum, more) in self.counted.iter_mut().zip(other.counted) {
            *sum += more;
        }
    }

    /// Writes that landed and were answered.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.counted[0]
    }

    /// The counts, for people.
    #[must_use]
    pub fn counts(&self) -> String {
        let [writes, reads, refused, open] = self.counted;
        format!("{writes} writes of a status, {reads} reads, {refused} writes refused, {open} without an answer")
    }

    /// The lines of the logs by time.
    #[must_use]
    pub fn shown(&self) -> String {
        self.lines.iter().fold(String::new(), |text, (_, line)| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::History;

    /// `kind id version begin end`; no end: no answer.
    fn judged(calls: &[&str]) -> Result<(), String> {
        let mut log = String::new();
        for (number, call) in calls.iter().enumerate() {
            let words: Vec<&str> = call.split(' ').collect();
            let [kind, revision, name, begin, ref end @ ..] = words[..] else { panic!("{call}") };
            log += &format!("BEGIN 1.{number} {begin} {kind} 1/1/1 {revision} {name}\n");
            if let [end] = end {
                log += &format!("END 1.{number} {end} {kind} 1/1/1 {revision} {name}\n");
            }
        }
        History::read([log].into_iter()).unwrap().is_linearizable()
    }

    #[test]
    fn a_line_that_a_kill_cut_short_counts_as_none() {
        for cut in ["BEGIN 1.1", "BEGIN 1.1 30 W 1/1", "END 1.0 20 W 1/1/1 1"] {
            let log = format!("BEGIN 1.0 10 W 1/1/1 1 a\nBEGIN 2.0 10 R 1/1/1\nEND 2.0 20 R 1/1/1 1 a\n{cut}");
            let history = History::read([log].into_iter()).unwrap();
            assert_eq!(history.is_linearizable(), Ok(()), "{cut}");
            assert_eq!(history.counted, [0, 1, 0, 1], "{cut}");
        }
    }

    #[test]
    fn histories_that_fit_and_histories_that_do_not() {
        for fits in [
            &["W 1 a 10 20", "R 0 - 5 15", "R 1 a 12 14", "W 2 b 30 40", "R 1 a 31 39", "R 2 b 35 36"][..],
            // A write without an answer landed, and was seen.
            &["W 1 a 10", "R 0 - 50 60", "R 1 a 70 80"],
            &["W 1 a 10 20", "N 1 b 10 20", "W 2 c 15 25"],
            &["W 1 a:x 10 20", "S 0 x 5 30"],
            // One without an answer that never landed.
            &["W 1 a 10 20", "W 2 b 30", "R 1 a 90 95"],
        ] {
            assert_eq!(judged(fits), Ok(()), "{fits:?}");
        }
        for (odd, why) in [
            // Stale: the next version's write was over when this read began.
            (&["W 1 a 10 20", "W 2 b 30 40", "R 1 a 50 60"][..], "revision 2"),
            // Read before anybody wrote it.
            (&["R 1 a 5 8", "W 1 a 10 20"], "revision 1"),
            // Seen, and then unseen.
            (&["W 1 a 10 50", "R 1 a 15 20", "R 0 - 25 30"], "revision 1"),
            (&["W 1 a 10 20", "W 1 b 12 22"], "two versions of revision 1"),
            (&["W 1 a 10 20", "W 3 b 30 40"], "revision 3 follows"),
            (&["R 1 a 10 20"], "never written"),
            (&["W 1 a 10 20", "S 0 x 5 30"], "nobody committed"),
            (&["W 1 a:x 40 50", "S 0 x 5 30"], "nobody committed"),
        ] {
            let error = judged(odd).unwrap_err();
            assert!(error.contains(why), "{odd:?}: {error}");
        }
    }
}
