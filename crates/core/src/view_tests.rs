//! The view against a second definition, written from the words of the design alone, on all small clusters.

use super::*;
use crate::document::StatusDocument;
use crate::ids::NodeId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum S {
    Absent,
    Deleted,
    Completed,
    Partial,
    InProgress,
    Failed,
    Corrupt,
    Deleting,
}
use S::{Absent, Completed, Corrupt, Deleted, Deleting, Failed, InProgress, Partial};
const ALL: [S; 8] = [Absent, Deleted, Completed, Partial, InProgress, Failed, Corrupt, Deleting];

/// A copy of a small cluster: partition, node, state, partition count, cluster.
type Small = (u32, u32, S, Option<u32>, u8);

fn copy((partition, node, state, count, cluster): Small) -> Option<PartitionCopy> {
    let id = BackupId::new(partition, 7, node);
    let code = match state {
        Absent => return None,
        Corrupt => return Some(PartitionCopy::corrupt(id, "torn")),
        Deleted => StatusCode::Deleted,
        Completed | Partial => StatusCode::Completed,
        InProgress => StatusCode::InProgress,
        Failed => StatusCode::Failed,
        Deleting => StatusCode::Deleting,
    };
    Some(PartitionCopy {
        id,
        state: CopyState::Readable(CopyFacts {
            status_code: code,
            cluster_id: ClusterId::new(format!("c{cluster}")).unwrap(),
            complete: state != Partial,
            number_of_partitions: count,
            term: None,
            checkpoint_position: None,
            failure_reason: None,
        }),
    })
}

/// The design's words, one sentence after the other, with no sharing of code or order with the real thing.
fn expected(copies: &[Small], first: u32, allow: bool) -> ClusterState {
    let there: Vec<&Small> = copies.iter().filter(|c| c.2 != Absent && c.2 != Deleted).collect();
    let readable = || there.iter().filter(|c| c.2 != Corrupt);
    let count = readable().find_map(|c| c.3);
    for a in readable() {
        if a.3.is_some() && a.3 != count {
            return ClusterState::Inconsistent;
        }
        if readable().any(|b| b.4 != a.4) {
            return ClusterState::Inconsistent;
        }
    }
    if there.iter().any(|c| c.0 < first || count.is_some_and(|n| c.0 >= first + n)) {
        return ClusterState::Inconsistent;
    }
    let judged: Vec<u32> = match count {
        Some(n) => (first..first + n).collect(),
        None => (0..10).filter(|p| there.iter().any(|c| c.0 == *p)).collect(),
    };
    let letters: String = judged
        .iter()
        .map(|p| {
            let has = |state: S| there.iter().any(|c| c.0 == *p && c.2 == state);
            if has(Completed) || (allow && has(Partial)) {
                'C'
            } else if has(InProgress) {
                'I'
            } else if has(Failed) || has(Partial) || has(Corrupt) {
                'F'
            } else if has(Deleting) {
                'D'
            } else {
                '-'
            }
        })
        .collect();
    let has = |letter: char| letters.contains(letter);
    if has('F') {
        ClusterState::Failed
    } else if has('-') && (has('I') || has('C')) {
        ClusterState::Incomplete
    } else if has('D') {
        ClusterState::Deleting
    } else if has('I') {
        ClusterState::InProgress
    } else if has('C') {
        ClusterState::Completed
    } else {
        ClusterState::DoesNotExist
    }
}

fn check(copies: &[Small], first: u32, allow: bool) -> ClusterView {
    let rules = ViewRules { first_partition: PartitionId(first), allow_incomplete: allow };
    let view = ClusterView::new(CheckpointId(7), copies.iter().copied().filter_map(copy), &rules);
    assert_eq!(view.state, expected(copies, first, allow), "{copies:?} {first} {allow}");
    assert_eq!(view.inconsistencies.is_empty(), view.state != ClusterState::Inconsistent, "{copies:?}");
    let seen: usize = view.partitions.iter().map(|partition| 1 + partition.others.len()).sum();
    assert_eq!(seen, copies.iter().filter(|c| c.2 != Absent && c.2 != Deleted).count());
    view
}

/// Every assignment of `options` to `slots`.
fn every<T: Copy>(options: &[Vec<T>], mut visit: impl FnMut(&[T])) {
    let total: usize = options.iter().map(Vec::len).product();
    let mut chosen = Vec::with_capacity(options.len());
    for number in 0..total {
        let mut rest = number;
        chosen.clear();
        for slot in options {
            chosen.push(slot[rest % slot.len()]);
            rest /= slot.len();
        }
        visit(&chosen);
    }
}

fn slot(partition: u32, node: u32, variants: &[(Option<u32>, u8)]) -> Vec<Small> {
    let mut options = Vec::new();
    for state in ALL {
        // A state that says nothing of counts and clusters needs no variants; a tombstone gets one that would disagree.
        match state {
            Absent | Corrupt => options.push((partition, node, state, None, 0)),
            Deleted => options.push((partition, node, state, Some(9), 9)),
            _ => options.extend(variants.iter().map(|(count, cluster)| (partition, node, state, *count, *cluster))),
        }
    }
    options
}

#[test]
fn three_partitions_on_two_nodes_in_all_states() {
    let known = [(Some(3), 0)];
    let slots: Vec<_> = (1..4).flat_map(|p| (0..2).map(move |n| slot(p, n, &known))).collect();
    every(&slots, |copies| drop(check(copies, 1, false)));
}

#[test]
fn two_partitions_on_two_nodes_with_disagreeing_and_unknown_counts_and_clusters() {
    let variants = [(None, 0), (Some(2), 0), (Some(3), 0), (None, 1)];
    let slots: Vec<_> = (1..3).flat_map(|p| (0..2).map(move |n| slot(p, n, &variants))).collect();
    every(&slots, |copies| drop(check(copies, 1, false)));
}

#[test]
fn ids_out_of_range_from_either_first_partition() {
    let variants = [(None, 0), (Some(2), 0)];
    let slots: Vec<_> = (0..4).map(|p| slot(p, 1, &variants)).collect();
    every(&slots, |copies| {
        for first in [0, 1] {
            for allow in [false, true] {
                check(copies, first, allow);
            }
        }
    });
}

#[test]
fn the_copies_that_do_not_count_are_named_with_the_reason() {
    let view = check(
        &[
            (1, 0, Completed, Some(2), 0),
            (1, 1, Corrupt, None, 0),
            (1, 2, Partial, Some(2), 0),
            (1, 3, Completed, Some(2), 0),
            (1, 4, Deleting, Some(2), 0),
            (2, 1, Partial, Some(2), 0),
        ],
        1,
        false,
    );
    assert_eq!(view.state, ClusterState::Failed);
    assert_eq!(view.judged_over, JudgedOver::Known(2));
    let first = view.partition(PartitionId(1)).unwrap();
    assert_eq!((first.best.copy.id.node, first.best.standing), (NodeId(0), Standing::Completed));
    assert_eq!(first.best.reason, None);
    let others: Vec<_> =
        first.others.iter().map(|other| (other.copy.id.node.0, other.reason.as_deref().unwrap())).collect();
    assert_eq!(
        others,
        [
            (3, "the copy of node 0 is as good"),
            (2, "files were left out on purpose"),
            (1, "the status is corrupt: torn"),
            (4, "is DELETING"),
        ]
    );
    let second = view.partition(PartitionId(2)).unwrap();
    assert_eq!(second.best.standing, Standing::LeftFilesOut);
    assert_eq!(second.best.reason.as_deref(), Some("files were left out on purpose"));
    assert_eq!(
        view.left_files_out().map(|copy| copy.id).collect::<Vec<_>>(),
        [BackupId::new(1, 7, 2), BackupId::new(2, 7, 1)]
    );
    assert_eq!(view.partition(PartitionId(3)), None);
}

fn completed(partition: u32, node: u32, term: Option<u64>, position: Option<u64>) -> PartitionCopy {
    let mut copy = copy((partition, node, Completed, None, 0)).unwrap();
    if let CopyState::Readable(facts) = &mut copy.state {
        (facts.term, facts.checkpoint_position) = (term, position);
    }
    copy
}

#[test]
fn the_best_of_good_copies_is_the_one_that_a_restore_would_choose() {
    let copies = [
        completed(1, 0, None, Some(99)),
        completed(1, 1, Some(2), None),
        completed(1, 2, Some(2), Some(5)),
        completed(1, 3, Some(2), Some(6)),
        completed(1, 4, Some(1), Some(9)),
    ];
    let view = ClusterView::new(CheckpointId(7), copies, &ViewRules::default());
    assert_eq!((view.state, view.judged_over), (ClusterState::Completed, JudgedOver::Seen));
    let partition = &view.partitions[0];
    assert_eq!(partition.best.copy.id.node, NodeId(3));
    let others: Vec<_> =
        partition.others.iter().map(|other| (other.copy.id.node.0, other.reason.as_deref().unwrap())).collect();
    assert_eq!(
        others,
        [
            (2, "the copy of node 3 is at a higher position"),
            (1, "the copy of node 3 is at a higher position"),
            (4, "the copy of node 3 is of a higher term"),
            (0, "the copy of node 3 is of a higher term"),
        ]
    );
}

#[test]
fn inconsistencies_name_the_copies() {
    let view = check(&[(1, 0, Completed, Some(1), 0), (2, 0, Failed, Some(2), 1), (0, 0, Corrupt, None, 0)], 1, false);
    let texts: Vec<String> = view.inconsistencies.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "the cluster ids disagree: c0 say 1/7/0; c1 say 2/7/0",
            "the numbers of partitions disagree: 1 say 1/7/0; 2 say 2/7/0",
            "below the first partition 1: 0/7/0",
        ]
    );
    let many: Vec<Small> = (1..9).map(|p| (p, 0, Completed, Some(1), 0)).collect();
    let view = check(&many, 1, false);
    assert_eq!(
        view.inconsistencies[0].to_string(),
        "not of partitions 1 to 1: 2/7/0, 3/7/0, 4/7/0, 5/7/0, 6/7/0 and 2 more"
    );
}

#[test]
fn a_status_that_claims_billions_of_partitions_costs_nothing() {
    let view = check(&[], 1, false);
    assert_eq!((view.state, view.missing().count()), (ClusterState::DoesNotExist, 0));
    let copies = [copy((2, 0, Completed, Some(u32::MAX), 0)).unwrap()];
    let view = ClusterView::new(CheckpointId(7), copies, &ViewRules::default());
    assert_eq!(view.state, ClusterState::Incomplete);
    assert_eq!(view.missing().take(3).collect::<Vec<_>>(), [PartitionId(1), PartitionId(3), PartitionId(4)]);
}

#[test]
fn latest_is_the_highest_completed_checkpoint() {
    let at = |checkpoint: u64, state: S| {
        let mut copy = copy((1, 0, state, Some(1), 0)).unwrap();
        copy.id.checkpoint = CheckpointId(checkpoint);
        copy
    };
    let copies = [at(3, Completed), at(100, Completed), at(20, Completed), at(200, Partial), at(300, Deleted)];
    let views = ClusterView::all(copies.clone(), &ViewRules::default());
    let states: Vec<_> = views.iter().map(|view| (view.checkpoint.0, view.state.name())).collect();
    let expected = [(300, "DOES_NOT_EXIST"), (200, "FAILED"), (100, "COMPLETED"), (20, "COMPLETED"), (3, "COMPLETED")];
    assert_eq!(states, expected);
    assert_eq!(latest(&views), Some(CheckpointId(100)));
    assert_eq!(latest(&views[..2]), None);
    let allowing = ViewRules { allow_incomplete: true, ..ViewRules::default() };
    assert_eq!(latest(&ClusterView::all(copies.clone(), &allowing)), Some(CheckpointId(200)));
    // A view ignores the copies of other checkpoints.
    let one = ClusterView::new(CheckpointId(20), copies, &ViewRules::default());
    assert_eq!((one.partitions.len(), one.partitions[0].others.len()), (1, 0));
}

#[test]
fn the_words_of_the_states_are_those_of_the_json() {
    use ClusterState as C;
    for state in [C::Inconsistent, C::Failed, C::Incomplete, C::Deleting, C::InProgress, C::Completed, C::DoesNotExist]
    {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
    }
}

#[test]
fn a_copy_says_what_its_status_says() {
    let json = r#"{"formatVersion":1,"clusterId":"c","id":{"partition":1,"checkpoint":"7","node":2},
        "statusCode":"FAILED","attemptId":"a","revision":1,"createdAt":"2026-11-21T10:00:00Z",
        "lastModified":"2026-11-21T10:00:00Z","complete":false,"failureReason":"disk full",
        "descriptor":{"checkpointPosition":"5","numberOfPartitions":3,"term":"4"}}"#;
    let id = BackupId::new(1, 7, 2);
    let copy = PartitionCopy::from(&StatusDocument::parse(json.as_bytes(), id).unwrap());
    let facts = copy.facts().unwrap();
    assert_eq!((copy.id, facts.status_code, facts.complete), (id, StatusCode::Failed, false));
    assert_eq!((facts.number_of_partitions, facts.term, facts.checkpoint_position), (Some(3), Some(4), Some(5)));
    assert_eq!(what_is_wrong(&copy).as_deref(), Some("disk full"));
}

#[test]
fn a_copy_of_partition_zero_says_where_the_cluster_begins() {
    let first = |partitions: &[u32]| {
        let rules = ViewRules::for_copies(partitions.iter().map(|partition| BackupId::new(*partition, 7, 1)));
        assert!(!rules.allow_incomplete);
        rules.first_partition.0
    };
    assert_eq!((first(&[]), first(&[1, 2]), first(&[2, 0, 1])), (1, 1, 0));
}
