//! Listing what lies below one backup's prefix.

use std::collections::HashMap;

use milepost_core::BackupId;

use super::Engine;
use crate::bucket::{Bucket, ListRequest, Listed};
use crate::context::OpContext;
use crate::error::{Error, ErrorKind, Result};

/// The most objects below one backup that a save, restore or verify looks at: all files that it may have, and as many
/// strangers again.
const MAX_LISTED: usize = 700_000;

impl<B: Bucket> Engine<B> {
    /// Every object below a backup's prefix, by key.
    pub(crate) async fn list_backup(&self, id: BackupId, cx: &OpContext) -> Result<HashMap<String, Listed>> {
        let mut objects = HashMap::new();
        let mut request = ListRequest::all(self.layout.backup_prefix(id));
        loop {
            let page = self.must(cx, || self.bucket.list(request.clone())).await?;
            objects.extend(page.objects.into_iter().map(|object| (object.key.clone(), object)));
            if objects.len() > MAX_LISTED {
                let message = format!("more than {MAX_LISTED} objects lie below {}", request.prefix);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            match page.next {
                Some(token) => request.page = Some(token),
                None => return Ok(objects),
            }
        }
    }
}
