//! Mounted file systems: a restore into an empty mount point, and disks that are too small.
//!
//! Needs root and the right to mount a tmpfs; says so loudly where it has not.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use milepost_integration_tests::{expect, files_below, milepost, run, summary, write_random};
use milepost_testkit::fixtures::same_tree;

/// A small file system, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "milepost-test"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                println!("NOT RUN: a tmpfs cannot be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn save(home: &Path, store: &Path, id: &str) -> Command {
    let mut command = milepost(home, &["save", id, "--json"]);
    command.arg("--store").arg(store);
    command.arg("--snapshots").arg(home.join("data/snapshots")).arg("--segments").arg(home.join("data/segments"));
    command
}

fn restore(home: &Path, store: &Path, target: &Path) -> Command {
    let mut command = milepost(home, &["restore", "1/100/1", "--json"]);
    command.arg("--store").arg(store).arg("--target").arg(target);
    command
}

fn broker(home: &Path) {
    std::fs::create_dir_all(home.join("data/snapshots/nested")).unwrap();
    std::fs::create_dir_all(home.join("data/segments")).unwrap();
    write_random(&home.join("data/snapshots/nested/1.sst"), 1, 300_000);
    write_random(&home.join("data/segments/1.log"), 2, 3_000_000);
    write_random(&home.join("data/segments/2.log"), 3, 0);
}

#[test]
fn a_restore_into_an_empty_mount_point_and_its_rerun() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    broker(home);
    let store = home.join("store");
    expect(0, save(home, &store, "1/100/1"));
    let Some(mount) = Mount::new(home.join("mnt"), "16m") else { return };
    std::fs::create_dir(mount.0.join("lost+found")).unwrap();

    let first = summary(&expect(0, restore(home, &store, &mount.0)));
    assert_eq!(first["filesFetched"], 3);
    same_tree(home.join("data"), &mount.0, &[".milepost.json", "lost+found"]).unwrap();
    let second = summary(&expect(0, restore(home, &store, &mount.0)));
    assert_eq!(second["filesFetched"], 0);

    // The broker writes; a rerun of the same restore leaves its data alone.
    std::fs::write(mount.0.join("segments/3.log"), "new").unwrap();
    expect(0, restore(home, &store, &mount.0));
    assert_eq!(std::fs::read(mount.0.join("segments/3.log")).unwrap(), b"new");
}

#[test]
fn a_target_without_room_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    broker(home);
    let store = home.join("store");
    expect(0, save(home, &store, "1/100/1"));
    let Some(mount) = Mount::new(home.join("mnt"), "1m") else { return };
    let output = run(restore(home, &store, &mount.0));
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space"));
    assert!(!mount.0.join("segments").exists() && !mount.0.join(".milepost.json").exists());
}

#[test]
fn a_store_without_room_refuses_the_save_and_stays_usable() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    broker(home);
    let Some(mount) = Mount::new(home.join("store"), "2m") else { return };
    let output = run(save(home, &mount.0, "1/100/1"));
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space"));
    assert!(!mount.0.join("1").exists(), "{:?}", files_below(&mount.0));
    std::fs::remove_file(home.join("data/segments/1.log")).unwrap();
    expect(0, save(home, &mount.0, "1/100/1"));
}
