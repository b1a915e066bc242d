//! Each rule of the protocol left out.

use crate::rules::{Finish, Rules, Trust};
use crate::scenarios::Check::{
    FalseSuccess, Foreign, GaveUp, Guard, Heal, Holds, Left, LiveResave, Orphans, Restore, Resumes, Robbed, StatusLost,
    Whole,
};
use crate::scenarios::{SAME, Scenario, base, by_parts};

/// The scenarios that are expected to break, but for those that show that a rule is not needed.
pub(crate) fn holes() -> Vec<Scenario> {
    let w = Rules::as_written;
    let f = Rules::fixed;
    vec![
        base(
            "h01-content-412",
            "B sends what differs, create-only, and takes 412 as 'there'; sizes compared",
            Rules { meta_412: Trust::Adopt, ..w() },
            &[0, 1],
            &[Whole],
        )
        .faults(0),
        base(
            "h01b-content-zombie",
            "B refuses what differs at the start; dead A's delayed PUT lands after B's listing",
            Rules { content_head: false, list_etags: false, ..f() },
            &[0, 1],
            &[Whole],
        )
        .kills(1),
        base(
            "h01c-content-live",
            "the same, A alive and fenced, no fault at all",
            Rules { content_head: false, list_etags: false, ..f() },
            &[0, 1],
            &[Whole],
        )
        .faults(0),
        base(
            "h01d-no-etags",
            "412 answered by HEAD, but the listing compares sizes only: is the listing needed?",
            Rules { list_etags: false, ..f() },
            &[0, 1],
            &[Whole],
        ),
        base(
            "h01e-etags-only",
            "412 trusted, but the listing compares with the ETag of the plan's bytes",
            Rules { content_head: false, ..f() },
            &[0, 1],
            &[Whole],
        ),
        base(
            "h02-meta-412-trust",
            "A's metadata is there, B commits its own hash",
            Rules { meta_412: Trust::Blindly, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(vec![[[1, 1], [1, 0], [0, 0]]])
        .faults(0),
        base(
            "h03-meta-412-refuse",
            "metadata is there: refused; the same bytes can never be resumed",
            Rules { meta_412: Trust::Refuse, ..f() },
            &[0],
            &[Resumes],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h04-readback",
            "read-back by attemptId and revision",
            Rules { readback_code: false, ..f() },
            &[0, 3],
            &[FalseSuccess],
        ),
        base(
            "h05-error-path",
            "the error path of a fenced saver fails the new owner",
            Rules { fail_own_only: false, ..f() },
            &[0, 1],
            &[Foreign],
        )
        .plans(vec![SAME]),
        base(
            "h05b-error-path-kills-commit",
            "same; seen as a COMPLETED of B turned FAILED",
            Rules { fail_own_only: false, ..f() },
            &[0, 1],
            &[Foreign],
        )
        .plans(vec![SAME])
        .faults(0)
        .cancels(1),
        base(
            "h06-mark-failed-race",
            "mark_failed of a stale attempt fails the commit that won",
            Rules { guard: false, ..f() },
            &[0, 3],
            &[Guard],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h07-delete-race",
            "delete of a FAILED backup takes the COMPLETED one of a resume",
            Rules { guard: false, ..f() },
            &[0, 1, 4],
            &[Guard],
        )
        .plans(vec![SAME])
        .faults(0)
        .cancels(1),
        base(
            "h08-sweep-unclaimed",
            "delete on DOES_NOT_EXIST sweeps under a new save",
            Rules { claim_sweep: false, finish: Finish::RemoveStatus, ..f() },
            &[0, 4],
            &[Whole],
        )
        .plans(vec![SAME])
        .orphans([1, 0])
        .faults(0),
        base(
            "h09-stalled-deleter-batch",
            "D2's batch, sent or stalled, hits the re-save",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 2, 4, 5],
            &[Whole],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h09b-one-deleter-retry",
            "one deleter, one delayed batch request, re-save",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 2, 4],
            &[Whole],
        )
        .plans(vec![SAME]),
        base(
            "h10-status-delete",
            "a second DELETE of status removes the re-save's status",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 2, 4, 5],
            &[StatusLost],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h11-orphan-after-delete",
            "what is left after a delete although all is quiet",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 3, 4],
            &[Orphans],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h12-orphan-poison",
            "orphans with other bytes under a re-save: does delete + save heal?",
            Rules { finish: Finish::RemoveStatus, ..f() },
            &[0, 2, 3, 4],
            &[Heal, Whole, LiveResave],
        )
        .plans(vec![[[1, 1], [0, 0], [2, 2]]])
        .faults(0),
        base(
            "h13-overwrite-aba",
            "content replaced by If-Match: the ETag of equal bytes comes back",
            Rules { overwrite: true, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(vec![[[1, 1], [2, 1], [1, 1]]])
        .faults(0),
        base(
            "h13b-overwrite-checked-aba",
            "the same, status read again between ETag and overwrite",
            Rules { overwrite: true, overwrite_checked: true, ..f() },
            &[0, 1, 2],
            &[Whole],
        )
        .plans(vec![[[1, 1], [2, 1], [1, 1]]])
        .resume([false, true, true]),
        base(
            "h14-staging",
            "continued restore keeps staged files by size; id was re-saved",
            Rules { staging_by_hash: false, finish: Finish::RemoveStatus, ..f() },
            &[0, 2, 4, 6],
            &[Restore],
        )
        .plans(vec![[[1, 1], [0, 0], [2, 2]]])
        .faults(0)
        .restarts(1),
        base(
            "h15-abort-order",
            "saver dead, its Complete in flight; uploads aborted after the empty listing",
            Rules { abort_first: false, one_loop: false, ..f() },
            &[0, 3, 4],
            &[Left],
        )
        .plans(vec![SAME])
        .multipart()
        .kills(1),
        base("h15b-abort-first", "the same, uploads aborted before the listing", f(), &[0, 3, 4], &[Left])
            .plans(vec![SAME])
            .multipart()
            .kills(1),
        base(
            "h16-if-match-absent",
            "unfit server: If-Match on an absent key writes",
            Rules { finish: Finish::RemoveStatus, if_match_absent_ok: true, ..f() },
            &[0, 3, 4],
            &[Whole],
        )
        .plans(vec![SAME]),
        base(
            "h19-grown-file",
            "a file that differs from what is there: resume can never commit (by design; the journal keeps the plan)",
            f(),
            &[0],
            &[Resumes],
        )
        .faults(0)
        .op([1, 2]),
        base(
            "h14b-staging-tombstone",
            "staged files kept by size, ids never reused",
            Rules { staging_by_hash: false, ..f() },
            &[0, 2, 4, 6],
            &[Restore],
        )
        .plans(vec![[[1, 1], [0, 0], [2, 2]]])
        .faults(0)
        .restarts(1),
        base(
            "h20-own-progress",
            "a progress update not awaited lands late; the commit's 412 is taken for a fence",
            Rules { progress: true, own_retry: false, ..f() },
            &[0],
            &[GaveUp],
        )
        .plans(vec![SAME]),
        base(
            "h21-complete-overwrites",
            "unfit server: CompleteMultipartUpload ignores If-None-Match",
            Rules { complete_overwrites: true, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(vec![[[1, 1], [1, 2], [0, 0]]])
        .multipart()
        .faults(0),
        base(
            "h18-claim-aba",
            "status removed; A's delayed second copy of its claim makes the same document again",
            Rules { finish: Finish::RemoveStatus, fresh_claim: false, ..f() },
            &[0, 3, 4],
            &[Whole],
        )
        .plans(vec![SAME]),
        base(
            "h17-tombstone-grace-0",
            "tombstone removed at once (grace 0), re-save",
            Rules { forget: true, ..f() },
            &[0, 2, 4, 5],
            &[Whole],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h17b-tombstone-grace-0-status",
            "the same, status",
            Rules { forget: true, ..f() },
            &[0, 2, 4, 5],
            &[StatusLost],
        )
        .plans(vec![SAME]),
        base(
            "h22-claim-twice",
            "the claim reaches the bucket once more when its tombstone was removed; A, asleep since, commits on top",
            Rules { forget: true, ..f() },
            &[0, 3, 4],
            &[Whole],
        )
        .plans(vec![SAME])
        .twice(),
        base(
            "h23-no-relisting",
            "a key fails on its own; the delete does not list again and makes the tombstone",
            Rules { pages: true, key_errors: true, relist: false, ..f() },
            &[0, 3, 4],
            &[Left],
        )
        .plans(vec![SAME])
        .kills(1),
        base(
            "h24-forget-without-seal",
            "swept, tombstone removed, no seal: a save claims the id, and a late removal hits it",
            Rules { forget: true, ..f() },
            &[0, 2, 3, 4],
            &[StatusLost],
        )
        .plans(vec![SAME])
        .faults(2),
        base(
            "h25-forget-twice",
            "with the seal: a claim comes once more behind the removal, and its owner slept that long (OPEN-5: the grace)",
            Rules { forget: true, seal: true, ..f() },
            &[0, 3, 4],
            &[Whole],
        )
        .plans(vec![SAME])
        .twice(),
        base(
            "h26-hold-by-revision",
            "an annotation is settled by revision: another one's is taken for the own",
            Rules { note_by_content: false, ..f() },
            &[0, 8, 9],
            &[Holds],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h27-hold-does-not-bind",
            "a delete looks at the state alone",
            Rules { hold_binds: false, ..f() },
            &[0, 4, 8],
            &[Holds],
        )
        .plans(vec![SAME])
        .faults(0),
        base(
            "h28-corrupt-unconditional",
            "the delete of a corrupt status overwrites what stands; it was mended meanwhile",
            Rules { corrupt_guard: false, ..f() },
            &[0, 4],
            &[Guard],
        )
        .plans(vec![SAME])
        .faults(0)
        .spoils(1),
        base(
            "h29-parts-unchecked",
            "Complete names neither ETags nor checksum: a part that comes late from another attempt is joined",
            Rules { parts: true, part_tags: false, part_sum: false, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(by_parts()),
        base(
            "h29b-parts-no-etags",
            "the same without the ETags alone: is the checksum enough?",
            Rules { parts: true, part_tags: false, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(by_parts()),
        base(
            "h29c-parts-no-checksum",
            "the same without the checksum alone: are the ETags enough?",
            Rules { parts: true, part_sum: false, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(by_parts()),
        base(
            "h30-late-complete",
            "Complete without If-None-Match: that of a fenced attempt comes late, over what the owner completed",
            Rules { parts: true, complete_overwrites: true, ..f() },
            &[0, 1],
            &[Whole],
        )
        .plans(by_parts()),
        base(
            "h31-fenced-abort",
            "a fenced saver aborts its upload, which the owner continues",
            Rules { parts: true, fenced_aborts: true, ..f() },
            &[0, 1],
            &[Robbed],
        )
        .plans(by_parts())
        .faults(0)
        .cancels(1),
        base(
            "h32-noted-commit",
            "a commit whose reply was lost is held meanwhile: its saver takes itself for fenced",
            Rules { noted_commit: false, ..f() },
            &[0, 8],
            &[GaveUp],
        )
        .plans(vec![SAME]),
    ]
}
