//! The raw loop: the least that a machine can do it with. One thread, one connection, one buffer.
//!
//! Save: `pread`, CRC64NVME (and BLAKE3), write to the socket; an object for each file, without signature, parts or documents.
//! Restore: one GET for each file, the checksum, `pwrite`, fsync. To a folder: the same with a file instead of the socket.

use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;

use milepost::core::Crc64NvmeHasher;
use milepost::{DigestAlgorithm, DigestHasher};

use crate::sample::{Moved, Op, Spec, Store};
use crate::workload::{WorkFile, files};
use crate::{Context as _, Result};

struct Sums {
    crc: Crc64NvmeHasher,
    digest: Option<DigestHasher>,
}

impl Sums {
    fn new(spec: &Spec) -> Result<Self> {
        let digest = match spec.settings.get("digest").map(String::as_str) {
            Some("none") => None,
            None | Some("blake3") => Some(DigestHasher::new(DigestAlgorithm::Blake3)),
            Some(other) => return Err(format!("digest={other}: blake3 or none").into()),
        };
        Ok(Self { crc: Crc64NvmeHasher::new(), digest })
    }

    fn update(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    fn finish(self) {
        std::hint::black_box(self.crc.finish());
        std::hint::black_box(self.digest.map(|digest| digest.finish()));
    }
}

pub(super) fn run(spec: &Spec) -> Result<Moved> {
    spec.known(&["digest", "block"])?;
    let mut buffer = vec![0; spec.setting::<usize>("block", 256)? * 1024];
    let files = files(&spec.files)?;
    let moved = Moved { files: files.len() as u64, bytes: files.iter().map(|file| file.size).sum() };
    match (&spec.store, spec.op) {
        (Store::S3 { sink: false, .. }, _) => Err("the raw loop signs nothing: it speaks to the null sink only".into()),
        (_, Op::Prepare | Op::Clean) => Ok(Moved::default()),
        (_, Op::Idle) => Ok(Moved::default()),
        (Store::S3 { endpoint, bucket, prefix, .. }, op) => {
            let mut wire = Wire::connect(endpoint, &format!("/{bucket}/{prefix}"))?;
            for file in &files {
                match op {
                    Op::Save => wire.put(file, &mut buffer, Sums::new(spec)?)?,
                    Op::Restore => wire.get(file, &spec.target, &mut buffer, Sums::new(spec)?)?,
                    _ => return Err("the raw loop saves and restores only".into()),
                }
            }
            Ok(moved)
        }
        (Store::Dir(folder), op) => {
            let (from, to) = match op {
                Op::Save => (&spec.files, folder),
                Op::Restore => (folder, &spec.target),
                _ => return Err("the raw loop saves and restores only".into()),
            };
            for file in &files {
                copy(&from.join(&file.name), &to.join(&file.name), &mut buffer, Sums::new(spec)?)?;
            }
            Ok(moved)
        }
    }
}

/// Calls `each` with the file's bytes, block by block.
fn read(file: &File, size: u64, buffer: &mut [u8], mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
    let mut at = 0;
    while at < size {
        let most = usize::try_from(size - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        match file.read_at(&mut buffer[..most], at)? {
            0 => return Err("the file became shorter".into()),
            read => {
                each(&buffer[..read], at)?;
                at += read as u64;
            }
        }
    }
    Ok(())
}

fn create(path: &std::path::Path) -> Result<File> {
    fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
    File::create_new(path).context(path.display())
}

fn copy(from: &std::path::Path, to: &std::path::Path, buffer: &mut [u8], mut sums: Sums) -> Result<()> {
    let source = File::open(from).context(from.display())?;
    let target = create(to)?;
    read(&source, source.metadata()?.len(), buffer, |bytes, at| {
        sums.update(bytes);
        Ok(target.write_all_at(bytes, at)?)
    })?;
    sums.finish();
    Ok(target.sync_all()?)
}

struct Wire {
    stream: TcpStream,
    base: String,
}

impl Wire {
    fn connect(endpoint: &str, base: &str) -> Result<Self> {
        let address = endpoint.strip_prefix("http://").ok_or("the raw loop speaks http only")?;
        let stream = TcpStream::connect(address).context(endpoint)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, base: base.to_owned() })
    }

    fn put(&mut self, file: &WorkFile, buffer: &mut [u8], mut sums: Sums) -> Result<()> {
        let source = File::open(&file.path).context(file.path.display())?;
        let head =
            format!("PUT {}/{} HTTP/1.1\r\nHost: sink\r\nContent-Length: {}\r\n\r\n", self.base, file.name, file.size);
        self.stream.write_all(head.as_bytes())?;
        read(&source, file.size, buffer, |bytes, _| {
            sums.update(bytes);
            Ok(self.stream.write_all(bytes)?)
        })?;
        sums.finish();
        let (_, length) = self.answer(buffer)?;
        if length == 0 { Ok(()) } else { Err("an answer to a PUT with a body".into()) }
    }

    fn get(&mut self, file: &WorkFile, target: &std::path::Path, buffer: &mut [u8], mut sums: Sums) -> Result<()> {
        let target = create(&target.join(&file.name))?;
        write!(self.stream, "GET {}/{} HTTP/1.1\r\nHost: sink\r\n\r\n", self.base, file.name)?;
        let (there, length) = self.answer(buffer)?;
        if length != file.size {
            return Err(format!("{}: {length} bytes came, not {}", file.name, file.size).into());
        }
        let (mut filled, mut at) = (there, 0);
        loop {
            let left = usize::try_from(length - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            while filled < left {
                match self.stream.read(&mut buffer[filled..left])? {
                    0 => return Err("the answer broke off".into()),
                    read => filled += read,
                }
            }
            if left == 0 {
                break;
            }
            sums.update(&buffer[..left]);
            target.write_all_at(&buffer[..left], at)?;
            (at, filled) = (at + left as u64, 0);
        }
        sums.finish();
        Ok(target.sync_all()?)
    }

    /// Reads an answer's head; gives how many bytes of its body are at the start of the buffer, and how long it is.
    fn answer(&mut self, buffer: &mut [u8]) -> Result<(usize, u64)> {
        let mut filled = 0;
        loop {
            match self.stream.read(&mut buffer[filled..])? {
                0 => return Err("the sink hung up".into()),
                read => filled += read,
            }
            let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(format!("the sink answers {}", head.lines().next().unwrap_or_default()).into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.and_then(|length| length.parse().ok()).ok_or("an answer without a length")?;
            buffer.copy_within(end + 4..filled, 0);
            return Ok((filled - end - 4, length));
        }
    }
}
