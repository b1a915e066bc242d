//! Staging: where files wait until all of them are there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use milepost_core::FileSetKind;
use rustix::fs::FileType;
use rustix::io::Errno;
use tokio::time::Instant;

use super::documents;
use super::place::{self, BINDING, Content, INNER_STAGING, MARKER, Place, Stage, TEMPORARY};
use super::plan::Plan;
use super::space::{self, Space};
use super::writer::{FileWriter, StagedFile};
use super::{Binding, Marker};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::crash::point;
use crate::fs::{Dir, Locked};

/// Files that are not verified yet, below staging.
pub(super) const PARTS: &str = "parts";
/// Documents are for everyone to read, less the umask, as the files beside them.
pub(super) const DOCUMENT_MODE: u32 = 0o644;

/// A restore under way, alone in its target. Cloning shares it; the lock goes with the last clone and the last writer.
#[derive(Debug, Clone)]
pub(crate) struct Staging(pub(super) Arc<Inner>);

/// How the staging becomes the target.
pub(super) enum Shape {
    /// By one rename inside `parent`.
    Beside { parent: Dir, name: String, staging: String },
    /// By renames into `target`. `moved`: sets that an earlier run renamed already, by [`FileSetKind::ALL`].
    Inside { target: Dir, moved: [bool; 2] },
}

pub(super) struct Inner {
    /// The target as the operator named it.
    pub(super) path: PathBuf,
    pub(super) binding: Binding,
    pub(super) plan: Plan,
    pub(super) shape: Shape,
    /// The staging folder.
    pub(super) dir: Dir,
    pub(super) parts: Dir,
    /// Where each set is now, by [`FileSetKind::ALL`].
    pub(super) sets: [Dir; 2],
    /// By place in the plan: verified, synced and under its final name.
    pub(super) done: Vec<AtomicBool>,
    /// Makes the name of each part its own.
    pub(super) tries: AtomicU64,
}

impl Staging {
    /// Locks the target, makes its staging or takes over what an earlier run of the same binding staged. Staging of another
    /// binding is emptied first; files that the plan does not name are removed from staging.
    ///
    /// # Errors
    /// As [`super::inspect`]; TargetNotEmpty also for a target that carries a marker, and for sets that were renamed in by a
    /// restore of another binding. Conflict: another process restores into this target. Refused: a name is too long
    /// for the file system, or nothing is staged yet and there is no room; then nothing was made. Target: it cannot be
    /// written. What was staged before stays.
    pub(crate) fn open(path: &Path, binding: &Binding, plan: Plan) -> Result<Self> {
        let place = Place::locate(path)?;
        space::of_a_fresh_one(&place, &plan)?;
        let inner = match &place.target {
            None => open_beside(&place, binding, plan)?,
            Some(target) => open_inside(&place, &target.clone(), binding, plan)?,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Files that are staged already, and their bytes.
    pub(crate) fn staged(&self) -> (u64, u64) {
        let done = self.0.plan.files().iter().zip(&self.0.done).filter(|(_, done)| done.load(Ordering::Acquire));
        done.fold((0, 0), |(files, bytes), (file, _)| (files + 1, bytes + file.size))
    }

    /// Compares what is not staged yet with the free space of the target's file system. To be asked before the first file.
    ///
    /// # Errors
    /// Refused, with both numbers; Target where the file system does not answer.
    pub(crate) fn check_space(&self) -> Result<Space> {
        let inner = &*self.0;
        let open = inner.plan.files().iter().zip(&inner.done).filter(|(_, done)| !done.load(Ordering::Acquire));
        space::compare(&inner.dir, &inner.path, open.map(|(file, _)| file), "what is staged already is kept")
    }

    /// Frees the target's lock: waits until nobody else holds this staging, up to `patience`. Writers that were given up end
    /// their last call on threads of their own; until then the lock is theirs.
    pub(crate) async fn let_go(self, patience: Duration) {
        let until = Instant::now() + patience;
        while Arc::strong_count(&self.0) > 1 {
            if Instant::now() >= until {
                tracing::warn!(target_folder = %self.0.path.display(), "a call on a file hangs, and keeps the target locked");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Begins one file, or says that it is done. May be called for several files at once, from several threads.
    ///
    /// # Errors
    /// Internal for a file that the plan does not name; Target where the part or the folders of its name cannot be made,
    /// for a planted link too.
    pub(crate) fn file(&self, kind: FileSetKind, name: &str) -> Result<StagedFile> {
        let inner = &self.0;
        let at = inner.plan.find(kind, name).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("{kind}/{name} is not among the files of {}", inner.binding.id))
        })?;
        if inner.done[at].load(Ordering::Acquire) {
            return Ok(StagedFile::Done);
        }
        FileWriter::begin(inner, at).map(StagedFile::Fresh).map_err(|error| inner.failed_at(kind, name, error))
    }

    /// Is a file staged already? Asks nobody; a file that the plan does not name is not.
    pub(crate) fn is_done(&self, kind: FileSetKind, name: &str) -> bool {
        self.0.plan.find(kind, name).is_some_and(|at| self.0.done[at].load(Ordering::Acquire))
    }

    /// Makes the names of all staged files last: one sync for each folder. Call it once, when all files are done and before
    /// the status is read again.
    ///
    /// # Errors
    /// Target.
    pub(crate) fn sync_folders(&self) -> Result<()> {
        let inner = &*self.0;
        for (kind, set) in FileSetKind::ALL.into_iter().zip(&inner.sets) {
            for folder in inner.plan.folders(kind) {
                set.walk(folder.split('/'))
                    .and_then(|dir| dir.sync())
                    .map_err(|error| inner.failed_at(kind, folder, error))?;
            }
            set.sync().map_err(|error| inner.failed("cannot sync", error))?;
        }
        inner.dir.sync().map_err(|error| inner.failed("cannot sync the staging of", error))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("path", &self.path).field("id", &self.binding.id).finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn failed(&self, doing: &str, error: io::Error) -> Error {
        place::failed(&self.path, doing, error)
    }

    pub(super) fn failed_at(&self, kind: FileSetKind, name: &str, error: io::Error) -> Error {
        place::failed(&self.path.join(kind.folder()).join(name), "cannot write", error)
    }
}

fn lock(place: &Place, dir: &Dir) -> Result<()> {
    match dir.try_lock().map_err(|error| place.failed("cannot lock", error))? {
        Locked::Yes => Ok(()),
        Locked::Busy => Err(busy(place)),
        Locked::Unsupported => {
            // Files are still safe: each part has one writer, and moves only while it is the file that was written.
            tracing::warn!(target_folder = %place.path.display(), "the file system cannot lock folders; run one restore at a time");
            Ok(())
        }
    }
}

fn busy(place: &Place) -> Error {
    let message = format!("another process is restoring into {}", place.path.display());
    Error::new(ErrorKind::Conflict { owner: None }, message).with_hint("wait until it ends, then run again")
}

fn open_beside(place: &Place, binding: &Binding, plan: Plan) -> Result<Inner> {
    let at = |error| place.failed("cannot make the staging of", error);
    let Some(parent) = &place.parent else {
        return Err(Error::invalid_input(format!("the target {} does not exist", place.path.display())));
    };
    check_names(&parent.dir, &plan, place)?;
    let (dir, made) = make_staging(place, &parent.dir, &parent.staging)?;
    lock(place, &dir)?;
    // Between opening and locking, its owner may have finished: the folder that is locked now is a restored target.
    if !parent.dir.holds(&parent.staging, &dir).map_err(at)? {
        return Err(busy(place));
    }
    // Or before this one made a folder anew. What is left in it, `settle` removes.
    match parent.dir.stat(&parent.name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
        Ok(_) => {
            if made {
                parent.dir.remove_dir(&parent.staging).map_err(at)?;
            }
            return Err(busy(place));
        }
    }
    if made {
        parent.dir.sync().map_err(at)?;
    }
    let stage = place::stage_of(&dir).map_err(at)?;
    if stage == Stage::Foreign {
        return Err(place.foreign_staging(&parent.staging));
    }
    let shape =
        Shape::Beside { parent: parent.dir.clone(), name: parent.name.clone(), staging: parent.staging.clone() };
    prepare(place, dir, &stage, shape, binding, plan)
}

fn open_inside(place: &Place, target: &Dir, binding: &Binding, plan: Plan) -> Result<Inner> {
    lock(place, target)?;
    let (stage, moved) = match place.judge(target)? {
        Content::Restored(Marker { id, restored_at, .. }) => {
            let message = format!("the target {} holds {id:?}, restored at {restored_at}", place.path.display());
            return Err(Error::new(ErrorKind::TargetNotEmpty, message).with_hint("restore into another folder"));
        }
        Content::Empty => (Stage::Empty, Vec::new()),
        Content::Staged { stage, moved } => (stage, moved),
    };
    if let (Some(bound), false) = (stage.binding().filter(|bound| bound != binding), moved.is_empty()) {
        // Nobody can tell whether a broker has written to these sets since.
        let message = format!(
            "the target {} holds files of {:?}, whose restore was killed in its last step",
            place.path.display(),
            bound.id
        );
        return Err(Error::new(ErrorKind::TargetNotEmpty, message)
            .with_hint(format!("restore {} again to finish it, or empty the folder", bound.id)));
    }
    check_names(target, &plan, place)?;
    drop_orphan(place);
    let (dir, made) = make_staging(place, target, INNER_STAGING)?;
    if made {
        target.sync().map_err(|error| place.failed("cannot sync", error))?;
    }
    let shape = Shape::Inside { target: target.clone(), moved: FileSetKind::ALL.map(|kind| moved.contains(&kind)) };
    prepare(place, dir, &stage, shape, binding, plan)
}

fn make_staging(place: &Place, around: &Dir, name: &str) -> Result<(Dir, bool)> {
    point().and_then(|()| around.make_dir(name)).map_err(|error| match Errno::from_io_error(&error) {
        // A file or a link of that name.
        Some(Errno::NOTDIR | Errno::LOOP) => place.foreign_staging(name),
        _ => place.failed("cannot make the staging of", error),
    })
}

/// The target was absent when an earlier run began, and is there now: that run's staging beside it only takes room.
pub(super) fn drop_orphan(place: &Place) {
    let Some(parent) = &place.parent else { return };
    let removed = || -> io::Result<()> {
        if !matches!(place.stage_at(&parent.dir, &parent.staging), Ok(Some(Stage::Bound { .. } | Stage::Empty))) {
            return Ok(());
        }
        let dir = parent.dir.open_dir(&parent.staging)?;
        // Only what nobody works in, and only while that can be known.
        if dir.try_lock()? == Locked::Yes && parent.dir.holds(&parent.staging, &dir)? {
            super::commit::remove_staging(&parent.dir, &parent.staging)?;
        }
        Ok(())
    };
    if let Err(error) = removed() {
        tracing::warn!(staging = %parent.staging, %error, "cannot remove staging that no restore needs any more");
    }
}

fn check_names(dir: &Dir, plan: &Plan, place: &Place) -> Result<()> {
    let name_max = dir.name_max().map_err(|error| place.failed("cannot ask for the limits of", error))?;
    match plan.too_long(name_max) {
        None => Ok(()),
        Some(file) => Err(Error::refused(format!(
            "{}/{} has a component longer than the {name_max} bytes that the file system of {} takes",
            file.kind,
            file.name,
            place.path.display()
        ))
        .with_hint("restore to another file system")),
    }
}

/// Makes a locked staging folder ready for files of `binding`.
fn prepare(place: &Place, dir: Dir, stage: &Stage, shape: Shape, binding: &Binding, plan: Plan) -> Result<Inner> {
    let at = |error| place.failed("cannot prepare the staging of", error);
    let moved = match &shape {
        Shape::Beside { .. } => [false; 2],
        Shape::Inside { moved, .. } => *moved,
    };
    bind(&dir, stage, moved, binding).map_err(at)?;
    let make = || -> io::Result<(Dir, [Dir; 2])> {
        point()?;
        let parts = dir.make_dir(PARTS)?.0;
        let set = |kind: FileSetKind, moved: bool| match &shape {
            Shape::Inside { target, .. } if moved => target.open_dir(kind.folder()),
            _ => point().and_then(|()| dir.make_dir(kind.folder())).map(|(set, _)| set),
        };
        let sets = [set(FileSetKind::Snapshots, moved[0])?, set(FileSetKind::Segments, moved[1])?];
        dir.sync()?;
        Ok((parts, sets))
    };
    let (parts, sets) = make().map_err(at)?;
    let done: Vec<AtomicBool> = plan.files().iter().map(|_| AtomicBool::new(false)).collect();
    for ((kind, set), moved) in FileSetKind::ALL.into_iter().zip(&sets).zip(moved) {
        let mut surplus = Vec::new();
        scan(set, kind, "", &plan, &mut |found| match found {
            Scanned::Planned(at) => {
                done[at].store(true, Ordering::Release);
                Ok(())
            }
            // Of a set in the target, nothing is removed: it is named instead.
            Scanned::Surplus { name, .. } if moved => {
                surplus.push(format!("{kind}/{name}"));
                Ok(())
            }
            Scanned::Surplus { dir, entry, .. } => point().and_then(|()| dir.remove_all(entry)),
        })
        .map_err(at)?;
        if !surplus.is_empty() {
            return Err(place::not_empty(&place.path, surplus));
        }
    }
    Ok(Inner {
        path: place.path.clone(),
        binding: binding.clone(),
        plan,
        shape,
        dir,
        parts,
        sets,
        done,
        tries: AtomicU64::new(0),
    })
}

/// Writes the binding, after everything of another one was removed. At each moment the folder is empty or says whose it is.
fn bind(dir: &Dir, stage: &Stage, moved: [bool; 2], binding: &Binding) -> io::Result<()> {
    let same = stage.binding().as_ref() == Some(binding);
    let is_set = |name: &str| FileSetKind::ALL.iter().any(|kind| kind.folder() == name);
    for entry in dir.entries()? {
        let name = utf8(&entry.name)?;
        let keep = match name {
            BINDING | MARKER => true,
            // A link in place of a set goes; it is not followed.
            _ => same && is_set(name) && entry.kind == FileType::Directory,
        };
        if !keep {
            point()?;
            dir.remove_all(name)?;
        }
    }
    if documents::read::<Binding>(dir, BINDING)? != documents::Found::Valid(binding.clone()) {
        dir.replace_file(BINDING, TEMPORARY, DOCUMENT_MODE, &documents::encode(binding)?)?;
    }
    dir.sync()?;
    // It says that renames may have begun; unless they have, that is not so any more.
    if moved == [false; 2] {
        point()?;
        dir.remove_all(MARKER)?;
    }
    Ok(())
}

pub(super) fn utf8(name: &std::ffi::OsStr) -> io::Result<&str> {
    name.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} is a name that is not UTF-8; remove it by hand"))
    })
}

/// One entry of a set.
pub(super) enum Scanned<'a> {
    /// A regular file of the plan with the planned length.
    Planned(usize),
    /// Anything else, with the folder that it is in. Its insides are not visited.
    Surplus { dir: &'a Dir, entry: &'a str, name: &'a str },
}

/// Visits a set. Goes down into planned folders only, so its depth is that of the longest planned name.
pub(super) fn scan(
    dir: &Dir,
    kind: FileSetKind,
    prefix: &str,
    plan: &Plan,
    visit: &mut dyn FnMut(Scanned<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry_name = utf8(&entry.name)?;
        let name = if prefix.is_empty() { entry_name.to_owned() } else { format!("{prefix}/{entry_name}") };
        match entry.kind {
            FileType::Directory if plan.has_folder(kind, &name) => {
                scan(&dir.open_dir(entry_name)?, kind, &name, plan, visit)?;
                continue;
            }
            FileType::RegularFile => {
                if let Some(at) = plan.find(kind, &name)
                    && u64::try_from(dir.stat(entry_name)?.st_size).ok() == Some(plan.files()[at].size)
                {
                    visit(Scanned::Planned(at))?;
                    continue;
                }
            }
            _ => {}
        }
        visit(Scanned::Surplus { dir, entry: entry_name, name: &name })?;
    }
    Ok(())
}
