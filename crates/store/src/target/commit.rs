//! The last step of a restore: what is staged becomes the target.

use std::io;
use std::sync::atomic::Ordering;

use milepost_core::FileSetKind;

use super::place::{self, BINDING, INNER_STAGING, MARKER, TEMPORARY};
use super::staging::{DOCUMENT_MODE, Inner, PARTS, Scanned, Shape, Staging, scan, utf8};
use super::{Marker, documents};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Dir;
use crate::fs::crash::point;

impl Staging {
    /// Turns staging into the restored target, marker included, and makes it last. Call [`Staging::sync_folders`] before.
    /// Killed anywhere inside, the target is as it was, unfinished, or restored whole; the next run goes on.
    ///
    /// # Errors
    /// Internal where a file is not done or the marker is of another binding; TargetNotEmpty where something that the plan
    /// does not name appeared in staging or in the target meanwhile; Target.
    pub(crate) fn commit(&self, marker: &Marker) -> Result<()> {
        let inner = &*self.0;
        if marker.binding() != inner.binding {
            return Err(Error::new(ErrorKind::Internal, "the marker is of another restore"));
        }
        inner.check_files()?;
        match &inner.shape {
            Shape::Beside { parent, name, staging } => inner.commit_beside(parent, name, staging, marker),
            Shape::Inside { target, moved } => inner.commit_inside(target, *moved, marker),
        }
    }
}

impl Inner {
    /// Exactly the planned files must be there: the folder that a broker gets holds nothing else.
    fn check_files(&self) -> Result<()> {
        let open = self.done.iter().filter(|done| !done.load(Ordering::Acquire)).count();
        if open > 0 {
            return Err(Error::new(ErrorKind::Internal, format!("{open} files are not restored")));
        }
        let (mut there, mut surplus) = (0, Vec::new());
        for (kind, set) in FileSetKind::ALL.into_iter().zip(&self.sets) {
            scan(set, kind, "", &self.plan, &mut |found| {
                match found {
                    Scanned::Planned(_) => there += 1,
                    Scanned::Surplus { name, .. } => surplus.push(format!("{kind}/{name}")),
                }
                Ok(())
            })
            .map_err(|error| self.failed("cannot read", error))?;
        }
        if !surplus.is_empty() {
            return Err(place::not_empty(&self.path, surplus));
        }
        if there < self.plan.files().len() {
            let gone = self.plan.files().len() - there;
            let message = format!("{gone} staged files vanished from {} during the restore", self.path.display());
            return Err(Error::new(ErrorKind::Target, message).with_hint("keep others out of the folder; run again"));
        }
        Ok(())
    }

    fn write_marker(&self, marker: &Marker) -> io::Result<()> {
        point()?;
        self.dir.remove_all(PARTS)?;
        self.dir.replace_file(MARKER, TEMPORARY, DOCUMENT_MODE, &documents::encode(marker)?)?;
        self.dir.sync()
    }

    fn commit_beside(&self, parent: &Dir, name: &str, staging: &str, marker: &Marker) -> Result<()> {
        let at = |error| self.failed("cannot finish", error);
        self.write_marker(marker).map_err(at)?;
        // The binding must not be part of the target; from here on the marker says whose the staging is.
        self.dir.remove_if_there(BINDING).map_err(at)?;
        self.dir.sync().map_err(at)?;
        self.only(&[MARKER])?;
        point().map_err(at)?;
        parent.rename_new(staging, parent, name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let message = format!("the target {} appeared during the restore", self.path.display());
                Error::new(ErrorKind::TargetNotEmpty, message).with_hint("move it away and run again")
            }
            _ => at(error),
        })?;
        point().map_err(at)?;
        parent.sync().map_err(at)
    }

    fn commit_inside(&self, target: &Dir, moved: [bool; 2], marker: &Marker) -> Result<()> {
        let at = |error| self.failed("cannot finish", error);
        // Before the first rename: it is what makes the sets in the target known as ours.
        self.write_marker(marker).map_err(at)?;
        self.only(&[MARKER, BINDING])?;
        let strange = |name: &'static str| {
            move |error: io::Error| match error.kind() {
                io::ErrorKind::AlreadyExists => place::not_empty(&self.path, vec![name.to_owned()]),
                _ => at(error),
            }
        };
        for (kind, moved) in FileSetKind::ALL.into_iter().zip(moved) {
            if !moved {
                point().map_err(at)?;
                self.dir.rename_new(kind.folder(), target, kind.folder()).map_err(strange(kind.folder()))?;
            }
        }
        // Both sets have their place for good before the marker says so.
        point().and_then(|()| target.sync()).and_then(|()| self.dir.sync()).map_err(at)?;
        point().map_err(at)?;
        self.dir.rename_new(MARKER, target, MARKER).map_err(strange(MARKER))?;
        point().and_then(|()| target.sync()).map_err(at)?;
        // The restore is done; staging that stays is removed by whoever comes next.
        if let Err(error) = remove_staging(target, INNER_STAGING) {
            tracing::warn!(target_folder = %self.path.display(), %error, "cannot remove the staging folder of a finished restore");
        }
        Ok(())
    }

    /// Nothing but the sets and `allowed` may be in the staging folder.
    fn only(&self, allowed: &[&str]) -> Result<()> {
        let at = |error| self.failed("cannot read", error);
        let mut strangers = Vec::new();
        for entry in self.dir.entries().map_err(at)? {
            let known = entry.name.to_str().is_some_and(|name| {
                allowed.contains(&name) || FileSetKind::ALL.iter().any(|kind| kind.folder() == name)
            });
            if !known {
                strangers.push(entry.name.to_string_lossy().into_owned());
            }
        }
        if strangers.is_empty() { Ok(()) } else { Err(place::not_empty(&self.path, strangers)) }
    }
}

/// Removes a staging folder of ours: what says that it is ours goes last.
pub(super) fn remove_staging(around: &Dir, name: &str) -> io::Result<()> {
    let dir = match around.open_dir(name) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in dir.entries()? {
        if entry.name != BINDING && entry.name != MARKER {
            point()?;
            dir.remove_all(utf8(&entry.name)?)?;
        }
    }
    for document in [MARKER, BINDING] {
        point()?;
        dir.remove_if_there(document)?;
    }
    point()?;
    match around.remove_dir(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    around.sync()
}
