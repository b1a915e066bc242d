//! Listings of backups.

use std::num::NonZeroU32;

use milepost_core::{BackupId, CheckpointId, NodeId, PartitionId, Selector};
use milepost_store::{BackupState, Expect, ListQuery, Order};

use super::client::{Client, State};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

/// Records of failures are the cheapest backups. Numbers that sort otherwise as text.
async fn plant(client: &Client) -> Checked {
    for (partition, checkpoint, node) in [
        (2, 9, 0),
        (1, 100, 10),
        (1, 10, 0),
        (10, 10, 1),
        (1, 9, 1),
        (2, 100, 0),
        (1, 100, 9),
        (2, 10, 1),
        (1, 1000, 0),
    ] {
        let id = BackupId::new(partition, checkpoint, node);
        client.mark_failed(id, "planted", Expect::Any).await.doing(format_args!("planting {id}"))?;
    }
    Ok(())
}

const DESCENDING: [&str; 9] =
    ["1/1000/0", "1/100/9", "1/100/10", "2/100/0", "1/10/0", "2/10/1", "10/10/1", "1/9/1", "2/9/0"];

fn limited(limit: u32) -> ListQuery {
    ListQuery { limit: NonZeroU32::new(limit), ..ListQuery::default() }
}

pub(super) async fn an_empty_store_lists_nothing(client: Client) -> Checked {
    for query in [ListQuery::default(), limited(1), ListQuery { tombstones: true, ..ListQuery::default() }] {
        ensure_eq!(client.ids(query).await?, Vec::<String>::new(), "an empty store by {query:?}");
    }
    Ok(())
}

pub(super) async fn backups_are_listed_by_checkpoint_partition_node(client: Client) -> Checked {
    plant(&client).await?;
    ensure_eq!(client.ids(ListQuery::default()).await?, DESCENDING, "the listing, newest first");
    let ascending = ["1/9/1", "2/9/0", "1/10/0", "2/10/1", "10/10/1", "1/100/9", "1/100/10", "2/100/0", "1/1000/0"];
    let query = ListQuery { order: Order::Ascending, ..ListQuery::default() };
    ensure_eq!(client.ids(query).await?, ascending, "the listing, oldest first");
    for listed in client.list(ListQuery::default()).await? {
        let status = client.status(listed.id).await?;
        ensure_eq!(listed.state(), BackupState::Failed, "the state of {} in the listing", listed.id);
        ensure_eq!((&listed.document, &listed.etag), (&status.document, &status.etag), "{} in the listing", listed.id);
    }
    Ok(())
}

pub(super) async fn a_selector_narrows(client: Client) -> Checked {
    plant(&client).await?;
    for mask in 0..8 {
        for at in DESCENDING {
            let id: BackupId = at.parse().doing("parsing an id")?;
            let selector = Selector {
                partition: (mask & 1 != 0).then_some(id.partition),
                checkpoint: (mask & 2 != 0).then_some(id.checkpoint),
                node: (mask & 4 != 0).then_some(id.node),
            };
            let mut expected = Vec::new();
            for text in DESCENDING {
                if selector.matches(text.parse().doing("parsing an id")?) {
                    expected.push(text);
                }
            }
            let query = ListQuery { selector, ..ListQuery::default() };
            ensure_eq!(client.ids(query).await?, expected, "the listing by {selector:?}");
        }
    }
    let nothing = [
        Selector { partition: Some(PartitionId(3)), ..Selector::ALL },
        Selector { checkpoint: Some(CheckpointId(1)), ..Selector::ALL },
        Selector { node: Some(NodeId(2)), ..Selector::ALL },
    ];
    for selector in nothing {
        let query = ListQuery { selector, ..ListQuery::default() };
        ensure_eq!(client.ids(query).await?, Vec::<String>::new(), "the listing by {selector:?}");
    }
    Ok(())
}

pub(super) async fn limits_and_cursors_count_checkpoints(client: Client) -> Checked {
    plant(&client).await?;
    ensure_eq!(client.ids(limited(2)).await?, DESCENDING[..4], "two checkpoints");
    ensure_eq!(client.ids(limited(9)).await?, DESCENDING, "more checkpoints than there are");
    for (order, limit) in [(Order::Descending, 1), (Order::Descending, 3), (Order::Ascending, 1), (Order::Ascending, 2)]
    {
        let query = ListQuery { order, ..ListQuery::default() };
        let (whole, mut walked, mut after) = (client.ids(query).await?, Vec::new(), None);
        for _ in 0..10 {
            let page = client.list(ListQuery { after, limit: NonZeroU32::new(limit), ..query }).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.checkpoint);
            walked.extend(page.iter().map(|status| status.id.to_string()));
        }
        ensure_eq!(walked, whole, "the listing by pages of {limit}, {order:?}");
    }
    // A cursor need not be there.
    let query = ListQuery { after: Some(CheckpointId(50)), ..ListQuery::default() };
    ensure_eq!(client.ids(query).await?, DESCENDING[4..], "behind a checkpoint that is not there");
    Ok(())
}

pub(super) async fn tombstones_are_shown_only_when_asked_for(client: Client) -> Checked {
    let (kept, gone) = (BackupId::new(1, 10, 0), BackupId::new(1, 20, 0));
    client.bring(kept, State::Recorded).await?;
    client.bring(gone, State::Deleted).await?;
    ensure_eq!(client.ids(ListQuery::default()).await?, ["1/10/0"], "without tombstones");
    // A checkpoint that shows nothing does not use up the limit.
    ensure_eq!(client.ids(limited(1)).await?, ["1/10/0"], "one checkpoint without tombstones");
    let query = ListQuery { tombstones: true, ..ListQuery::default() };
    let listed = client.list(query).await?;
    let shown: Vec<_> = listed.iter().map(|status| (status.id, status.is_tombstone())).collect();
    ensure_eq!(shown, [(gone, true), (kept, false)], "with tombstones");
    ensure!(listed.iter().all(|status| status.document.is_some()), "a listed status without a document");
    Ok(())
}
