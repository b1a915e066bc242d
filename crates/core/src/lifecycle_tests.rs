//! Every legal transition: what rises, what stays, what is cleared, what is refused.

use super::*;
use crate::checksum::sha256_hex;
use crate::document::{MAX_SMALL_DOCUMENT_BYTES, VerifyLevel, json_len};

const ID: BackupId = BackupId::new(1, 100, 2);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn cluster() -> ClusterId {
    ClusterId::new("c").unwrap()
}

fn attempt(name: &str) -> AttemptId {
    AttemptId::new(name).unwrap()
}

fn descriptor(position: u64) -> Descriptor {
    Descriptor { checkpoint_position: Some(position), number_of_partitions: Some(3), ..Descriptor::default() }
}

fn counts(files: u64) -> Counts {
    Counts { files, bytes: files * 100 }
}

fn claim(name: &str, position: u64) -> Claim {
    Claim {
        attempt: attempt(name),
        owner: Owner { host: format!("host-{name}"), pid: 1, started_at: at(0) },
        descriptor: descriptor(position),
        planned: counts(5),
        copied_from: None,
    }
}

fn hold(name: &str) -> Hold {
    Hold { id: HoldId::new(name).unwrap(), reason: "audit".into(), owner: "ops".into(), created_at: at(0) }
}

fn in_progress() -> InProgress {
    InProgress::claim(cluster(), ID, claim("a", 7), at(10)).progress(counts(2), at(20))
}
fn completed() -> Completed {
    in_progress().commit(sha256_hex(b"metadata"), counts(5), true, at(30))
}
fn failed() -> Failed {
    in_progress().fail("no space", at(30))
}
fn record() -> Failed {
    Failed::record(cluster(), ID, attempt("r"), "node is down", at(10))
}

/// Reads and writes the document, which every step must leave fit for.
fn fit(document: &StatusDocument) -> StatusDocument {
    let bytes = document.encode().unwrap();
    assert!(bytes.len() as u64 <= MAX_SMALL_DOCUMENT_BYTES);
    let read = StatusDocument::parse(&bytes, ID).unwrap();
    assert_eq!(read, *document);
    assert_eq!(Lifecycle::from(read.clone()).document(), document);
    read
}

type Step = fn(Timestamp) -> (StatusDocument, StatusDocument);

fn pair<A, B>(before: A, step: impl FnOnce(A) -> B, document: fn(&A) -> &StatusDocument) -> (StatusDocument, B) {
    let was = document(&before).clone();
    (was, step(before))
}

/// Each legal transition of an existing document, at a time.
const STEPS: [(&str, Step); 13] = [
    ("progress", |now| {
        let (was, is) = pair(in_progress(), |state| state.progress(counts(3), now), InProgress::document);
        (was, is.into_document())
    }),
    ("take over", |now| {
        let (was, is) = pair(in_progress(), |state| state.take_over(claim("b", 7), now), InProgress::document);
        (was, is.unwrap().into_document())
    }),
    ("commit", |now| {
        let step = |state: InProgress| state.commit(sha256_hex(b"m"), counts(5), true, now);
        let (was, is) = pair(in_progress(), step, InProgress::document);
        (was, is.into_document())
    }),
    ("fail", |now| {
        let (was, is) = pair(in_progress(), |state| state.fail("why", now), InProgress::document);
        (was, is.into_document())
    }),
    ("take over a failed one", |now| {
        let (was, is) = pair(failed(), |state| state.take_over(claim("b", 7), now), Failed::document);
        (was, is.unwrap().into_document())
    }),
    ("take over a record", |now| {
        let (was, is) = pair(record(), |state| state.take_over(claim("b", 9), now), Failed::document);
        (was, is.unwrap().into_document())
    }),
    ("delete a failed one", |now| {
        let (was, is) = pair(failed(), |state| state.delete(now), Failed::document);
        (was, is.into_document())
    }),
    ("mark a committed one as failed", |now| {
        let (was, is) = pair(completed(), |state| state.fail("damaged", now), Completed::document);
        (was, is.unwrap().into_document())
    }),
    ("delete a committed one", |now| {
        let (was, is) = pair(completed(), |state| state.delete(now), Completed::document);
        (was, is.unwrap().into_document())
    }),
    ("hold", |now| {
        let change = Annotation::Hold(hold("h"));
        let (was, is) = pair(completed(), |state| state.annotate(&change, now), Completed::document);
        (was, is.unwrap().into_document())
    }),
    ("release", |now| {
        let held = completed().annotate(&Annotation::Hold(hold("h")), at(30)).unwrap();
        let change = Annotation::Release(hold("h").id);
        let (was, is) = pair(held, |state| state.annotate(&change, now), Completed::document);
        (was, is.unwrap().into_document())
    }),
    ("verified", |now| {
        let change = Annotation::Verified(Verification { level: VerifyLevel::Objects, at: now, ok: true });
        let (was, is) = pair(completed(), |state| state.annotate(&change, now), Completed::document);
        (was, is.unwrap().into_document())
    }),
    ("finish", |now| {
        let (was, is) = pair(failed().delete(at(30)), |state| state.finish(now), Deleting::document);
        (was, is.into_document())
    }),
];

#[test]
fn every_step_raises_the_revision_and_never_turns_the_time_back() {
    for (name, step) in STEPS {
        for now in [at(-1000), at(0), at(30), at(31), at(9999)] {
            let (was, is) = step(now);
            assert_eq!(is.revision, was.revision + 1, "{name}");
            assert_eq!(is.last_modified, was.last_modified.max(now), "{name}");
            assert_eq!((&is.id, &is.cluster_id, is.created_at), (&was.id, &was.cluster_id, was.created_at), "{name}");
            assert!(is.completed_at.is_none_or(|at| at <= is.last_modified && at >= is.created_at), "{name}");
            fit(&was);
            fit(&is);
        }
    }
}

#[test]
fn what_a_step_does_not_mention_stays() {
    // The fields that a step may change besides revision, lastModified and statusCode.
    for (name, step) in STEPS {
        let (was, is) = step(at(40));
        let allowed: &[&str] = match name {
            "progress" => &["done"],
            "take over" | "take over a failed one" | "take over a record" => {
                &["attemptId", "owner", "descriptor", "planned", "done", "failureReason"]
            }
            "commit" => &["planned", "done", "complete", "metadataSha256", "completedAt"],
            "fail" | "mark a committed one as failed" => &["failureReason"],
            "hold" | "release" => &["holds"],
            "verified" => &["verified"],
            _ => &[],
        };
        let json = |document| serde_json::to_value::<&StatusDocument>(document).unwrap();
        let (was, is) = (json(&was), json(&is));
        for (field, value) in was.as_object().unwrap() {
            if !["revision", "lastModified", "statusCode"].contains(&field.as_str())
                && !allowed.contains(&field.as_str())
            {
                assert_eq!(is[field], *value, "{name}: {field}");
            }
        }
    }
}

#[test]
fn created_documents_are_of_revision_one() {
    for document in [
        InProgress::claim(cluster(), ID, claim("a", 7), at(10)).into_document(),
        record().into_document(),
        Deleting::leftovers(cluster(), ID, attempt("d"), at(10)).into_document(),
    ] {
        assert_eq!((document.revision, document.created_at, document.last_modified), (1, at(10), at(10)));
        assert!(document.complete && document.metadata_sha256.is_none());
        fit(&document);
    }
    let claimed = InProgress::claim(cluster(), ID, claim("a", 7), at(10));
    assert_eq!(claimed.document().done, Some(Counts::default()));
    assert_eq!(claimed.document().planned, Some(counts(5)));
    assert_eq!(claimed.document().owner, Some(claim("a", 7).owner));
    let from = CopiedFrom::new("s3://vault", completed().document()).unwrap();
    let copy = Claim { copied_from: Some(from.clone()), ..claim("a", 7) };
    let copied = InProgress::claim(cluster(), ID, copy, at(10));
    assert_eq!(copied.document().copied_from, Some(from));
    let deleted = Deleting::leftovers(cluster(), ID, attempt("d"), at(10)).finish(at(11)).into_document();
    assert_eq!((deleted.status_code, deleted.revision), (StatusCode::Deleted, 2));
    fit(&deleted);
    assert!(matches!(Lifecycle::from(deleted), Lifecycle::Deleted(_)));
}

#[test]
fn a_commit_names_the_metadata_and_the_time() {
    let hash = sha256_hex(b"metadata");
    let committed = in_progress().commit(hash.clone(), counts(4), false, at(5));
    assert_eq!(committed.metadata_sha256(), hash);
    let document = committed.document();
    assert_eq!((document.planned, document.done, document.complete), (Some(counts(4)), Some(counts(4)), false));
    // The clock stepped back, the commit is at the last sign of life.
    assert_eq!(document.completed_at, Some(at(20)));
    assert_eq!(document.status_code, StatusCode::Completed);
}

#[test]
fn a_failed_save_keeps_its_descriptor_and_can_be_resumed() {
    let failed = failed();
    assert!(!failed.was_completed());
    let document = failed.document().clone();
    assert_eq!((document.descriptor, document.done), (Some(descriptor(7)), Some(counts(2))));
    assert_eq!(document.failure_reason.as_deref(), Some("no space"));
    let resumed = failed.take_over(claim("b", 7), at(40)).unwrap().into_document();
    assert_eq!((resumed.attempt_id, resumed.failure_reason), (attempt("b"), None));
    assert_eq!(resumed.owner.map(|owner| owner.host).as_deref(), Some("host-b"));
    assert_eq!((resumed.done, resumed.status_code), (Some(Counts::default()), StatusCode::InProgress));
}

#[test]
fn a_take_over_needs_the_descriptor_that_began_it_or_none() {
    let other = Err(TransitionError::OtherDescriptor);
    assert_eq!(in_progress().take_over(claim("b", 8), at(40)), other);
    assert_eq!(failed().take_over(claim("b", 8), at(40)), other);
    assert!(in_progress().take_over(claim("b", 7), at(40)).is_ok());
    let taken = record().take_over(claim("b", 8), at(40)).unwrap();
    assert_eq!(taken.document().descriptor, Some(descriptor(8)));
    // A hand-written IN_PROGRESS without descriptor takes the new one as well.
    let mut bare = in_progress().into_document();
    bare.descriptor = None;
    let Lifecycle::InProgress(bare) = Lifecycle::from(bare) else { panic!("another state") };
    assert_eq!(bare.take_over(claim("b", 8), at(40)).unwrap().document().descriptor, Some(descriptor(8)));
}

#[test]
fn a_failed_one_that_was_completed_keeps_its_hash_and_is_never_resumed() {
    let hash = sha256_hex(b"metadata");
    let failed = completed().fail("damaged", at(40)).unwrap();
    assert!(failed.was_completed());
    assert_eq!(failed.document().metadata_sha256.as_deref(), Some(hash.as_str()));
    assert_eq!(failed.document().completed_at, completed().document().completed_at);
    assert_eq!(failed.clone().take_over(claim("b", 7), at(50)), Err(TransitionError::WasCompleted));
    let Lifecycle::Failed(read) = Lifecycle::from(fit(failed.document())) else { panic!("another state") };
    assert!(read.was_completed());
    let deleting = read.delete(at(50));
    assert_eq!(deleting.document().metadata_sha256.as_deref(), Some(hash.as_str()));
}

#[test]
fn a_held_backup_refuses_to_fail_or_be_deleted_and_names_the_holds() {
    let held = completed()
        .annotate(&Annotation::Hold(hold("h1")), at(40))
        .and_then(|held| held.annotate(&Annotation::Hold(hold("h2")), at(41)))
        .unwrap();
    let error = held.clone().fail("why", at(50)).unwrap_err();
    assert_eq!(error, TransitionError::Held(vec![hold("h1"), hold("h2")]));
    assert_eq!(error.to_string(), "is held: h1 by ops (audit), h2 by ops (audit)");
    assert_eq!(held.clone().delete(at(50)), Err(error));
    let one = held.annotate(&Annotation::Release(hold("h1").id), at(50)).unwrap();
    assert!(one.clone().delete(at(60)).is_err());
    let free = one.annotate(&Annotation::Release(hold("h2").id), at(60)).unwrap();
    assert!(free.document().holds.is_empty() && free.delete(at(70)).is_ok());
}

#[test]
fn annotations_are_settled_by_content() {
    let add = Annotation::Hold(hold("h"));
    let remove = Annotation::Release(hold("h").id);
    let plain = completed();
    assert!(!add.is_in(plain.document()) && remove.is_in(plain.document()));
    assert_eq!(plain.clone().annotate(&remove, at(40)), Err(TransitionError::NoSuchHold(hold("h").id)));
    let held = plain.clone().annotate(&add, at(40)).unwrap();
    assert!(add.is_in(held.document()) && !remove.is_in(held.document()));
    // The same id again: the first hold stays as it is.
    let other = Hold { reason: "another".into(), ..hold("h") };
    let again = held.annotate(&Annotation::Hold(other.clone()), at(50)).unwrap();
    assert_eq!(again.document().holds, [hold("h")]);
    assert!(Annotation::Hold(other).is_in(again.document()));

    let seen = Verification { level: VerifyLevel::Content, at: at(60), ok: false };
    let verified = again.annotate(&Annotation::Verified(seen), at(60)).unwrap();
    assert!(Annotation::Verified(seen).is_in(verified.document()));
    assert!(!Annotation::Verified(Verification { ok: true, ..seen }).is_in(verified.document()));
    assert_eq!(verified.document().status_code, StatusCode::Completed);
    let later = Verification { at: at(70), ..seen };
    let verified = verified.annotate(&Annotation::Verified(later), at(70)).unwrap();
    assert_eq!(fit(verified.document()).verified, Some(later));
}

#[test]
fn holds_are_limited() {
    let mut held = completed();
    for n in 0..MAX_HOLDS {
        held = held.annotate(&Annotation::Hold(hold(&format!("h{n}"))), at(40)).unwrap();
    }
    assert_eq!(held.clone().annotate(&Annotation::Hold(hold("more")), at(50)), Err(TransitionError::TooManyHolds));
    // One that is there already needs no room.
    assert!(held.clone().annotate(&Annotation::Hold(hold("h3")), at(50)).is_ok());
    fit(held.document());
    let long = Hold { reason: "\"".repeat(MAX_HOLD_BYTES / 2), ..hold("l") };
    assert_eq!(completed().annotate(&Annotation::Hold(long), at(50)), Err(TransitionError::HoldTooLong));
    let most = Hold { reason: "\"".repeat(MAX_HOLD_BYTES / 2), owner: String::new(), ..hold("l") };
    fit(completed().annotate(&Annotation::Hold(most), at(50)).unwrap().document());
}

#[test]
fn reasons_are_cut_to_four_kib() {
    for text in ["x", "é", "\"", "\u{1}"] {
        let long = text.repeat(5000);
        for failed in [
            in_progress().fail(&long, at(30)),
            completed().fail(&long, at(30)).unwrap(),
            Failed::record(cluster(), ID, attempt("r"), &long, at(30)),
        ] {
            let reason = fit(failed.document()).failure_reason.unwrap();
            let len = json_len(&reason);
            assert!((MAX_FAILURE_REASON_BYTES - 8..=MAX_FAILURE_REASON_BYTES).contains(&len), "{len}");
            assert!(reason.ends_with('…') && reason.starts_with(text));
        }
    }
}

#[test]
fn a_revision_at_its_end_is_refused_by_encode_and_does_not_overflow() {
    let mut document = in_progress().into_document();
    document.revision = u64::MAX;
    let Lifecycle::InProgress(state) = Lifecycle::from(document) else { panic!("another state") };
    assert!(state.progress(counts(1), at(40)).document().encode().is_err());
}

/// A status says what anyone wrote into it, its revision too. One at the last number could be read, and neither be given up nor
/// deleted: every document that follows would have been refused by its own writer.
#[test]
fn whatever_the_revision_a_status_that_can_be_read_can_be_deleted() {
    let text = include_str!("../tests/golden/v1/status-in-progress.json");
    let id = BackupId::new(1, 100, 2);
    let parse = |revision: u64| {
        StatusDocument::parse(text.replace("\"revision\": 7", &format!("\"revision\": {revision}")).as_bytes(), id)
    };
    let mut highest = 0;
    for below in 1..12 {
        let Ok(document) = parse((1 << 53) - below) else { continue };
        highest = highest.max(document.revision);
        let Lifecycle::InProgress(state) = Lifecycle::from(document) else { panic!("another state") };
        let committed = state.commit("00".repeat(32), Counts::default(), true, at(20));
        let failed = committed.fail("given up", at(21)).unwrap();
        let deleting = failed.clone().delete(at(22));
        let deleted = deleting.clone().finish(at(23));
        for document in [failed.into_document(), deleting.into_document(), deleted.into_document()] {
            StatusDocument::parse(&document.encode().unwrap(), id).unwrap();
        }
    }
    assert_eq!(highest, (1 << 53) - 5, "the highest revision of a save");
}
