//! What must hold of a store's URL that anyone may have written. For the tests, and for cargo-fuzz.

use milepost::url::{MAX_URL_BYTES, credential_in};
use milepost::{S3Location, StoreUrl};
use milepost_testkit::hostile::{Verdict, fit_to_show, kind_of};

/// Stands where passwords stand.
pub(crate) const SECRET: &str = "hunter2doNotShow";

/// Both readers of URLs, the one of the command and the one of the S3 backend.
pub(crate) fn url(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok("no UTF-8".to_owned()) };
    let carries = credential_in(text).is_some();
    // The backend's reader, which stands behind the other one, answers for user and password alone.
    let authority = text.strip_prefix("s3://").and_then(|rest| rest.split(['/', '?', '#']).next());
    let as_user = authority.is_some_and(|authority| authority.contains('@'));
    let refused = |error: &milepost::Error, carries: bool| {
        let words = format!("{error} {}", error.hint().unwrap_or_default());
        fit_to_show(&words, MAX_URL_BYTES + 1_000)?;
        if carries && (words.contains(SECRET) || format!("{error:?}").contains(SECRET)) {
            return Err(format!("repeats what looks like a credential: {words}"));
        }
        Ok(kind_of(&words))
    };
    let location = S3Location::parse(text);
    if let Err(error) = &location {
        refused(error, as_user)?;
    }
    match text.parse::<StoreUrl>() {
        Err(error) => refused(&error, carries),
        Ok(_) if carries => Err("a credential is let through".to_owned()),
        Ok(StoreUrl::Directory(path)) if path.as_os_str().is_empty() => Err("an empty path".to_owned()),
        Ok(StoreUrl::S3 { bucket, base, .. }) => {
            if milepost::core::Layout::new(&base).is_err() {
                return Err(format!("the base {base:?} is let through"));
            }
            match location {
                Ok(location) if location.bucket == bucket && location.base_path == base => Ok("S3".to_owned()),
                Ok(location) => Err(format!("two readers, two places: {location:?}, {bucket:?} {base:?}")),
                // The backend knows more of buckets, endpoints and regions.
                Err(error) => Ok(format!("S3, but {}", kind_of(&error.to_string()))),
            }
        }
        Ok(store) => {
            fit_to_show(&store.to_string(), MAX_URL_BYTES)?;
            Ok(format!("{:?}", std::mem::discriminant(&store)))
        }
    }
}
