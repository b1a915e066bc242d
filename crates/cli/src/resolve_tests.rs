use milepost::StatusCode;

use super::*;
use crate::fake::{Fake, completed, status, store};

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

fn choice(text: &str) -> Choice {
    text.parse().unwrap()
}

async fn chosen(store: &Fake, text: &str) -> Result<Vec<String>, String> {
    match candidates(store, choice(text), None, &OpContext::new()).await {
        Ok(ids) => Ok(ids.iter().map(ToString::to_string).collect()),
        Err(error) => {
            assert_eq!(error.kind().exit_code(), 4, "{error:?}");
            Err(error.to_string())
        }
    }
}

#[test]
fn choices_read() {
    assert_eq!(choice("1/100/2"), Choice::One(id("1/100/2")));
    let of = |checkpoint: Option<u64>, node: Option<u32>| Choice::Of {
        partition: PartitionId(1),
        checkpoint: checkpoint.map(CheckpointId),
        node: node.map(NodeId),
    };
    assert_eq!(choice("1/latest/any"), of(None, None));
    assert_eq!(choice("1/latest/2"), of(None, Some(2)));
    assert_eq!(choice("1/100/any"), of(Some(100), None));
    for text in ["", "1/1", "1/1/1/1", "01/1/1", "1/Latest/1", "any/1/1", "1/any/latest", "1/1/99999999999"] {
        let error = text.parse::<Choice>().unwrap_err();
        assert!(error.contains("PARTITION/CHECKPOINT/NODE"), "{error}");
    }
}

#[tokio::test]
async fn any_is_the_highest_term_then_position_then_the_lowest_node() {
    let store = store();
    for (text, term, position) in [("1/1/1", 1, 90), ("1/1/2", 2, 50), ("1/1/3", 2, 70), ("1/1/4", 2, 70)] {
        store.put(id(text), Some(completed(id(text), Some(1), term, position)));
    }
    store.put(id("1/1/5"), Some(status(id("1/1/5"), StatusCode::InProgress)));
    store.put(id("1/1/6"), None);
    let mut skipped = completed(id("1/1/7"), Some(1), 9, 9);
    skipped.complete = false;
    store.put(id("1/1/7"), Some(skipped));
    assert_eq!(chosen(&store, "1/1/any").await.unwrap(), ["1/1/3", "1/1/4", "1/1/2", "1/1/1"]);
    let error = chosen(&store, "2/1/any").await.unwrap_err();
    assert!(error.contains("none at all"), "{error}");
    let error = chosen(&store, "1/2/any").await.unwrap_err();
    assert!(error.contains("checkpoint 2"), "{error}");
}

#[tokio::test]
async fn latest_is_the_highest_that_is_complete_for_the_cluster() {
    let store = store();
    assert!(chosen(&store, "1/latest/any").await.unwrap_err().contains("there are no backups"));
    for text in ["1/10/1", "2/10/1", "1/9/1", "2/9/2", "1/100/1"] {
        store.put(id(text), Some(completed(id(text), Some(2), 1, 1)));
    }
    store.put(id("2/50/1"), Some(status(id("2/50/1"), StatusCode::Failed)));
    store.put(id("1/60/1"), None);
    assert_eq!(chosen(&store, "2/latest/any").await.unwrap(), ["2/10/1"]);
    assert_eq!(chosen(&store, "2/latest/7").await.unwrap(), ["2/10/7"], "a node is taken at its word");
    store.put(id("2/100/2"), Some(completed(id("2/100/2"), Some(3), 1, 1)));
    assert_eq!(chosen(&store, "1/latest/any").await.unwrap(), ["1/10/1"], "100 is inconsistent");
    store.put(id("2/100/2"), Some(completed(id("2/100/2"), None, 1, 1)));
    assert_eq!(chosen(&store, "1/latest/any").await.unwrap(), ["1/100/1"]);
    store.put(id("3/100/2"), Some(completed(id("3/100/2"), None, 1, 1)));
    assert_eq!(chosen(&store, "1/latest/any").await.unwrap(), ["1/10/1"], "partition 3 of 2 is out of range");
}

#[tokio::test]
async fn no_complete_checkpoint_says_what_the_newest_is() {
    let store = store();
    store.put(id("1/7/1"), Some(completed(id("1/7/1"), Some(3), 1, 1)));
    let error = chosen(&store, "1/latest/any").await.unwrap_err();
    assert!(error.contains("the newest, 7, is INCOMPLETE"), "{error}");
    store.put(id("1/8/1"), Some(status(id("1/8/1"), StatusCode::InProgress)));
    assert!(chosen(&store, "1/latest/any").await.unwrap_err().contains("8, is IN_PROGRESS"));
}

#[tokio::test]
async fn clusters_may_begin_at_partition_zero() {
    let store = store();
    for text in ["0/5/1", "1/5/1"] {
        store.put(id(text), Some(completed(id(text), Some(2), 1, 1)));
    }
    assert_eq!(chosen(&store, "0/latest/any").await.unwrap(), ["0/5/1"]);
}
