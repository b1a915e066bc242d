//! Ranges of files.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use milepost_core::{BackupId, FileName, FileSetKind};

use crate::error::Result;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// The backup.
    pub id: BackupId,
    /// The file set.
    pub kind: FileSetKind,
    /// The name.
    pub name: FileName,
}

/// The bytes of a range of a file.
pub struct ByteStream {
    len: u64,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl ByteStream {
    /// A stream of `len` bytes.
    #[must_use]
    pub fn new(len: u64, chunks: BoxStream<'static, Result<Bytes>>) -> Self {
        Self { len, chunks }
    }

    /// How many bytes come, unless the stream ends with an error.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Is the range empty?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(cx)
    }
}
