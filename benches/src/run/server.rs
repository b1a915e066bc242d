//! The server of a run, and what it uses.

use std::fs;
use std::path::Path;

use crate::sample::Store;
use crate::sink::{Counts, SinkProcess};
use crate::{Result, process};

/// Where the run's clients write to.
#[derive(Debug)]
pub(super) enum Server {
    Sink(SinkProcess),
    /// A server that was there before; its process, where it runs on this machine and may be looked at.
    S3 {
        endpoint: String,
        region: String,
        bucket: String,
        process: Option<u32>,
    },
    Dir,
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Server {
    pub(super) fn minio() -> Result<Self> {
        let endpoint = var("MILEPOST_TEST_S3_ENDPOINT").ok_or(
            "MILEPOST_TEST_S3_ENDPOINT is not set: `eval \"$(scripts/minio up)\"` starts a server and sets it",
        )?;
        let port = endpoint.trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Ok(Self::S3 {
            process: port.and_then(listener),
            endpoint,
            region: var("MILEPOST_TEST_S3_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
            bucket: var("MILEPOST_TEST_S3_BUCKET").unwrap_or_else(|| "milepost".to_owned()),
        })
    }

    pub(super) fn store(&self, scratch: &Path, name: &str) -> Store {
        let prefix = format!("bench-{}/{name}", std::process::id());
        match self {
            Self::Sink(sink) => Store::S3 {
                endpoint: sink.endpoint(),
                region: "us-east-1".to_owned(),
                bucket: "bench".to_owned(),
                prefix,
                sink: true,
            },
            Self::S3 { endpoint, region, bucket, .. } => Store::S3 {
                endpoint: endpoint.clone(),
                region: region.clone(),
                bucket: bucket.clone(),
                prefix,
                sink: false,
            },
            Self::Dir => Store::Dir(scratch.join("store").join(name)),
        }
    }

    pub(super) fn cpu(&self) -> Option<f64> {
        match self {
            Self::Sink(sink) => sink.cpu().ok(),
            Self::S3 { process, .. } => process.and_then(|pid| process::cpu_of(pid).ok()),
            Self::Dir => None,
        }
    }

    pub(super) fn counts(&self) -> Result<Option<Counts>> {
        match self {
            Self::Sink(sink) => {
                let counts = sink.counts()?;
                sink.reset()?;
                Ok(Some(counts))
            }
            _ => Ok(None),
        }
    }
}

/// The process that listens on a port of this machine, unless it only passes connections on.
fn listener(port: u16) -> Option<u32> {
    let wanted = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            // 0A: listening.
            (fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == "0A").then(|| format!("socket:[{}]", fields[9]))
        })
        .collect();
    let numbers = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.find(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        !name.starts_with("docker-proxy")
            && open.flatten().any(|entry| {
                let link = fs::read_link(entry.path()).unwrap_or_default();
                sockets.iter().any(|socket| link == Path::new(socket))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_found() {
        let listener_of_ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_of_ours.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        drop(listener_of_ours);
        assert_eq!(listener(port), None);
    }
}
