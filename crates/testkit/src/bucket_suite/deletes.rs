//! Deletes: unconditional, per-key outcomes, seen at once.

use std::collections::BTreeSet;

use milepost_store::Bucket;
use milepost_store::bucket::MAX_PAGE;

use super::client::{Client, bytes};
use super::listings::plant;
use crate::check::{Checked, Doing as _, ensure_eq};

/// Deletes, and sees one good outcome for each key.
async fn delete<B: Bucket>(client: &Client<B>, names: &[String]) -> Checked {
    let keys: Vec<String> = names.iter().map(|name| client.prefix() + name).collect();
    let outcomes = client.bucket.delete(keys.clone()).await.doing(format_args!("deleting {} keys", keys.len()))?;
    ensure_eq!(outcomes.len(), keys.len(), "number of outcomes");
    let told: BTreeSet<&String> = outcomes.iter().map(|outcome| &outcome.key).collect();
    ensure_eq!(told, keys.iter().collect::<BTreeSet<_>>(), "keys with an outcome");
    for outcome in outcomes {
        outcome.result.doing(format_args!("deleting {}", outcome.key))?;
    }
    Ok(())
}

pub(super) async fn a_delete_is_seen_at_once<B: Bucket>(client: Client<B>) -> Checked {
    for turn in 0..8 {
        let (key, body) = (client.key("a/b.json")?, bytes(turn, 100));
        client.create(&key, &body).await?;
        client.holds(&key, &body, "right after a put").await?;
        delete(&client, &["a/b.json".to_owned()]).await?;
        client.absent(&key, "right after a delete").await?;
        client.shows(&[], "right after a delete").await?;
    }
    Ok(())
}

pub(super) async fn deleting_what_is_absent_succeeds<B: Bucket>(client: Client<B>) -> Checked {
    let names = ["never", "never/was", "here/never"].map(str::to_owned);
    delete(&client, &names).await?;
    plant(&client, ["here/a".to_owned()]).await?;
    delete(&client, &names).await?;
    delete(&client, &["here/a".to_owned(), "here/never".to_owned()]).await?;
    delete(&client, &["here/a".to_owned()]).await?;
    let none = client.bucket.delete(Vec::new()).await.doing("deleting nothing")?;
    ensure_eq!(none.len(), 0, "outcomes of deleting nothing");
    client.shows(&[], "after deleting what was absent").await
}

pub(super) async fn a_thousand_keys_have_a_thousand_outcomes<B: Bucket>(client: Client<B>) -> Checked {
    let names: Vec<String> = (0..MAX_PAGE).map(|number| format!("d{}/{number}", number % 7)).collect();
    // Every second one is there: an outcome is due for the others too.
    plant(&client, names.iter().step_by(2).cloned()).await?;
    plant(&client, ["stays".to_owned()]).await?;
    delete(&client, &names).await?;
    client.shows(&["stays"], "after deleting a thousand keys").await
}

pub(super) async fn neighbours_of_a_deleted_key_stay<B: Bucket>(client: Client<B>) -> Checked {
    let names = ["1/10/2/a", "1/10/2/ab", "1/10/2/b/c", "1/100/2/a"];
    plant(&client, names.map(str::to_owned)).await?;
    delete(&client, &["1/10/2/a".to_owned()]).await?;
    client.shows(&names[1..], "after deleting one key").await?;
    // A folder's name is no key: nothing below it goes.
    delete(&client, &["1/10".to_owned(), "1/10/2/b".to_owned()]).await?;
    client.shows(&names[1..], "after deleting the names of folders").await
}
