//! The policies of docs/s3.md, carried by real users: `scripts/minio` reads them from that page.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers the tests alone")]

mod real;

use milepost_s3::{S3BackupStore, S3Settings};
use milepost_store::core::{BackupId, Descriptor, VerifyLevel};
use milepost_store::{
    BackupState, BackupStore as _, DeleteOptions, Error, ErrorKind, Expect, InitOptions, ListQuery, OpContext,
    RestoreOptions, RestoreTarget, SaveOptions, StoreAdmin as _, StoreSettings,
};
use milepost_testkit::fixtures::{BrokerFiles, Shape, same_tree, test_env};
use real::vars;

/// Told as what it is, with what to do.
#[track_caller]
fn denied(error: Error) {
    assert!(matches!(error.kind(), ErrorKind::Denied), "{error:?}");
    let hint = error.hint().unwrap_or_default();
    assert!(error.message().contains("AccessDenied") && hint.contains("permission"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_role_can_do_its_verbs_and_no_more() {
    use futures::StreamExt as _;
    let test = "each_role_can_do_its_verbs_and_no_more";
    let Some([endpoint, secret]) = vars(test, ["ENDPOINT", "ROLES_SECRET"]) else { return };
    let open = async |role: &str| {
        let mut settings = S3Settings::default();
        (settings.bucket, settings.base_path) = ("backups".into(), format!("prod/{}", std::process::id()));
        (settings.endpoint, settings.region) = (Some(endpoint.clone()), Some("us-east-1".into()));
        settings.access_key_id = Some(role.into());
        settings.secret_access_key = Some(secret.as_str().into());
        let mut store = StoreSettings::default();
        (store.part_size, store.multipart_threshold) = (5 << 20, 6 << 20);
        S3BackupStore::connect(&settings, store, test_env(3)).await.unwrap()
    };
    let (writer, restorer, pruner) = (open("writer").await, open("restorer").await, open("pruner").await);
    let (dir, cx) = (tempfile::tempdir().unwrap(), OpContext::new());
    // One file goes by multipart.
    let shape = Shape { part_size: 5 << 20, ..Shape::default() };
    let files = BrokerFiles::generate(dir.path().join("broker"), 3, shape).unwrap();
    let id = |text: &str| -> BackupId { text.parse().unwrap() };
    let backup = |text: &str| files.backup(id(text), Descriptor::default()).unwrap();
    let target = |name: &str| RestoreTarget { path: dir.path().join(name) };
    let resume = || {
        let mut options = SaveOptions::default();
        options.resume = true;
        options
    };

    // Nobody but a writer or a pruner makes a base.
    denied(restorer.init(InitOptions::default(), &cx).await.unwrap_err());
    writer.init(InitOptions::default(), &cx).await.unwrap();
    denied(restorer.save(backup("1/100/1"), SaveOptions::default(), &cx).await.unwrap_err());
    denied(restorer.mark_failed(id("1/100/1"), "no", Expect::Any, &cx).await.unwrap_err());
    assert_eq!(restorer.status(id("1/100/1"), &cx).await.unwrap().state(), BackupState::DoesNotExist);

    writer.save(backup("1/100/2"), SaveOptions::default(), &cx).await.unwrap();
    writer.mark_failed(id("1/150/2"), "no disk", Expect::Any, &cx).await.unwrap();
    writer.save(backup("1/150/2"), resume(), &cx).await.unwrap();
    for (name, store) in [("writer", &writer), ("restorer", &restorer), ("pruner", &pruner)] {
        assert!(store.verify(id("1/100/2"), VerifyLevel::Content, &cx).await.unwrap().findings.is_empty(), "{name}");
        assert_eq!(store.status(id("1/100/2"), &cx).await.unwrap().state(), BackupState::Completed, "{name}");
        store.metadata(id("1/100/2"), &cx).await.unwrap();
        let listed: Vec<_> = store.list(ListQuery::default(), cx.clone()).collect().await;
        assert!(listed.len() == 2 && listed.iter().all(Result::is_ok), "{name}: {listed:?}");
        store.restore(id("1/100/2"), target(name), RestoreOptions::default(), &cx).await.unwrap();
        same_tree(files.dir(), target(name).path, &[".milepost.json"]).unwrap();
    }

    denied(restorer.delete(id("1/100/2"), DeleteOptions::default(), &cx).await.unwrap_err());
    assert_eq!(restorer.status(id("1/100/2"), &cx).await.unwrap().state(), BackupState::Completed);
    // A writer gets as far as DELETING, for that is a write; what it may not do is told, key by key.
    let refused = writer.delete(id("1/150/2"), DeleteOptions::default(), &cx).await.unwrap_err();
    let ErrorKind::Partial { report } = refused.kind() else { panic!("{refused:?}") };
    assert!(!report.failed.is_empty() && report.objects == 0, "{report:?}");
    assert!(report.failed.iter().all(|(_, why)| why.contains("AccessDenied")), "{report:?}");
    // Later saves are none the worse.
    writer.save(backup("1/200/2"), SaveOptions::default(), &cx).await.unwrap();
    for text in ["1/150/2", "1/100/2"] {
        pruner.delete(id(text), DeleteOptions::default(), &cx).await.unwrap();
        assert_eq!(pruner.status(id(text), &cx).await.unwrap().state(), BackupState::DoesNotExist);
    }
    assert!(writer.verify(id("1/200/2"), VerifyLevel::Content, &cx).await.unwrap().findings.is_empty());
}
