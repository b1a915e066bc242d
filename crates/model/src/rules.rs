//! The rules of the protocol, each of which can be left out to see what breaks.

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Trust {
    Blindly,
    Refuse,
    Adopt,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Finish {
    RemoveStatus,
    Tombstone,
    TombAside,
}

/// The design's open points. `as_written()` is the naive reading, `fixed()` the proposal.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) content_head: bool, // a 412 on a content PUT: HEAD and compare (else: taken as "it is there")
    pub(crate) scan_refuse: bool,  // resume that meets a differing object refuses (else it goes on and sends)
    pub(crate) overwrite: bool,    // "send what differs" by If-Match overwrite (else: refuse by name)
    pub(crate) overwrite_checked: bool, // ... and the status is read again between reading the ETag and the overwrite
    pub(crate) list_etags: bool,   // listing before commit compares ETags with those answered (else sizes)
    pub(crate) meta_412: Trust,    // metadata.json is there already
    pub(crate) readback_code: bool, // read-back compares statusCode too (else attemptId + revision)
    pub(crate) fail_own_only: bool, // the saver's error path touches only its own IN_PROGRESS document
    pub(crate) guard: bool,        // mark_failed and delete act only on the (code, attempt) that they saw first
    pub(crate) claim_sweep: bool,  // delete on DOES_NOT_EXIST with leftovers creates DELETING first
    pub(crate) reread_batch: bool, // status read again before each batch
    pub(crate) finish: Finish,
    pub(crate) forget: bool, // (with Tombstone) the deleter's last step removes the tombstone: grace 0
    pub(crate) abort_first: bool, // multipart uploads aborted before the listing that must be empty (else after)
    pub(crate) one_loop: bool, // contents, metadata and uploads in one loop, until one listing shows the status alone
    pub(crate) staging_by_hash: bool, // a continued restore keeps staged files only of the same metadata hash
    pub(crate) fresh_claim: bool, // every try of a claim has a new attemptId
    pub(crate) progress: bool, // savers bump the document (done counts) after the first file; not awaited
    pub(crate) own_retry: bool, // read-back shows IN_PROGRESS of the own attempt: still the owner, send again with that ETag
    pub(crate) noted_commit: bool, // read-back of a commit: annotations may lie on top of it
    pub(crate) complete_overwrites: bool, // unfit server: Complete ignores If-None-Match
    pub(crate) seal: bool, // (with forget) the sweep again, then the seal, then the removal; a sealed id is not claimed or taken over
    pub(crate) pages: bool, // a listing is read page by page, one key to a page, and each page is deleted before the next
    pub(crate) key_errors: bool, // keys of a batch may fail on their own
    pub(crate) relist: bool, // after a batch everything is listed again, until one listing shows the status alone
    pub(crate) note_by_content: bool, // an annotation is settled by content (else by revision)
    pub(crate) hold_binds: bool, // delete and mark_failed refuse what is held
    pub(crate) corrupt_guard: bool, // the delete of a corrupt status is meant for those very bytes
    pub(crate) parts: bool, // f1 goes in two parts, each a request
    pub(crate) part_tags: bool, // Complete names the ETag of every part
    pub(crate) part_sum: bool, // ... and the checksum of the whole
    pub(crate) fenced_aborts: bool, // who is fenced aborts its uploads all the same
    pub(crate) if_match_absent_ok: bool, // unfit server: If-Match on an absent key writes
}
impl Rules {
    pub(crate) fn as_written() -> Rules {
        Rules {
            content_head: false,
            scan_refuse: false,
            overwrite: false,
            overwrite_checked: false,
            list_etags: false,
            meta_412: Trust::Blindly,
            readback_code: false,
            fail_own_only: false,
            guard: false,
            claim_sweep: false,
            reread_batch: true,
            finish: Finish::RemoveStatus,
            forget: false,
            abort_first: false,
            one_loop: false,
            staging_by_hash: false,
            fresh_claim: false,
            progress: false,
            own_retry: false,
            noted_commit: true,
            complete_overwrites: false,
            seal: false,
            pages: false,
            key_errors: false,
            relist: true,
            note_by_content: true,
            hold_binds: true,
            corrupt_guard: true,
            parts: false,
            part_tags: true,
            part_sum: true,
            fenced_aborts: false,
            if_match_absent_ok: false,
        }
    }
    pub(crate) fn fixed() -> Rules {
        Rules {
            content_head: true,
            scan_refuse: true,
            overwrite: false,
            overwrite_checked: false,
            list_etags: true,
            meta_412: Trust::Adopt,
            readback_code: true,
            fail_own_only: true,
            guard: true,
            claim_sweep: true,
            reread_batch: true,
            finish: Finish::Tombstone,
            forget: false,
            abort_first: true,
            one_loop: true,
            staging_by_hash: true,
            fresh_claim: true,
            progress: false,
            own_retry: true,
            noted_commit: true,
            complete_overwrites: false,
            seal: false,
            pages: false,
            key_errors: false,
            relist: true,
            note_by_content: true,
            hold_binds: true,
            corrupt_guard: true,
            parts: false,
            part_tags: true,
            part_sum: true,
            fenced_aborts: false,
            if_match_absent_ok: false,
        }
    }
}
