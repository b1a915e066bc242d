//! ListObjectsV2.

use milepost_core::ObjectKey;
use milepost_store::Bucket as _;
use milepost_store::bucket::{ListPage, ListRequest, MAX_PAGE, PageToken};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::{Protocol, Reply, error, ok, written};

/// A token as it travels: the bucket's own may hold characters that XML cannot.
fn outside(token: &str) -> String {
    token.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn inside(token: &str) -> S3Result<String> {
    let bytes: Option<Vec<u8>> =
        token.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let token = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    token.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of this server"))
}

/// A key as `encoding-type=url` asks for it.
pub(super) fn spelled(key: &str, encoding: Option<&EncodingType>) -> String {
    if encoding.is_none() {
        return key.to_owned();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    key.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Protocol {
    pub(super) async fn list(&self, input: ListObjectsV2Input) -> Reply<ListObjectsV2Output> {
        self.known(&input.bucket)?;
        let quirks = self.shared.quirks();
        let delimiter = match input.delimiter.as_deref() {
            None | Some("") => false,
            Some("/") => true,
            Some(other) => return Err(s3_error!(NotImplemented, "delimiter {:?}: this server knows / only", other)),
        };
        let asked = input.max_keys.unwrap_or(MAX_PAGE as i32);
        let limit = usize::try_from(asked).map_err(|_| s3_error!(InvalidArgument, "max-keys {}", asked))?.min(MAX_PAGE);
        let page = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => Some(PageToken(inside(token)?)),
            // The bucket's token is the least key that may come next.
            (None, Some(after)) => Some(PageToken(format!("{after}\0"))),
            (None, None) => None,
        };
        let request = ListRequest { prefix: input.prefix.clone().unwrap_or_default(), delimiter, page, limit };
        let page = match limit {
            0 => ListPage::default(),
            _ => self.bucket().list(request).await.map_err(|failed| error(&failed))?,
        };
        let encoding = input.encoding_type.as_ref();
        let mut contents = Vec::with_capacity(page.objects.len());
        for object in page.objects {
            // Gone since: as young as can be. The listing's own word for it stands.
            let age = match ObjectKey::new(object.key.as_str()) {
                Ok(key) => self.bucket().head(&key).await.ok().and_then(|meta| meta.age),
                Err(_) => None,
            };
            contents.push(Object {
                key: Some(spelled(&object.key, encoding)),
                size: i64::try_from(object.size).ok(),
                e_tag: Some(ETag::Strong(object.etag.0)),
                last_modified: Some(written(age, &quirks)),
                ..Object::default()
            });
        }
        let folders = page.folders.iter().map(|folder| CommonPrefix { prefix: Some(spelled(folder, encoding)) });
        let common_prefixes: Vec<_> = folders.collect();
        ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(spelled(input.prefix.as_deref().unwrap_or_default(), encoding)),
            delimiter: input.delimiter,
            max_keys: i32::try_from(limit).ok(),
            key_count: i32::try_from(contents.len() + common_prefixes.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            continuation_token: input.continuation_token,
            next_continuation_token: page.next.map(|token| outside(&token.0)),
            start_after: input.start_after,
            encoding_type: input.encoding_type,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..ListObjectsV2Output::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        for token in ["", "a/b\0", "é/0"] {
            assert_eq!(inside(&outside(token)).unwrap(), token);
        }
        for token in ["x", "é", "0", "ff"] {
            assert!(inside(token).is_err() || token == "0", "{token}");
        }
    }
}
