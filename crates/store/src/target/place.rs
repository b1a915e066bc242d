//! Where a target is, and what is found there.

use std::io;
use std::path::{Path, PathBuf};

use milepost_core::{FileSetKind, checksum};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::documents::{self, Binding, Found, Marker};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Dir;

/// The marker, in a restored target and in staging that is ready.
pub(super) const MARKER: &str = ".milepost.json";
/// The staging folder inside an existing target.
pub(super) const INNER_STAGING: &str = ".milepost-restore";
/// The binding, in a staging folder.
pub(super) const BINDING: &str = ".milepost-binding.json";
/// What the binding and the marker are written as before their rename.
pub(super) const TEMPORARY: &str = ".milepost-new";
/// What file systems put into their root.
const LOST_FOUND: &str = "lost+found";
/// Linux's limit of a name, less room for nothing: file systems with less answer `NameTooLong`.
const MAX_ENTRY_NAME: usize = 255;

/// A target's folder and the one around it, held open.
pub(super) struct Place {
    /// As the operator named it.
    pub(super) path: PathBuf,
    /// `None` for a path that names no entry of a folder, as `.` and `/`.
    pub(super) parent: Option<Parent>,
    /// `None` where the target is absent.
    pub(super) target: Option<Dir>,
}

/// The folder around a target.
pub(super) struct Parent {
    pub(super) dir: Dir,
    /// The target's own name.
    pub(super) name: String,
    /// The name of the staging beside it.
    pub(super) staging: String,
}

/// What a staging folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Made, but a kill came before its binding.
    Empty,
    /// Ours.
    Bound {
        /// Of what.
        binding: Binding,
        /// Does it hold the marker? Then every file was there and synced, and renames may have begun.
        ready: bool,
    },
    /// No Milepost made it.
    Foreign,
}

impl Stage {
    pub(super) fn binding(&self) -> Option<Binding> {
        match self {
            Self::Bound { binding, .. } => Some(binding.clone()),
            Self::Empty | Self::Foreign => None,
        }
    }
}

/// What lies beside an absent target.
pub(super) enum Beside {
    Nothing,
    Ours(Stage),
}

/// What an existing target holds.
pub(super) enum Content {
    Restored(Marker),
    Empty,
    Staged {
        stage: Stage,
        /// The sets that were renamed out of the staging already.
        moved: Vec<FileSetKind>,
    },
}

/// Of one target and name always the same, so that the next run finds it; short enough for an entry.
fn staging_name(name: &str) -> String {
    let full = format!(".{name}.milepost-restore");
    if full.len() <= MAX_ENTRY_NAME {
        return full;
    }
    let hash = checksum::sha256_hex(name.as_bytes());
    format!(".{}.milepost-restore", &hash[..32])
}

impl Place {
    pub(super) fn locate(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return Err(Error::invalid_input("the target's path is empty"));
        }
        let missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let Some(name) = path.file_name() else {
            let dir = Dir::open_root(path).map_err(|error| match missing(&error) {
                true => Error::invalid_input(format!("the target {shown} does not exist")),
                false => failed(path, "cannot open", error),
            })?;
            return Ok(Self { path: path.to_owned(), parent: None, target: Some(dir) });
        };
        let name = name.to_str().ok_or_else(|| {
            Error::invalid_input(format!("the target's name {shown} is not UTF-8")).with_hint("choose another name")
        })?;
        let around = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let dir = Dir::open_root(around).map_err(|error| match missing(&error) {
            true => Error::invalid_input(format!("the folder {} around the target does not exist", around.display()))
                .with_hint("make it first, or mount the volume that it is on"),
            false => failed(around, "cannot open", error),
        })?;
        let target = match dir.stat(name) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Some(dir.open_dir(name).map_err(|error| failed(path, "cannot open", error))?),
                FileType::Symlink => {
                    return Err(Error::invalid_input(format!("the target {shown} is a symbolic link"))
                        .with_hint("name the folder that it points to"));
                }
                _ => {
                    return Err(Error::new(ErrorKind::TargetNotEmpty, format!("the target {shown} is not a folder")));
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NAMETOOLONG) => {
                return Err(Error::invalid_input(format!("the target's name {shown} is too long")));
            }
            Err(error) => return Err(failed(path, "cannot look at", error)),
        };
        let parent = Parent { dir, name: name.to_owned(), staging: staging_name(name) };
        Ok(Self { path: path.to_owned(), parent: Some(parent), target })
    }

    /// An error of the file system at this target.
    pub(super) fn failed(&self, doing: &str, error: io::Error) -> Error {
        failed(&self.path, doing, error)
    }

    /// What the entry `name` of `around` is as staging; `None`: there is none.
    pub(super) fn stage_at(&self, around: &Dir, name: &str) -> Result<Option<Stage>> {
        let look = || -> io::Result<Option<Stage>> {
            match around.stat(name) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) => return Ok(Some(Stage::Foreign)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
            stage_of(&around.open_dir(name)?).map(Some)
        };
        look().map_err(|error| self.failed("cannot look at the staging of", error))
    }

    /// The staging beside an absent target.
    pub(super) fn look_beside(&self) -> Result<Beside> {
        let Some(parent) = &self.parent else { return Ok(Beside::Nothing) };
        match self.stage_at(&parent.dir, &parent.staging)? {
            None => Ok(Beside::Nothing),
            Some(Stage::Foreign) => Err(self.foreign_staging(&parent.staging)),
            Some(stage) => Ok(Beside::Ours(stage)),
        }
    }

    pub(super) fn foreign_staging(&self, name: &str) -> Error {
        Error::new(
            ErrorKind::TargetNotEmpty,
            format!("{name} beside the target {} is in the way and was not made by a restore", self.path.display()),
        )
        .with_hint("move it away")
    }

    /// What an existing target holds.
    pub(super) fn judge(&self, dir: &Dir) -> Result<Content> {
        let at = |error| self.failed("cannot read", error);
        match documents::read::<Marker>(dir, MARKER).map_err(at)? {
            Found::Valid(marker) => return Ok(Content::Restored(marker)),
            Found::Newer(version) => {
                return Err(Error::refused(format!(
                    "the target {} was restored by a newer Milepost (marker of format version {version})",
                    self.path.display()
                ))
                .with_hint("use that version, or another target"));
            }
            Found::Nothing | Found::Foreign => {}
        }
        let stage = self.stage_at(dir, INNER_STAGING)?;
        let mut moved = Vec::new();
        let mut strangers = Vec::new();
        for entry in dir.entries().map_err(at)? {
            let is_folder = entry.kind == FileType::Directory;
            let name = entry.name.to_str();
            match (name, &stage) {
                (Some(LOST_FOUND), _) if is_folder => continue,
                (Some(INNER_STAGING), Some(Stage::Empty | Stage::Bound { .. })) => continue,
                _ => {}
            }
            let set = FileSetKind::ALL.into_iter().find(|kind| name == Some(kind.folder()) && is_folder);
            match (set, &stage) {
                (Some(kind), Some(Stage::Bound { ready: true, .. })) => {
                    let staged = dir.walk([INNER_STAGING]).and_then(|staging| staging.stat(kind.folder()));
                    match staged {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => moved.push(kind),
                        Err(error) => return Err(at(error)),
                        // Staging still has its own: the one in the target is somebody else's.
                        Ok(_) => strangers.push(entry.name.to_string_lossy().into_owned()),
                    }
                }
                _ => strangers.push(entry.name.to_string_lossy().into_owned()),
            }
        }
        if !strangers.is_empty() {
            return Err(not_empty(&self.path, strangers));
        }
        Ok(match stage {
            Some(stage @ (Stage::Empty | Stage::Bound { .. })) => Content::Staged { stage, moved },
            Some(Stage::Foreign) | None => Content::Empty,
        })
    }
}

/// What an open folder is as staging.
pub(super) fn stage_of(dir: &Dir) -> io::Result<Stage> {
    let marker = documents::read::<Marker>(dir, MARKER)?;
    if let Found::Valid(binding) = documents::read::<Binding>(dir, BINDING)? {
        let ready = matches!(marker, Found::Valid(marker) if marker.binding() == binding);
        return Ok(Stage::Bound { binding, ready });
    }
    // The binding goes before the rename of the whole folder; the marker stands for it then.
    if let Found::Valid(marker) = marker {
        return Ok(Stage::Bound { binding: marker.binding(), ready: true });
    }
    let ours = dir.entries()?.iter().all(|entry| entry.name == TEMPORARY && entry.kind == FileType::RegularFile);
    Ok(if ours { Stage::Empty } else { Stage::Foreign })
}

/// The target holds something that no restore put there.
pub(super) fn not_empty(path: &Path, mut entries: Vec<String>) -> Error {
    const NAMED: usize = 5;
    entries.sort();
    let more = entries.len().saturating_sub(NAMED);
    let named = entries
        .iter()
        .take(NAMED)
        .map(|name| milepost_core::document::cut(&name.chars().flat_map(char::escape_debug).collect::<String>(), 120))
        .collect::<Vec<_>>()
        .join(", ");
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::new(ErrorKind::TargetNotEmpty, format!("the target {} is not empty: {named}{rest}", path.display()))
        .with_hint("restore into an absent or empty folder; nothing was touched")
}

/// An error of the file system at `path`.
pub(super) fn failed(path: &Path, doing: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space or raise the quota; the next run continues where this one stopped")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only"),
        io::ErrorKind::PermissionDenied => Some("run as the user who owns the folder, or change its permissions"),
        io::ErrorKind::InvalidFilename => Some("this file system does not take the name"),
        io::ErrorKind::NotADirectory => Some("something that is not a folder is where a folder belongs"),
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Some("a symbolic link is where a file or folder belongs; links are never followed")
        }
        _ => None,
    };
    let failed = Error::new(ErrorKind::Target, format!("{doing} {}: {error}", path.display())).with_source(error);
    match hint {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    }
}
