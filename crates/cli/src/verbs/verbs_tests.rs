use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use milepost::{BackupId, OpContext, StatusCode, StoreAdmin};
use serde_json::Value;

use super::run;
use crate::app::{App, Interactive};
use crate::args::Cli;
use crate::config::Layers;
use crate::fake::{Fake, status, store};
use crate::out::tests::Buffer;
use crate::out::{Out, Stderr};
use crate::render::table::Style;

/// Runs a command line against a store; gives the exit code and stdout.
async fn milepost(store: &Arc<Fake>, args: &[&str]) -> (u8, String) {
    let cli = Cli::try_parse_from([&["milepost"], args].concat()).unwrap();
    let buffer = Buffer::default();
    let layers = Layers { flags: cli.layer(), ..Layers::default() };
    let app = App {
        out: Out::new(buffer.clone()),
        err: Stderr::default(),
        style: Style::default(),
        json: cli.global.json,
        quiet: cli.global.quiet,
        interactive: Interactive::default(),
        cx: OpContext::new(),
        config: layers.resolve(None).unwrap(),
        env: milepost::system::env().unwrap(),
        opened: Some(store.clone() as Arc<dyn StoreAdmin>),
    };
    let code = match run(&app, cli.verb).await {
        Ok(code) => code,
        Err(error) => crate::failure::exit_code(&error, None),
    };
    (code, buffer.take())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn folder_with_logs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("log/sub")).unwrap();
    std::fs::write(folder.path().join("log/1.log"), "one").unwrap();
    std::fs::write(folder.path().join("log/sub/2.log"), "two!").unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_backup_goes_round() {
    let (store, folder) = (store(), folder_with_logs());
    let log = folder.path().join("log");
    let save = ["save", "1/100/2", "--segments", text(&log), "--partitions", "1", "--property", "zone=eu"];
    let (code, out) = milepost(&store, &save).await;
    assert_eq!((code, out.as_str()), (0, "saved 1/100/2: 2 files, 7 B in 1.5 s\n"));
    assert_eq!(milepost(&store, &save).await.0, 5, "the id is taken");

    let (code, out) = milepost(&store, &["status", "1/latest/any"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("state:        COMPLETED\n") && out.contains("2 files, 7 B"), "{out}");
    let (_, out) = milepost(&store, &["status", "1/100/2", "--json"]).await;
    assert_eq!(json(&out)["document"]["descriptor"]["properties"]["zone"], "eu");

    let (code, out) = milepost(&store, &["list"]).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("BACKUP") && out.contains("1/100/2  COMPLETED"), "{out}");
    let (_, out) = milepost(&store, &["list", "--json"]).await;
    assert_eq!(json(&out)["backups"][0]["id"], "1/100/2");
    assert_eq!(json(&out)["complete"], true);

    let (_, out) = milepost(&store, &["show", "1/100/any"]).await;
    assert!(out.contains("segments/sub/2.log") && out.contains("blake3:") && out.contains("zone=eu"), "{out}");
    let (_, out) = milepost(&store, &["show", "1/100/2", "--json"]).await;
    assert_eq!(json(&out)["metadata"]["totalBytes"], 7);

    let target = folder.path().join("restored");
    let restore = ["restore", "1/100/2", "--target", text(&target), "--json"];
    let (code, out) = milepost(&store, &restore).await;
    let summary = json(&out);
    assert_eq!((code, &summary["messageType"], &summary["files"]), (0, &"summary".into(), &2.into()));
    assert_eq!(std::fs::read_to_string(target.join("segments/sub/2.log")).unwrap(), "two!");
    assert_eq!(milepost(&store, &restore).await.0, 5);

    assert_eq!(milepost(&store, &["delete", "1/100/2"]).await.0, 7, "nobody can be asked");
    let (code, out) = milepost(&store, &["delete", "1/100/2", "--dry-run"]).await;
    assert_eq!((code, out.as_str()), (0, "would delete 1/100/2: 2 objects, 7 B\n"));
    let (code, out) = milepost(&store, &["delete", "1/100/2", "--yes", "--json"]).await;
    assert_eq!((code, &json(&out)["objects"]), (0, &2.into()));
    assert_eq!(milepost(&store, &["status", "1/100/2"]).await.0, 4);
    assert_eq!(milepost(&store, &["list"]).await, (0, String::new()));
    let (code, out) = milepost(&store, &["delete", "9/9/9", "--yes"]).await;
    assert_eq!((code, out.as_str()), (0, "9/9/9 does not exist: nothing to delete\n"));
}

#[tokio::test]
async fn damage_has_its_exit_codes() {
    let (store, folder) = (store(), folder_with_logs());
    let log = folder.path().join("log");
    for id in ["1/1/1", "1/1/2"] {
        assert_eq!(milepost(&store, &["save", id, "--segments", text(&log), "--term", "1"]).await.0, 0);
    }
    let (code, out) = milepost(&store, &["verify", "1/1/1", "--record"]).await;
    assert_eq!(code, 0, "surplus is a warning: {out}");
    assert!(out.contains("SURPLUS") && out.contains("is whole at level checksums"), "{out}");
    assert!(milepost(&store, &["status", "1/1/1"]).await.1.contains("checksums ok"));

    store.damaged.lock().unwrap().push(BackupId::new(1, 1, 1));
    let (code, out) = milepost(&store, &["verify", "1/1/1", "--quiet"]).await;
    assert_eq!(code, 6);
    assert!(out.contains("DAMAGED: 1 finding"), "{out}");
    let (code, out) = milepost(&store, &["verify", "1/1/1", "--json"]).await;
    assert_eq!((code, &json(&out)["findings"][0]["problem"]), (6, &"MISSING".into()));

    let target = folder.path().join("restored");
    assert_eq!(milepost(&store, &["restore", "1/1/1", "--target", text(&target)]).await.0, 6);
    let (code, out) = milepost(&store, &["restore", "1/1/any", "--target", text(&target)]).await;
    assert_eq!(code, 0, "the next copy is whole");
    assert!(out.starts_with("restored 1/1/2"), "{out}");

    store.put(BackupId::new(2, 1, 1), None);
    let (code, out) = milepost(&store, &["list", "--json"]).await;
    assert_eq!((code, &json(&out)["corrupt"]), (3, &1.into()));
    assert_eq!(milepost(&store, &["list"]).await.0, 3);
    assert_eq!(milepost(&store, &["status", "2/1/1"]).await.0, 6);
    assert_eq!(milepost(&store, &["delete", "2/1/1", "--yes"]).await.0, 6);
    assert_eq!(milepost(&store, &["delete", "2/1/1", "--yes", "--corrupt"]).await.0, 0);
}

#[tokio::test]
async fn the_other_verbs_answer() {
    let store = store();
    store.put(BackupId::new(1, 1, 1), Some(status(BackupId::new(1, 1, 1), StatusCode::InProgress)));
    assert_eq!(milepost(&store, &["mark-failed", "1/1/1", "--reason", "gone"]).await.0, 7);
    let (code, out) = milepost(&store, &["mark-failed", "1/1/1", "--reason", "gone", "--yes"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("FAILED") && out.contains("gone"), "{out}");
    let (code, out) = milepost(&store, &["init", "--first-partition", "0", "--cluster-id", "mine", "--json"]).await;
    assert_eq!(code, 0);
    assert_eq!((&json(&out)["clusterId"], &json(&out)["firstPartition"]), (&"mine".into(), &0.into()));
    let (code, out) = milepost(&store, &["probe"]).await;
    assert_eq!(code, 7);
    assert!(out.contains("racing-creates  FAILED") && out.contains("NOT fit"), "{out}");
    assert_eq!(json(&milepost(&store, &["probe", "--json"]).await.1)["fit"], false);
}

#[tokio::test]
async fn bad_files_and_properties_fail_before_the_store_is_touched() {
    let (store, folder) = (store(), folder_with_logs());
    std::os::unix::fs::symlink("1.log", folder.path().join("log/link")).unwrap();
    let log = folder.path().join("log");
    assert_eq!(milepost(&store, &["save", "1/1/1", "--segments", text(&log)]).await.0, 1);
    assert_eq!(milepost(&store, &["save", "1/1/1", "--segments", "/nonexistent"]).await.0, 2);
    let twice = ["save", "1/1/1", "--property", "a=1", "--property", "a=2"];
    assert_eq!(milepost(&store, &twice).await.0, 2);
    assert_eq!(milepost(&store, &["status", "1/1/1"]).await.0, 4);
    let (code, out) = milepost(&store, &["save", "1/1/1", "--quiet"]).await;
    assert_eq!((code, out.as_str()), (0, ""), "no folder is the empty set");
}
