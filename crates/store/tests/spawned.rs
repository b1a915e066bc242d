//! A broker runs these on its own runtime, in tasks of theirs: each of them must be able to move between threads. That it compiles is
//! most of the test.
#![allow(clippy::unwrap_used, reason = "tests and their helpers")]
#![allow(unreachable_pub, reason = "the helpers are a module of each test binary")]

mod common;

use std::sync::Arc;

use common::*;
use milepost_core::retention::RetentionPolicy;
use milepost_store::copy::{CopyTarget, copy};
use milepost_store::doctor::{DoctorOptions, examine, repair};
use milepost_store::prune::{PruneOptions, execute, plan};
use milepost_store::verifying::{Selection, select};
use milepost_store::{ImportOptions, checkpoints};
use milepost_testkit::faulty::FaultyBucket;

#[tokio::test]
async fn what_works_on_a_whole_store_can_be_spawned() {
    let from = Arc::new(store(&faulty(), 1));
    save(&from, tiny(id(1, 1, 1))).await.unwrap();
    let to = Arc::new(store(&FaultyBucket::new(milepost_store::MemoryBucket::new("vault")), 2));

    let store = Arc::clone(&from);
    let pruned = tokio::spawn(async move {
        let plan = plan(&*store, &RetentionPolicy::default(), &cx()).await?;
        Ok::<_, milepost_store::Error>(execute(&*store, &plan, &PruneOptions::default(), &|_, _| {}, &cx()).await)
    });
    assert_eq!(pruned.await.unwrap().unwrap().untried, 0);

    let store = Arc::clone(&from);
    let examined = tokio::spawn(async move {
        let options = DoctorOptions::new(milepost_core::Timestamp::UNIX_EPOCH);
        let mut found = examine(&*store, &options, &cx()).await?;
        repair(&*store, &mut found, &options, &cx()).await.map(|()| found.exit_code())
    });
    assert_eq!(examined.await.unwrap().unwrap(), 0);

    let (one, other) = (Arc::clone(&from), Arc::clone(&to));
    let copied = tokio::spawn(async move {
        let target = CopyTarget::Backup(id(1, 1, 1));
        copy(&*one, &*other, target, ImportOptions::default(), &|_, _| {}, &cx()).await
    });
    assert_eq!(copied.await.unwrap().unwrap().done.len(), 1);

    let store = Arc::clone(&from);
    let chosen = tokio::spawn(async move { select(&*store, &Selection::default(), &cx()).await });
    assert_eq!(chosen.await.unwrap().unwrap().chosen.len(), 1);

    let store = Arc::clone(&to);
    let latest = tokio::spawn(async move { checkpoints::latest(&*store, &cx()).await });
    // One partition of three.
    assert_eq!(latest.await.unwrap().unwrap_err().kind().exit_code(), 4);
}
