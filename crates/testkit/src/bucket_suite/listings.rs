//! Listings: order, pages, folders, prefixes, names.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use milepost_store::Bucket;
use milepost_store::bucket::{ListPage, ListRequest};

use super::client::{Client, bytes};
use crate::check::{Checked, Doing as _, ensure, ensure_eq};

/// Writes one byte under each name, a few at a time.
pub(super) async fn plant<B: Bucket>(client: &Client<B>, names: impl IntoIterator<Item = String>) -> Checked {
    let keys: Vec<_> = names.into_iter().map(|name| client.key(&name)).collect::<Checked<_>>()?;
    let body = Bytes::from_static(b"x");
    stream::iter(keys)
        .map(Ok)
        .try_for_each_concurrent(16, |key| {
            let (client, body) = (client.clone(), body.clone());
            async move { client.create(&key, &body).await.map(drop) }
        })
        .await
}

fn keys(page: &ListPage) -> Vec<&str> {
    page.objects.iter().map(|object| object.key.as_str()).collect()
}

pub(super) async fn an_absent_prefix_gives_an_empty_page<B: Bucket>(client: Client<B>) -> Checked {
    for prefix in [client.prefix(), client.prefix() + "a/b/c/"] {
        for request in [ListRequest::all(prefix.clone()), ListRequest::folders(prefix.clone())] {
            let page = client.bucket.list(request).await.doing(format_args!("listing the absent {prefix}"))?;
            ensure_eq!(page, ListPage::default(), "page of the absent {prefix}");
        }
    }
    plant(&client, ["a/b".to_owned()]).await?;
    // A key is no folder: below `a/b/` there is nothing.
    let page = client.pages(ListRequest::all(client.prefix() + "a/b/")).await?;
    ensure_eq!(page, ListPage::default(), "page below a key");
    Ok(())
}

pub(super) async fn pages_of_every_size_show_everything_once<B: Bucket>(client: Client<B>) -> Checked {
    let names = ["a", "b/1", "b/2", "b/3/x", "b/3/y", "c", "d/e/f/g", "e", "f/1", "f/2"];
    plant(&client, names.map(str::to_owned)).await?;
    let expected: Vec<String> = names.iter().map(|name| client.prefix() + name).collect();
    for limit in 1..=names.len() + 1 {
        let page = client.pages(ListRequest { limit, ..ListRequest::all(client.prefix()) }).await?;
        ensure_eq!(keys(&page), expected, "keys by pages of {limit}");
        ensure!(page.folders.is_empty(), "folders without a delimiter: {:?}", page.folders);
    }
    // The last page, even a full one, says that it is the last: a caller that asks again would read on for ever.
    let page = client.bucket.list(ListRequest { limit: names.len(), ..ListRequest::all(client.prefix()) }).await;
    let page = page.doing("listing a full last page")?;
    if let Some(token) = page.next {
        let rest = ListRequest { page: Some(token), ..ListRequest::all(client.prefix()) };
        let rest = client.bucket.list(rest).await.doing("listing behind a full last page")?;
        ensure_eq!(rest, ListPage::default(), "what comes behind the last key");
    }
    Ok(())
}

pub(super) async fn folders_are_folded_and_paged<B: Bucket>(client: Client<B>) -> Checked {
    let mut names: Vec<String> = ["1/status.json", "2/a/b", "2/c", "3", "4/x/y/z", "5"].map(str::to_owned).to_vec();
    // A folder whose contents alone fill pages is still one entry.
    names.extend((0..30).map(|number| format!("25/{number}")));
    plant(&client, names).await?;
    let prefix = client.prefix();
    for limit in 1..=8 {
        let page = client.pages(ListRequest { limit, ..ListRequest::folders(prefix.clone()) }).await?;
        let expected = ["1/", "2/", "25/", "4/"].map(|folder| format!("{prefix}{folder}"));
        ensure_eq!(page.folders, expected, "folders by pages of {limit}");
        ensure_eq!(keys(&page), [format!("{prefix}3"), format!("{prefix}5")], "objects by pages of {limit}");
    }
    let inner = client.pages(ListRequest::folders(format!("{prefix}2/"))).await?;
    ensure_eq!(inner.folders, [format!("{prefix}2/a/")], "folders of 2/");
    ensure_eq!(keys(&inner), [format!("{prefix}2/c")], "objects of 2/");
    // What is gone takes its folder with it.
    client.bucket.delete(vec![format!("{prefix}4/x/y/z")]).await.doing("deleting the only key of a folder")?;
    let page = client.pages(ListRequest::folders(prefix.clone())).await?;
    ensure_eq!(page.folders, ["1/", "2/", "25/"].map(|folder| format!("{prefix}{folder}")), "folders after a delete");
    Ok(())
}

pub(super) async fn keys_come_in_byte_order<B: Bucket>(client: Client<B>) -> Checked {
    // `-` and `.` come before `/`, `0` behind it: whoever walks folders one by one gets this wrong.
    let names = ["A", "B/x", "a-", "a-b/c", "a.", "a.b", "a/b", "a/b.c/d", "a0", "aa", "é", "日本", "😀"];
    ensure!(names.is_sorted(), "the check's own names are out of order");
    plant(&client, names.iter().rev().map(|name| (*name).to_owned())).await?;
    let expected: Vec<String> = names.iter().map(|name| client.prefix() + name).collect();
    for limit in [1, 2, 3, 5, 1000] {
        let page = client.pages(ListRequest { limit, ..ListRequest::all(client.prefix()) }).await?;
        ensure_eq!(keys(&page), expected, "keys by pages of {limit}");
    }
    for limit in [1, 2, 1000] {
        let page = client.pages(ListRequest { limit, ..ListRequest::folders(client.prefix()) }).await?;
        let folders = ["B/", "a-b/", "a/"].map(|folder| client.prefix() + folder);
        ensure_eq!(page.folders, folders, "folders by pages of {limit}");
    }
    Ok(())
}

pub(super) async fn a_prefix_never_reaches_its_neighbour<B: Bucket>(client: Client<B>) -> Checked {
    let names = ["1/1/2/status.json", "1/10/2/status.json", "1/100/2/status.json", "11/10/2/status.json"];
    plant(&client, names.map(str::to_owned)).await?;
    let prefix = client.prefix();
    for name in names {
        let own = format!("{prefix}{}/", name.trim_end_matches("/2/status.json"));
        let page = client.pages(ListRequest::all(own.clone())).await?;
        ensure_eq!(keys(&page), [format!("{prefix}{name}")], "keys below {own}");
        let page = client.pages(ListRequest::folders(own.clone())).await?;
        ensure_eq!(page.folders, [format!("{own}2/")], "folders below {own}");
    }
    let page = client.pages(ListRequest::folders(format!("{prefix}1/"))).await?;
    ensure_eq!(page.folders, ["1/1/", "1/10/", "1/100/"].map(|f| format!("{prefix}{f}")), "folders below 1/");
    // The empty prefix is everything.
    let root = client.pages(ListRequest::folders("")).await?;
    ensure!(root.folders.contains(&prefix), "the root shows {:?}, but not {prefix}", root.folders);
    Ok(())
}

pub(super) async fn odd_names_are_kept_as_they_are<B: Bucket>(client: Client<B>) -> Checked {
    let long = "n".repeat(200);
    let names = [
        "with space",
        " leading and trailing ",
        "per%cent",
        "%2F%20",
        "a+b",
        "a&b=c",
        "a?b#c",
        "quote\"s'`",
        "<tag>&amp;",
        "colon:semi;comma,",
        "star*bra[ck]et{}",
        "tilde~$(x)",
        "é", // One code point, NFC.
        "日本語",
        "😀",
        "inner/.hidden",
        "inner/..twodots",
        "inner/trailing.",
        "inner/...",
        long.as_str(),
        "snapshots/000001.sst",
        "UPPER and lower",
    ];
    for (seed, name) in (1u64..).zip(names) {
        let (key, body) = (client.key(name)?, bytes(seed, 20));
        client.create(&key, &body).await?;
        client.holds(&key, &body, "an odd name").await?;
    }
    client.shows(&names, "odd names").await?;
    let all: Vec<String> = client.listed().await?.into_iter().map(|listed| listed.key).collect();
    let outcomes = client.bucket.delete(all).await.doing("deleting odd names")?;
    for outcome in outcomes {
        outcome.result.doing(format_args!("deleting {}", outcome.key))?;
    }
    client.shows(&[], "after deleting odd names").await
}

pub(super) async fn more_keys_than_a_page_holds<B: Bucket>(client: Client<B>) -> Checked {
    let count = client.options.many_keys;
    plant(&client, (0..count).map(|number| format!("many/{number:06}"))).await?;
    let expected: Vec<String> = (0..count).map(|number| format!("{}many/{number:06}", client.prefix())).collect();
    for limit in [1000, 999, 334] {
        let page = client.pages(ListRequest { limit, ..ListRequest::all(client.prefix() + "many/") }).await?;
        ensure_eq!(page.objects.len(), count, "number of keys by pages of {limit}");
        ensure_eq!(keys(&page), expected, "keys by pages of {limit}");
    }
    let page = client.pages(ListRequest { limit: 1, ..ListRequest::folders(client.prefix()) }).await?;
    ensure_eq!(page.folders, [client.prefix() + "many/"], "the folder of {count} keys");
    Ok(())
}
