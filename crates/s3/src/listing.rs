//! Listings: pages of objects and folders.

use aws_sdk_s3::types::EncodingType;
use milepost_core::Timestamp;
use milepost_store::bucket::{ListPage, ListRequest, Listed, MAX_PAGE, PageToken};
use milepost_store::{BucketError, BucketErrorKind};

use crate::bucket::S3Bucket;
use crate::error::{self, Asked};
use crate::percent;
use crate::reply::{ServerDate, etag};

impl S3Bucket {
    /// The `Date` of a reply, whatever else the reply says: a refusal carries it as well.
    pub(crate) async fn server_time(&self) -> Result<Option<Timestamp>, BucketError> {
        let shared = &*self.shared;
        let date = ServerDate::default();
        let request = shared
            .client
            .list_objects_v2()
            .bucket(&shared.bucket)
            .set_expected_bucket_owner(shared.owner.clone())
            .max_keys(1)
            .customize()
            .interceptor(date.clone());
        let reply = request.send().await;
        match (date.seconds(), reply) {
            (Some(seconds), _) => Ok(Timestamp::from_second(seconds).ok()),
            (None, Ok(_)) => Ok(None),
            (None, Err(error)) => Err(error::map(shared.asked("list", ""), &error)),
        }
    }

    pub(crate) async fn list_page(&self, request: ListRequest) -> Result<ListPage, BucketError> {
        if !(1..=MAX_PAGE).contains(&request.limit) {
            let message = format!("a page has 1 to {MAX_PAGE} entries, not {}", request.limit);
            return Err(BucketError::new(BucketErrorKind::Invalid, message));
        }
        let shared = &*self.shared;
        let asked = shared.asked("list", &request.prefix);
        let send = shared
            .client
            .list_objects_v2()
            .bucket(&shared.bucket)
            .set_expected_bucket_owner(shared.owner.clone())
            .set_prefix((!request.prefix.is_empty()).then(|| request.prefix.clone()))
            .set_delimiter(request.delimiter.then(|| "/".to_owned()))
            .set_continuation_token(request.page.map(|token| token.0))
            .max_keys(i32::try_from(request.limit).unwrap_or(1000))
            // Strangers' keys may hold what XML cannot carry: MinIO would put something else in its place.
            .encoding_type(EncodingType::Url);
        let reply = send.send().await.map_err(|error| error::map(asked, &error))?;
        let encoded = reply.encoding_type() == Some(&EncodingType::Url);
        let mut page = ListPage::default();
        for object in reply.contents() {
            let key = decoded(asked, object.key(), encoded)?;
            let size = object.size().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| error::nonsense(asked, "an entry has no length"))?;
            let tag = object.e_tag().ok_or_else(|| error::nonsense(asked, "an entry has no ETag"))?;
            page.objects.push(Listed { key, size, etag: etag(tag) });
        }
        for folder in reply.common_prefixes() {
            page.folders.push(decoded(asked, folder.prefix(), encoded)?);
        }
        if reply.is_truncated() == Some(true) {
            // Without it a listing would silently end early, and a delete believe that it is done.
            let token = reply.next_continuation_token().filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| error::nonsense(asked, "there is more, but it does not say where"))?;
            page.next = Some(PageToken(token.to_owned()));
        }
        Ok(page)
    }
}

/// A key or folder of a listing.
pub(crate) fn decoded(asked: Asked<'_>, text: Option<&str>, encoded: bool) -> Result<String, BucketError> {
    let text = text.ok_or_else(|| error::nonsense(asked, "an entry has no key"))?;
    if !encoded {
        return Ok(text.to_owned());
    }
    percent::decode(text, true).ok_or_else(|| error::nonsense(asked, "a key is not percent-encoded UTF-8"))
}
