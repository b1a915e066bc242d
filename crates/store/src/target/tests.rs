//! What a restore does to a target, and what it refuses. [`Fixture`] is shared with the crash tests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_core::{BackupId, ClusterId, FileName, FileSetKind};

use super::place::{BINDING, INNER_STAGING, MARKER};
use super::plan::PlannedFile;
use super::staging::PARTS;
use super::*;
use crate::error::{Error, ErrorKind};

pub(super) struct Fixture {
    root: tempfile::TempDir,
    pub(super) target: PathBuf,
}

pub(super) const FILES: [(FileSetKind, &str, &str); 5] = [
    (FileSetKind::Snapshots, "1.sst", "one"),
    (FileSetKind::Snapshots, "col/2.sst", "two and two"),
    (FileSetKind::Segments, "empty.log", ""),
    (FileSetKind::Segments, "x/y/z.log", "deep"),
    (FileSetKind::Segments, "x/w.log", "less deep"),
];

pub(super) fn plan_of(files: &[(FileSetKind, &str, &str)]) -> Plan {
    let planned = files.iter().map(|(kind, name, bytes)| PlannedFile {
        kind: *kind,
        name: FileName::new(*name).unwrap(),
        size: bytes.len() as u64,
    });
    Plan::new(planned.collect()).unwrap()
}

pub(super) fn binding() -> Binding {
    Binding::new(BackupId::new(1, 100, 2), "ab".repeat(32))
}

pub(super) fn other_binding() -> Binding {
    Binding::new(BackupId::new(1, 200, 2), "cd".repeat(32))
}

pub(super) fn marker(binding: &Binding) -> Marker {
    Marker::new(binding, Some(ClusterId::new("c").unwrap()), "2026-11-21T10:00:00Z".parse().unwrap())
}

fn write(staging: &Staging, kind: FileSetKind, name: &str, bytes: &str) -> Result<bool> {
    match staging.file(kind, name)? {
        StagedFile::Done => Ok(false),
        StagedFile::Fresh(writer) => {
            let (head, tail) = bytes.as_bytes().split_at(bytes.len() / 2);
            writer.write_at(tail, head.len() as u64)?;
            writer.write_at(head, 0)?;
            writer.finish()?;
            Ok(true)
        }
    }
}

impl Fixture {
    /// `existing`: an empty target is there, with the folder that file systems put into their root.
    pub(super) fn new(existing: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("p1");
        if existing {
            fs::create_dir_all(target.join("lost+found")).unwrap();
        }
        Self { root, target }
    }

    pub(super) fn open(&self) -> Result<Staging> {
        Staging::open(&self.target, &binding(), plan_of(&FILES))
    }

    /// What the engine does. Gives the number of files that were fetched.
    pub(super) fn restore(&self, binding: &Binding, files: &[(FileSetKind, &str, &str)]) -> Result<u64> {
        if let TargetState::Restored(marker) = inspect(&self.target)?
            && marker.binding() == *binding
        {
            settle(&self.target)?;
            return Ok(0);
        }
        let staging = Staging::open(&self.target, binding, plan_of(files))?;
        staging.check_space()?;
        let mut fetched = 0;
        for (kind, name, bytes) in files {
            fetched += u64::from(write(&staging, *kind, name, bytes)?);
        }
        staging.sync_folders()?;
        staging.commit(&marker(binding))?;
        Ok(fetched)
    }

    /// The target holds these files and the marker, no more; beside it is nothing.
    pub(super) fn check(&self, binding: &Binding, files: &[(FileSetKind, &str, &str)]) {
        let mut expected: BTreeMap<String, String> =
            files.iter().map(|(kind, name, bytes)| (format!("{kind}/{name}"), (*bytes).to_owned())).collect();
        let mut found = tree(&self.target);
        let written = found.remove(MARKER).unwrap();
        found.remove("lost+found/");
        for folder in ["snapshots/", "segments/"] {
            expected.insert(folder.to_owned(), String::new());
        }
        found.retain(|name, _| !name.ends_with('/') || expected.contains_key(name));
        assert_eq!(found, expected);
        assert_eq!(serde_json::from_str::<Marker>(&written).unwrap().binding(), *binding);
        assert_eq!(inspect(&self.target).unwrap(), TargetState::Restored(marker(binding)));
        let beside: Vec<_> = fs::read_dir(self.root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(beside, ["p1"]);
    }
}

/// Every file with its content, every folder with a final slash.
fn tree(root: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                out.insert(name + "/", String::new());
                walk(root, &path, out);
            } else {
                out.insert(name, fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: &str, says: &str) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind().name(), kind, "{error:?}");
    assert!(format!("{error:?}").contains(says), "{error:?}");
    error
}

#[test]
fn both_shapes_end_as_exactly_the_planned_files_and_the_marker() {
    for existing in [false, true] {
        let fixture = Fixture::new(existing);
        let before = if existing { TargetState::Empty } else { TargetState::Absent };
        assert_eq!(inspect(&fixture.target).unwrap(), before);
        assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 5);
        fixture.check(&binding(), &FILES);
        assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 0);
    }
}

#[test]
fn a_backup_without_files_keeps_both_folders() {
    for existing in [false, true] {
        let fixture = Fixture::new(existing);
        fixture.restore(&binding(), &[]).unwrap();
        fixture.check(&binding(), &[]);
    }
}

#[test]
fn a_second_run_keeps_finished_files_and_drops_half_written_ones() {
    for existing in [false, true] {
        let fixture = Fixture::new(existing);
        let staging = fixture.open().unwrap();
        write(&staging, FILES[0].0, FILES[0].1, FILES[0].2).unwrap();
        let StagedFile::Fresh(writer) = staging.file(FILES[1].0, FILES[1].1).unwrap() else { panic!() };
        writer.write_at(b"tw", 0).unwrap();
        std::mem::forget(writer);
        assert_eq!(staging.staged(), (1, 3));
        // The forgotten writer, as a killed process, never unlocks: take the lock away with the folder's clones.
        let _ = rustix::fs::flock(
            match &staging.0.shape {
                staging::Shape::Beside { .. } => staging.0.dir.fd(),
                staging::Shape::Inside { target, .. } => target.fd(),
            },
            rustix::fs::FlockOperation::Unlock,
        );
        drop(staging);
        assert_eq!(inspect(&fixture.target).unwrap(), TargetState::Unfinished(Some(binding())));
        assert_eq!(fixture.open().unwrap().staged(), (1, 3));
        assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 4);
        fixture.check(&binding(), &FILES);
    }
}

#[test]
fn staging_of_another_binding_starts_afresh() {
    for existing in [false, true] {
        let fixture = Fixture::new(existing);
        for (kind, name, bytes) in &FILES[..3] {
            write(&fixture.open().unwrap(), *kind, name, bytes).unwrap();
        }
        let files = [(FileSetKind::Segments, "1.sst", "other"), (FileSetKind::Segments, "empty.log", "")];
        assert_eq!(fixture.restore(&other_binding(), &files).unwrap(), 2);
        fixture.check(&other_binding(), &files);
    }
}

#[test]
fn surplus_and_wrong_sizes_in_staging_go() {
    let fixture = Fixture::new(false);
    drop(fixture.open().unwrap());
    let staging = fixture.root.path().join(".p1.milepost-restore");
    fs::write(staging.join("snapshots/1.sst"), "longer than it was").unwrap();
    fs::create_dir_all(staging.join("snapshots/surplus/deep")).unwrap();
    fs::write(staging.join("segments/x"), "a file where a folder belongs").unwrap();
    fs::write(staging.join("note"), "").unwrap();
    assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 5);
    fixture.check(&binding(), &FILES);
}

#[test]
fn what_appears_during_the_restore_is_refused_at_its_end() {
    let fixture = Fixture::new(false);
    let staging = fixture.open().unwrap();
    for (kind, name, bytes) in &FILES {
        write(&staging, *kind, name, bytes).unwrap();
    }
    let folder = fixture.root.path().join(".p1.milepost-restore");
    fs::write(folder.join("segments/x/stray"), "").unwrap();
    refused(staging.commit(&marker(&binding())), "target_not_empty", "segments/x/stray");
    fs::remove_file(folder.join("segments/x/stray")).unwrap();
    fs::remove_file(folder.join("segments/x/w.log")).unwrap();
    refused(staging.commit(&marker(&binding())), "target", "1 staged files vanished");
    fs::write(folder.join("segments/x/w.log"), "less deep").unwrap();
    fs::create_dir(&fixture.target).unwrap();
    refused(staging.commit(&marker(&binding())), "target_not_empty", "appeared during the restore");
    drop(staging);
    // The target is an empty folder now: the staging beside it is of no use any more and goes.
    fixture.restore(&binding(), &FILES).unwrap();
    fixture.check(&binding(), &FILES);
}

#[test]
fn a_target_with_anything_else_is_named_and_left_alone() {
    let fixture = Fixture::new(true);
    for name in ["a", "b", "c", "d", "e", "f\n"] {
        fs::write(fixture.target.join(name), name).unwrap();
    }
    let before = tree(fixture.root.path());
    let error = refused(fixture.open(), "target_not_empty", "a, b, c, d, e and 1 more");
    assert!(!error.message().contains('\n'));
    refused(inspect(&fixture.target), "target_not_empty", "a, b");
    assert_eq!(tree(fixture.root.path()), before);
    // Sets without marker and staging are somebody's data.
    let fixture = Fixture::new(true);
    fs::create_dir(fixture.target.join("snapshots")).unwrap();
    refused(inspect(&fixture.target), "target_not_empty", "snapshots");
    // A torn or foreign marker is no marker.
    let fixture = Fixture::new(true);
    fs::write(fixture.target.join(MARKER), "{").unwrap();
    refused(inspect(&fixture.target), "target_not_empty", MARKER);
    fs::write(fixture.target.join(MARKER), r#"{"formatVersion":2}"#).unwrap();
    refused(inspect(&fixture.target), "refused", "newer Milepost");
}

#[test]
fn a_broker_s_own_sets_are_never_taken_for_ours() {
    let fixture = Fixture::new(true);
    let staging = fixture.open().unwrap();
    for (kind, name, bytes) in &FILES {
        write(&staging, *kind, name, bytes).unwrap();
    }
    drop(staging);
    // No rename had begun; the broker started without looking for the marker.
    fs::create_dir_all(fixture.target.join("segments")).unwrap();
    fs::write(fixture.target.join("segments/own.log"), "precious").unwrap();
    refused(fixture.open(), "target_not_empty", "segments");
    assert_eq!(fs::read_to_string(fixture.target.join("segments/own.log")).unwrap(), "precious");
    // Nor where the earlier run was killed before it made its own.
    fs::remove_dir_all(fixture.target.join(INNER_STAGING).join("segments")).unwrap();
    refused(fixture.open(), "target_not_empty", "segments");
    refused(inspect(&fixture.target), "target_not_empty", "segments");
}

#[test]
fn a_target_restored_from_another_backup_is_refused() {
    let fixture = Fixture::new(false);
    fixture.restore(&other_binding(), &FILES).unwrap();
    refused(fixture.open(), "target_not_empty", "holds backup 1/200/2");
    fixture.check(&other_binding(), &FILES);
}

#[test]
fn foreign_staging_is_refused_not_removed() {
    for (existing, at) in [(false, ".p1.milepost-restore"), (true, "p1/.milepost-restore")] {
        for plant in [|at: &Path| fs::create_dir_all(at.join("data")).unwrap(), |at: &Path| fs::write(at, "x").unwrap()]
        {
            let fixture = Fixture::new(existing);
            plant(&fixture.root.path().join(at));
            let before = tree(fixture.root.path());
            refused(fixture.open(), "target_not_empty", "milepost-restore");
            refused(inspect(&fixture.target), "target_not_empty", "milepost-restore");
            assert_eq!(tree(fixture.root.path()), before);
        }
        // Killed between making the folder and writing its binding.
        let fixture = Fixture::new(existing);
        fs::create_dir(fixture.root.path().join(at)).unwrap();
        assert_eq!(inspect(&fixture.target).unwrap(), TargetState::Unfinished(None));
        fixture.restore(&binding(), &FILES).unwrap();
        fixture.check(&binding(), &FILES);
    }
}

#[test]
fn links_are_refused_or_replaced_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("1.sst"), "one").unwrap();
    // As the target.
    let fixture = Fixture::new(false);
    symlink(outside.path(), &fixture.target).unwrap();
    refused(fixture.open(), "invalid_input", "is a symbolic link");
    // As the staging.
    let fixture = Fixture::new(false);
    symlink(outside.path(), fixture.root.path().join(".p1.milepost-restore")).unwrap();
    refused(fixture.open(), "target_not_empty", "in the way");
    let fixture = Fixture::new(true);
    symlink(outside.path(), fixture.target.join(INNER_STAGING)).unwrap();
    refused(fixture.open(), "target_not_empty", INNER_STAGING);
    // As a set or a file of bound staging: replaced.
    let fixture = Fixture::new(false);
    drop(fixture.open().unwrap());
    let staging = fixture.root.path().join(".p1.milepost-restore");
    fs::remove_dir(staging.join("snapshots")).unwrap();
    symlink(outside.path(), staging.join("snapshots")).unwrap();
    fs::remove_dir_all(staging.join(PARTS)).unwrap();
    symlink(outside.path(), staging.join(PARTS)).unwrap();
    symlink(outside.path().join("1.sst"), staging.join("segments/empty.log")).unwrap();
    assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 5);
    fixture.check(&binding(), &FILES);
    // As a folder of a name, planted while the restore runs.
    let fixture = Fixture::new(false);
    let open = fixture.open().unwrap();
    symlink(outside.path(), fixture.root.path().join(".p1.milepost-restore/segments/x")).unwrap();
    let error = refused(open.file(FileSetKind::Segments, "x/w.log"), "target", "segments/x/w.log");
    assert!(error.hint().is_some());
    // As the binding.
    let fixture = Fixture::new(false);
    let staging = fixture.root.path().join(".p1.milepost-restore");
    fs::create_dir(&staging).unwrap();
    symlink(outside.path().join("1.sst"), staging.join(BINDING)).unwrap();
    refused(fixture.open(), "target_not_empty", "in the way");
    assert_eq!(tree(outside.path()).len(), 1);
    assert_eq!(fs::read_to_string(outside.path().join("1.sst")).unwrap(), "one");
}

#[test]
fn two_restores_into_one_target_do_not_mix() {
    for existing in [false, true] {
        let fixture = Fixture::new(existing);
        let first = fixture.open().unwrap();
        let error = refused(fixture.open(), "conflict", "another process is restoring");
        assert_eq!(error.kind().exit_code(), 5);
        drop(first);
        fixture.restore(&binding(), &FILES).unwrap();
    }
}

/// A restore that failed has writers that were given up in the middle of a call; the next one came while they still had the
/// lock, and was told that another process restores there.
#[tokio::test]
async fn a_restore_that_is_given_up_frees_the_target_before_it_says_so() {
    let fixture = Fixture::new(false);
    let staging = fixture.open().unwrap();
    let StagedFile::Fresh(writer) = staging.file(FILES[0].0, FILES[0].1).unwrap() else { panic!("it is fresh") };
    let call = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(writer);
    });
    refused(fixture.open(), "conflict", "another process is restoring");
    staging.let_go(Duration::from_secs(60)).await;
    fixture.open().unwrap();
    call.await.unwrap();
    // A call that hangs for good keeps nobody for ever.
    let staging = fixture.open().unwrap();
    let hangs = staging.clone();
    staging.let_go(Duration::from_millis(20)).await;
    drop(hangs);
}

#[test]
fn many_restores_at_once_end_as_one() {
    for (round, existing) in [false, true].into_iter().cycle().take(24).enumerate() {
        let fixture = Fixture::new(existing);
        let ended: Vec<Result<u64>> = std::thread::scope(|scope| {
            let restores = [0; 4].map(|_| scope.spawn(|| fixture.restore(&binding(), &FILES)));
            restores.into_iter().map(|restore| restore.join().unwrap()).collect()
        });
        assert!(ended.iter().any(|result| matches!(result, Ok(5))), "{round} {ended:?}");
        for error in ended.into_iter().filter_map(Result::err) {
            assert!(matches!(error.kind().name(), "conflict" | "target_not_empty"), "{round} {error:?}");
        }
        fixture.restore(&binding(), &FILES).unwrap();
        fixture.check(&binding(), &FILES);
    }
}

#[test]
fn staging_that_lost_a_race_is_removed_from_beside_the_target() {
    let fixture = Fixture::new(false);
    drop(fixture.open().unwrap());
    let orphan = fixture.root.path().join("orphan");
    fs::rename(fixture.root.path().join(".p1.milepost-restore"), &orphan).unwrap();
    fixture.restore(&binding(), &FILES).unwrap();
    fs::rename(&orphan, fixture.root.path().join(".p1.milepost-restore")).unwrap();
    assert_eq!(fixture.restore(&binding(), &FILES).unwrap(), 0);
    fixture.check(&binding(), &FILES);
}

#[test]
fn a_writer_that_is_dropped_gives_its_room_back() {
    let fixture = Fixture::new(false);
    let staging = fixture.open().unwrap();
    let StagedFile::Fresh(writer) = staging.file(FileSetKind::Snapshots, "1.sst").unwrap() else { panic!() };
    writer.write_at(b"on", 0).unwrap();
    refused(writer.write_at(b"ee", 2), "internal", "beyond");
    refused(writer.write_at(b"e", u64::MAX), "internal", "beyond");
    refused(writer.finish(), "internal", "2 bytes were written of a file of 3");
    assert_eq!(fs::read_dir(fixture.root.path().join(".p1.milepost-restore/parts")).unwrap().count(), 0);
    // Two tries of one file at a time, as after a cancelled one whose thread still runs.
    let StagedFile::Fresh(first) = staging.file(FileSetKind::Snapshots, "1.sst").unwrap() else { panic!() };
    let StagedFile::Fresh(second) = staging.file(FileSetKind::Snapshots, "1.sst").unwrap() else { panic!() };
    for writer in [first, second] {
        writer.write_at(b"one", 0).unwrap();
        writer.finish().unwrap();
    }
    assert!(matches!(staging.file(FileSetKind::Snapshots, "1.sst").unwrap(), StagedFile::Done));
    refused(staging.file(FileSetKind::Snapshots, "nowhere"), "internal", "snapshots/nowhere");
    refused(staging.commit(&marker(&binding())), "internal", "4 files are not restored");
    refused(staging.commit(&marker(&other_binding())), "internal", "another restore");
}

#[test]
fn space_is_asked_for_before_anything_is_written() {
    let fixture = Fixture::new(false);
    let segment = |name, size| PlannedFile { kind: FileSetKind::Segments, name: FileName::new(name).unwrap(), size };
    let huge = Plan::new(vec![segment("a", 1 << 60), segment("b", 1)]).unwrap();
    let no_space = format!("no space: {} more bytes are needed", (1u64 << 60) + 4096);
    refused(Staging::open(&fixture.target, &binding(), huge.clone()), "refused", &no_space);
    assert_eq!(tree(fixture.root.path()), BTreeMap::new(), "something is left");
    let staging = fixture.open().unwrap();
    assert_eq!(staging.check_space().unwrap().needed, 4 * 4096);
    write(&staging, FILES[0].0, FILES[0].1, FILES[0].2).unwrap();
    assert_eq!(staging.check_space().unwrap().needed, 3 * 4096);
    drop(staging);
    let staging = Staging::open(&fixture.target, &binding(), huge).unwrap();
    refused(staging.check_space(), "refused", &no_space);
}

#[test]
fn unusable_paths_are_told_apart() {
    let fixture = Fixture::new(false);
    let open = |path: &Path| Staging::open(path, &binding(), plan_of(&FILES));
    refused(open(Path::new("")), "invalid_input", "is empty");
    refused(open(&fixture.target.join("below")), "invalid_input", "around the target does not exist");
    refused(open(&fixture.target.join("..")), "invalid_input", "does not exist");
    refused(open(&fixture.root.path().join("x".repeat(300))), "invalid_input", "too long");
    fs::write(&fixture.target, "x").unwrap();
    refused(open(&fixture.target), "target_not_empty", "is not a folder");
    refused(open(&fixture.target.join("below")), "invalid_input", "around the target");
    // A name that leaves no room for the staging's own.
    let fixture = Fixture { target: fixture.root.path().join("x".repeat(255)), root: fixture.root };
    fs::remove_file(fixture.root.path().join("p1")).unwrap();
    fixture.restore(&binding(), &FILES).unwrap();
    assert!(matches!(inspect(&fixture.target).unwrap(), TargetState::Restored(_)));
}

#[test]
fn failures_of_the_disk_name_the_path_and_what_to_do() {
    use rustix::io::Errno;
    for (errno, says) in [
        (Errno::NOSPC, "free some space"),
        (Errno::DQUOT, "quota"),
        (Errno::ROFS, "read-only"),
        (Errno::ACCESS, "permissions"),
        (Errno::LOOP, "symbolic link"),
    ] {
        let error = place::failed(Path::new("/data/p1"), "cannot write", errno.into());
        assert!(matches!(error.kind(), ErrorKind::Target), "{error:?}");
        assert!(error.message().contains("/data/p1"), "{error}");
        assert!(error.hint().unwrap().contains(says), "{error:?}");
    }
}

#[test]
fn settling_an_unrestored_target_does_nothing() {
    let fixture = Fixture::new(true);
    settle(&fixture.target).unwrap();
    drop(fixture.open().unwrap());
    settle(&fixture.target).unwrap();
    assert_eq!(inspect(&fixture.target).unwrap(), TargetState::Unfinished(Some(binding())));
    settle(&fixture.root.path().join("absent")).unwrap();
}
