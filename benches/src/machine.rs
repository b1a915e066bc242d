//! Where the numbers come from: without the machine's name a number says nothing.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Which of the instructions that hashing lives on it has.
    pub features: Vec<String>,
    /// Memory in bytes.
    pub memory: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The file system of the scratch folder.
    pub file_system: String,
    /// The load average of the last minute, at the start: above 1, others were at work.
    pub load: f64,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of `name : value` in a file of `/proc`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|found| found.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

impl Machine {
    /// This one; `scratch` is the folder that is measured in.
    #[must_use]
    pub fn here(scratch: &Path) -> Self {
        let cpus = read("/proc/cpuinfo");
        let flags = value(&cpus, "flags").or_else(|| value(&cpus, "Features")).unwrap_or_default();
        let wanted = ["pclmulqdq", "vpclmulqdq", "avx2", "avx512f", "avx512vl", "sha_ni", "pmull", "crc32", "sha2"];
        let memory = value(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            cpu: value(&cpus, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            features: flags.split(' ').filter(|flag| wanted.contains(flag)).map(str::to_owned).collect(),
            memory: memory.unwrap_or(0u64) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), scratch),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }

    /// One line for the head of the tables.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}, {} cores ({}), {:.0} GiB, Linux {}, {}, load {:.2} at the start",
            self.cpu,
            self.cores,
            self.features.join(" "),
            self.memory as f64 / f64::from(1 << 30),
            self.kernel,
            self.file_system,
            self.load
        )
    }
}

/// The type of the file system with the longest mount point above `path`.
fn file_system(mounts: &str, path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    found.max_by_key(|(length, _)| *length).map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name() {
        let here = Machine::here(Path::new("/"));
        assert!(here.cores > 0 && here.memory > 0 && !here.kernel.is_empty(), "{here:?}");
    }

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/b /run/data xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/run/data/x")), "xfs");
        assert_eq!(file_system(mounts, Path::new("/run/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home")), "ext4");
    }
}
