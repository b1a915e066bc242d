//! What replies carry besides their content: the server's time, ETags, lengths.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use milepost_store::{BucketError, ETag};

use crate::error::{self, Asked};

/// Catches the `Date` of one reply, which the SDK's outputs leave out: ages are told by the store's own clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerDate(Arc<OnceLock<DateTime>>);

impl ServerDate {
    /// The server's time, in seconds since 1970.
    pub(crate) fn seconds(&self) -> Option<i64> {
        self.0.get().map(DateTime::secs)
    }

    /// How long before the reply `then` was. Never negative: servers round the two differently.
    pub(crate) fn age(&self, then: Option<&DateTime>) -> Option<Duration> {
        let seconds = self.0.get()?.secs().checked_sub(then?.secs())?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()) {
            let _ = self.0.set(date);
        }
        Ok(())
    }
}

/// An ETag without the quotes, which some servers leave out in listings.
pub(crate) fn etag(text: &str) -> ETag {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    ETag(bare.unwrap_or(text).to_owned())
}

/// The ETag of a reply that must name one.
pub(crate) fn named_etag(asked: Asked<'_>, text: Option<&str>) -> Result<ETag, BucketError> {
    text.map(etag).ok_or_else(|| error::nonsense(asked, "it names no ETag"))
}

/// An ETag as a header carries it.
pub(crate) fn quoted(etag: &ETag) -> String {
    // A weak one keeps the quotes inside its own form.
    if etag.0.starts_with("W/") { etag.0.clone() } else { format!("\"{}\"", etag.0) }
}

/// The whole object's length in a `Content-Range` such as `bytes 0-9/100`.
pub(crate) fn whole_length(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_lose_and_regain_their_quotes() {
        for (sent, kept) in [("\"abc-2\"", "abc-2"), ("abc", "abc"), ("W/\"abc\"", "W/\"abc\""), ("\"", "\""), ("", "")]
        {
            assert_eq!(etag(sent).0, kept);
        }
        assert_eq!(quoted(&etag("\"abc\"")), "\"abc\"");
        assert_eq!(quoted(&etag("abc")), "\"abc\"");
        assert_eq!(quoted(&etag("W/\"abc\"")), "W/\"abc\"");
    }

    #[test]
    fn lengths_of_content_ranges() {
        assert_eq!(whole_length("bytes 0-9/100"), Some(100));
        assert_eq!(whole_length("bytes */100"), Some(100));
        for bad in ["bytes 0-9/*", "", "bytes", "bytes 0-9/-1", "bytes 0-9/99999999999999999999"] {
            assert_eq!(whole_length(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages_are_differences_of_the_servers_times() {
        let date = ServerDate::default();
        assert_eq!(date.age(Some(&DateTime::from_secs(0))), None);
        date.0.set(DateTime::from_secs(100)).unwrap();
        assert_eq!(date.age(Some(&DateTime::from_secs(40))), Some(Duration::from_secs(60)));
        assert_eq!(date.age(Some(&DateTime::from_secs(101))), Some(Duration::ZERO));
        assert_eq!(date.age(None), None);
    }
}
