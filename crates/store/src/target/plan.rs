//! Which files a restore puts where.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use milepost_core::document::MAX_FILES;
use milepost_core::{FileName, FileSetKind, MetadataDocument};

use crate::error::{Error, Result};

/// One file to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedFile {
    /// Its set.
    pub kind: FileSetKind,
    /// Its name below the set's folder.
    pub name: FileName,
    /// Its length in bytes.
    pub size: u64,
}

/// All files of a restore: the target holds exactly these in the end.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    files: Vec<PlannedFile>,
    by_name: [HashMap<FileName, usize>; 2],
    /// All folders below a set's own, parents before children.
    folders: [BTreeSet<String>; 2],
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// The place of a set in an array that is in the order of [`FileSetKind::ALL`].
pub(super) const fn slot(kind: FileSetKind) -> usize {
    match kind {
        FileSetKind::Snapshots => 0,
        FileSetKind::Segments => 1,
    }
}

impl Plan {
    /// Takes at most 300,000 files whose names can live side by side (as a parsed metadata document has checked).
    ///
    /// # Errors
    /// InvalidInput for more files, a repeated name, or a name that is a folder of another.
    pub(crate) fn new(files: Vec<PlannedFile>) -> Result<Self> {
        if files.len() > MAX_FILES {
            return Err(Error::invalid_input(format!("{} files are more than {MAX_FILES}", files.len())));
        }
        let mut plan = Self::default();
        for (at, file) in files.iter().enumerate() {
            if plan.by_name[slot(file.kind)].insert(file.name.clone(), at).is_some() {
                return Err(Error::invalid_input(format!("{}/{} is named twice", file.kind, file.name)));
            }
            let name = file.name.as_str();
            let folders = &mut plan.folders[slot(file.kind)];
            // From the deepest folder up: one that is known has all of its parents in already.
            for (end, _) in name.rmatch_indices('/') {
                if !folders.insert(name[..end].to_owned()) {
                    break;
                }
            }
        }
        for kind in FileSetKind::ALL {
            if let Some(name) = plan.folders(kind).find(|folder| plan.by_name[slot(kind)].contains_key(*folder)) {
                return Err(Error::invalid_input(format!("{kind}/{name} is a file and a folder")));
            }
        }
        plan.files = files;
        Ok(plan)
    }

    /// The files that a metadata document names.
    ///
    /// # Errors
    /// As [`Plan::new`]; none for a document that was parsed.
    pub(crate) fn of(document: &MetadataDocument) -> Result<Self> {
        Self::new(
            document
                .all_files()
                .map(|(kind, file)| PlannedFile { kind, name: file.name.clone(), size: file.size })
                .collect(),
        )
    }

    /// The files, in the order given.
    pub(crate) fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// The place of a file in [`Plan::files`].
    pub(crate) fn find(&self, kind: FileSetKind, name: &str) -> Option<usize> {
        self.by_name[slot(kind)].get(name).copied()
    }

    /// Is it a folder of the set?
    pub(super) fn has_folder(&self, kind: FileSetKind, name: &str) -> bool {
        self.folders[slot(kind)].contains(name)
    }

    /// The folders below a set's own, parents before children.
    pub(super) fn folders(&self, kind: FileSetKind) -> impl Iterator<Item = &str> {
        self.folders[slot(kind)].iter().map(String::as_str)
    }

    /// The first file with a component that is longer than a file system takes.
    pub(super) fn too_long(&self, name_max: usize) -> Option<&PlannedFile> {
        self.files.iter().find(|file| file.name.components().any(|component| component.len() > name_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PlannedFile {
        PlannedFile { kind: FileSetKind::Segments, name: FileName::new(name).unwrap(), size: 1 }
    }

    #[test]
    fn folders_come_parents_first_and_only_from_their_set() {
        let plan = Plan::new(vec![file("a/b/c"), file("a/d"), file("a/b/e"), file("f")]).unwrap();
        assert_eq!(plan.folders(FileSetKind::Segments).collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(plan.folders(FileSetKind::Snapshots).count(), 0);
        assert_eq!(plan.find(FileSetKind::Segments, "a/d"), Some(1));
        assert_eq!(plan.find(FileSetKind::Snapshots, "a/d"), None);
        assert!(plan.has_folder(FileSetKind::Segments, "a/b") && !plan.has_folder(FileSetKind::Segments, "a/d"));
        assert_eq!(plan.too_long(1), None);
        assert_eq!(Plan::new(vec![file("a/bcd")]).unwrap().too_long(2).unwrap().name.as_str(), "a/bcd");
    }

    #[test]
    fn names_that_cannot_live_side_by_side_are_refused() {
        assert!(Plan::new(vec![file("a"), file("a")]).is_err());
        assert!(Plan::new(vec![file("a"), file("a/b")]).is_err());
    }
}
