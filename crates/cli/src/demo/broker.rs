//! A broker that looks real enough: snapshot files that stay, log segments of records that grow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost::{Descriptor, DigestAlgorithm, DigestHasher, Kind, LogRange};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) const PARTITIONS: u32 = 3;
pub(super) const NODES: u32 = 2;

const SNAPSHOT_FILES: u64 = 3;
const SNAPSHOT_FILE_BYTES: usize = 256 * 1024;
/// Full segments and the one that is written.
const SEGMENTS: u64 = 3;
const SEGMENT_BYTES: usize = 512 * 1024;
/// One record of the log: position, length, and a payload.
const RECORD_BYTES: usize = 128;
/// The writer appends this many records to every log, this often, at most this many times.
const BURST: u64 = 16;
const EVERY: Duration = Duration::from_millis(2);
const MOST_BURSTS: u64 = 5_000;

/// Every copy of the cluster, as (node, partition).
pub(super) fn copies() -> impl Iterator<Item = (u32, u32)> {
    (1..=NODES).flat_map(|node| (1..=PARTITIONS).map(move |partition| (node, partition)))
}

pub(super) struct Broker {
    root: PathBuf,
    seed: u64,
}

impl Broker {
    /// Writes all copies below `root`. The copies of a partition hold the same bytes, as replicas do.
    pub(super) fn create(root: &Path, seed: u64) -> io::Result<Self> {
        let broker = Self { root: root.to_owned(), seed };
        for (node, partition) in copies() {
            let folder = broker.partition(node, partition);
            let snapshots = folder.join("snapshots");
            fs::create_dir_all(&snapshots)?;
            for number in 0..SNAPSHOT_FILES {
                let mut bytes = vec![0; SNAPSHOT_FILE_BYTES];
                fill(&mut bytes, seed ^ u64::from(partition) << 32 ^ number);
                fs::write(snapshots.join(format!("{number:06}.sst")), bytes)?;
            }
            fs::write(
                snapshots.join("MANIFEST"),
                format!("files {SNAPSHOT_FILES}\nposition {}\n", snapshot_position()),
            )?;
            fs::create_dir_all(folder.join("segments"))?;
            for number in 0..SEGMENTS {
                // The last one is half full: it is being written.
                let bytes = if number + 1 == SEGMENTS { SEGMENT_BYTES / 2 } else { SEGMENT_BYTES };
                let mut log = File::create(broker.segment(node, partition, number))?;
                log.write_all(&broker.records(partition, first_record(number), (bytes / RECORD_BYTES) as u64))?;
            }
        }
        Ok(broker)
    }

    pub(super) fn node(&self, node: u32) -> PathBuf {
        self.root.join(format!("node-{node}"))
    }

    pub(super) fn partition(&self, node: u32, partition: u32) -> PathBuf {
        self.node(node).join(format!("partition-{partition}"))
    }

    fn segment(&self, node: u32, partition: u32, number: u64) -> PathBuf {
        self.partition(node, partition).join("segments").join(format!("{number:020}.log"))
    }

    /// What the broker says of a partition at the checkpoint. Equal for all of its copies.
    pub(super) fn descriptor(&self, partition: u32) -> Descriptor {
        let last = first_record(SEGMENTS - 1) + (SEGMENT_BYTES / 2 / RECORD_BYTES) as u64 - 1;
        Descriptor {
            checkpoint_position: Some(last),
            number_of_partitions: Some(PARTITIONS),
            broker_version: Some("demo".to_owned()),
            snapshot_id: Some(format!("{}-1-{partition}", snapshot_position())),
            term: Some(1),
            log_range: Some(LogRange { first: 0, last }),
            kind: Kind::Manual,
            name: Some("demo".to_owned()),
            ..Descriptor::default()
        }
    }

    fn records(&self, partition: u32, first: u64, number: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(number as usize * RECORD_BYTES);
        for position in first..first + number {
            bytes.extend_from_slice(&position.to_be_bytes());
            bytes.extend_from_slice(&(RECORD_BYTES as u32).to_be_bytes());
            let mut payload = [0; RECORD_BYTES - 12];
            fill(&mut payload, self.seed ^ u64::from(partition) << 48 ^ position);
            bytes.extend_from_slice(&payload);
        }
        bytes
    }

    /// Appends to the last segment of every copy until told to stop.
    pub(super) fn start_writing(&self) -> Writer {
        let (stop, mut stopped) = oneshot::channel();
        let logs: Vec<(u32, PathBuf)> =
            copies().map(|(node, partition)| (partition, self.segment(node, partition, SEGMENTS - 1))).collect();
        let broker = Self { root: self.root.clone(), seed: self.seed };
        let task = tokio::spawn(async move {
            let mut position = first_record(SEGMENTS);
            let mut appended = 0;
            for _ in 0..MOST_BURSTS {
                let logs = logs.clone();
                let bursts: Vec<_> = logs
                    .into_iter()
                    .map(|(partition, log)| (log, broker.records(partition, position, BURST)))
                    .collect();
                position += BURST;
                // A log that cannot be written ends the growth, not the demo.
                match tokio::task::spawn_blocking(move || append(&bursts)).await {
                    Ok(Ok(bytes)) => appended += bytes,
                    _ => break,
                }
                tokio::select! {
                    _ = &mut stopped => break,
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
            appended
        });
        Writer { stop, task }
    }
}

/// The task that lets the logs grow.
pub(super) struct Writer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<u64>,
}

impl Writer {
    /// Ends the growth; gives the bytes that were appended.
    pub(super) async fn stop(self) -> u64 {
        let _ = self.stop.send(());
        self.task.await.unwrap_or(0)
    }
}

fn append(bursts: &[(PathBuf, Vec<u8>)]) -> io::Result<u64> {
    let mut bytes = 0;
    for (log, records) in bursts {
        OpenOptions::new().append(true).open(log)?.write_all(records)?;
        bytes += records.len() as u64;
    }
    Ok(bytes)
}

/// The digest of a file's first `length` bytes: all that a backup took of a log that grew on.
pub(super) fn hash(path: &Path, length: u64) -> io::Result<String> {
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut file = File::open(path)?.take(length);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish().to_string()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn first_record(segment: u64) -> u64 {
    segment * (SEGMENT_BYTES / RECORD_BYTES) as u64
}

fn snapshot_position() -> u64 {
    first_record(1)
}

/// Bytes that do not compress and do not repeat (xorshift64*).
fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in bytes.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}
