//! The choice against a second definition, on all small sets of copies.

use super::*;
use crate::ids::BackupId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Small {
    node: u32,
    code: Option<StatusCode>,
    complete: bool,
    ours: bool,
    count: Option<u32>,
    term: Option<u64>,
    position: Option<u64>,
}

fn copy(small: Small) -> PartitionCopy {
    let id = BackupId::new(1, 7, small.node);
    let Some(status_code) = small.code else { return PartitionCopy::corrupt(id, "torn") };
    let state = CopyState::Readable(CopyFacts {
        status_code,
        cluster_id: cluster(if small.ours { "ours" } else { "theirs" }),
        complete: small.complete,
        number_of_partitions: small.count,
        term: small.term,
        checkpoint_position: small.position,
        failure_reason: None,
    });
    PartitionCopy { id, state }
}

fn cluster(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

const GOOD: Small = Small {
    node: 0,
    code: Some(StatusCode::Completed),
    complete: true,
    ours: true,
    count: None,
    term: None,
    position: None,
};

fn options(node: u32) -> Vec<Option<Small>> {
    let good = Small { node, ..GOOD };
    let mut options = vec![
        None,
        Some(Small { code: None, ..good }),
        Some(Small { code: Some(StatusCode::Failed), term: Some(9), ..good }),
        Some(Small { ours: false, term: Some(9), ..good }),
    ];
    for term in [None, Some(1), Some(2)] {
        for position in [None, Some(1), Some(2)] {
            options.push(Some(Small { term, position, ..good }));
        }
    }
    for count in [Some(3), Some(4)] {
        options.push(Some(Small { count, ..good }));
        options.push(Some(Small { count, term: Some(2), ..good }));
    }
    for term in [None, Some(2)] {
        options.push(Some(Small { complete: false, term, ..good }));
        options.push(Some(Small { complete: false, term, count: Some(4), ..good }));
    }
    options
}

/// Is `a` to be restored rather than `b`? One sentence of the design after the other.
fn beats(a: &Small, b: &Small, own: Option<u32>) -> bool {
    let higher = |a: Option<u64>, b: Option<u64>| a.map_or(-1, i128::from) > b.map_or(-1, i128::from);
    if a.complete != b.complete {
        return a.complete;
    }
    if a.term != b.term {
        return higher(a.term, b.term);
    }
    if a.position != b.position {
        return higher(a.position, b.position);
    }
    if own == Some(a.node) || own == Some(b.node) {
        return own == Some(a.node);
    }
    a.node < b.node
}

fn expected(copies: &[Small], wanted: Option<u32>, own: Option<u32>, allow: bool) -> Vec<u32> {
    let mut fit: Vec<Small> = copies.to_vec();
    fit.retain(|c| c.code == Some(StatusCode::Completed) && c.ours && (c.complete || allow));
    match wanted {
        Some(wanted) => fit.retain(|c| c.count.is_none_or(|count| count == wanted)),
        None => {
            let known: Vec<u32> = fit.iter().filter_map(|c| c.count).collect();
            if known.contains(&3) && known.contains(&4) {
                fit.retain(|c| c.count.is_none());
            }
        }
    }
    // A copy's place is the number of copies that beat it.
    let mut order = vec![u32::MAX; fit.len()];
    for c in &fit {
        let place = fit.iter().filter(|other| *other != c && beats(other, c, own)).count();
        order[place] = c.node;
    }
    order
}

#[test]
fn the_order_is_that_of_the_design_on_all_small_inputs() {
    let slots: Vec<_> = (0..3).map(options).collect();
    for a in &slots[0] {
        for b in &slots[1] {
            for c in &slots[2] {
                let copies: Vec<Small> = [*a, *b, *c].into_iter().flatten().collect();
                for (wanted, own, allow) in [
                    (None, None, false),
                    (None, Some(1), true),
                    (Some(3), Some(2), false),
                    (Some(4), Some(1), true),
                    (Some(3), Some(9), true),
                ] {
                    let rules = ChoiceRules {
                        cluster_id: cluster("ours"),
                        number_of_partitions: wanted,
                        own_node: own.map(NodeId),
                        allow_incomplete: allow,
                    };
                    // The order in which the copies were listed must not matter.
                    let given = copies.iter().rev().copied().map(copy);
                    let choice = Choice::new(PartitionId(1), CheckpointId(7), given, &rules);
                    let order: Vec<u32> = choice.candidates.iter().map(|copy| copy.id.node.0).collect();
                    assert_eq!(order, expected(&copies, wanted, own, allow), "{copies:?} {rules:?}");
                    assert_eq!(choice.candidates.len() + choice.refused.len(), copies.len());
                }
            }
        }
    }
}

#[test]
fn the_refused_are_named_with_the_reason() {
    let rules = ChoiceRules {
        cluster_id: cluster("ours"),
        number_of_partitions: Some(3),
        own_node: None,
        allow_incomplete: false,
    };
    let copies = [
        Small { node: 6, ..GOOD },
        Small { node: 5, count: Some(4), ..GOOD },
        Small { node: 4, complete: false, ..GOOD },
        Small { node: 3, ours: false, ..GOOD },
        Small { node: 2, code: Some(StatusCode::InProgress), ..GOOD },
        Small { node: 1, code: None, ..GOOD },
    ];
    let mut given: Vec<PartitionCopy> = copies.into_iter().map(copy).collect();
    let mut other = copy(GOOD);
    other.id = BackupId::new(2, 7, 0);
    given.push(other.clone());
    other.id = BackupId::new(1, 8, 0);
    given.push(other);
    let choice = Choice::new(PartitionId(1), CheckpointId(7), given, &rules);
    let refused: Vec<String> = choice.refused.iter().map(|(copy, why)| format!("{}: {why}", copy.id.node)).collect();
    assert_eq!(
        refused,
        [
            "1: the status is corrupt: torn",
            "2: is IN_PROGRESS",
            "3: belongs to cluster theirs",
            "4: files were left out on purpose",
            "5: is of a cluster of 4 partitions, not 3",
        ]
    );
    assert_eq!(choice.candidates.len(), 1);
    let disagree = [Small { node: 1, count: Some(3), ..GOOD }, Small { node: 2, count: Some(4), ..GOOD }];
    let rules = ChoiceRules { number_of_partitions: None, ..rules };
    let choice = Choice::new(PartitionId(1), CheckpointId(7), disagree.map(copy), &rules);
    assert!(choice.candidates.is_empty());
    assert!(choice.refused[0].1.to_string().contains("another copy says another number"));
}
