//! Reading the files of a save.

use bytes::Bytes;
use milepost_core::{Crc64Nvme, DigestHasher, FileRecord, FileSetKind};
use milepost_store::{Error, ErrorKind, FileEntry, FileFailure, Result, SaveOptions};

use super::{Content, Flaw};

/// What is read of one file: the bytes as planned, or why not.
fn read(file: &FileEntry, kind: FileSetKind, flaw: Flaw) -> std::io::Result<Bytes> {
    let open = file.source.open()?;
    let (mut len, version) = (file.len.unwrap_or(open.len()?) as usize, open.version()?);
    if (open.len()? as usize) < len {
        return Err(std::io::Error::other("is shorter than the broker says"));
    }
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        let count = open.read_at(&mut bytes[at..], at as u64)?;
        if count == 0 {
            return Err(std::io::Error::other(format!("ends at {at}, {len} bytes were planned")));
        }
        at += count;
        if flaw == Flaw::SavesWhatIsThere && at == len {
            len = open.len()? as usize;
            bytes.resize(len, b'+');
            break;
        }
    }
    if kind == FileSetKind::Snapshots && open.version()? != version && flaw != Flaw::IgnoresVersions {
        return Err(std::io::Error::other("changed while it was read"));
    }
    Ok(bytes.into())
}

pub(super) fn read_all(
    files: Vec<(FileSetKind, FileEntry)>,
    options: &SaveOptions,
    flaw: Flaw,
) -> Result<Vec<Content>> {
    let (mut contents, mut failures) = (Vec::new(), Vec::new());
    for (kind, file) in files {
        match read(&file, kind, flaw) {
            Ok(bytes) => {
                let digest = options.digest.map(|algorithm| {
                    let mut hasher = DigestHasher::new(algorithm);
                    hasher.update(&bytes);
                    hasher.finish()
                });
                let (size, crc64nvme) = (bytes.len() as u64, Crc64Nvme::of(&bytes));
                contents.push((kind, FileRecord { name: file.name, size, crc64nvme, digest }, bytes));
            }
            Err(error) => {
                failures.push(FileFailure { file: format!("{kind}/{}", file.name), reason: error.to_string() });
            }
        }
    }
    if flaw == Flaw::NamesOneFailure {
        failures.truncate(1);
    }
    if failures.is_empty() {
        return Ok(contents);
    }
    let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Err(Error::new(ErrorKind::Source { files: failures }, text))
}
