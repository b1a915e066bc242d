//! Trying again: the one place that waits between tries of a request.
//!
//! Waits grow exponentially with jitter from the passed-in randomness, up to 5 s, until the budget of the settings is
//! spent. What cannot succeed later fails at once. A conditional write is never simply sent again: its unknown outcome is
//! settled in `register`, which borrows only the waiting from here.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::Engine;
use crate::bucket::{Bucket, BucketError, under};
use crate::context::OpContext;
use crate::error::{Error, Result};

/// The longest wait between two tries, unless the store asks for more.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// The longest wait that a store may ask for.
const MAX_ASKED_DELAY: Duration = Duration::from_secs(60);

/// The tries of one request.
pub(crate) struct Tries {
    waits: ExponentialBackoff,
    budget: Duration,
    /// Set by the first failure: neither a long transfer nor a wait for the rate limit spends the budget.
    end: Option<Instant>,
}

impl Tries {
    /// Waits before the next try; an error once the budget is spent.
    pub(crate) async fn pause(&mut self, error: BucketError, cx: &OpContext) -> Result<()> {
        let asked = error.retry_after.unwrap_or_default().min(MAX_ASKED_DELAY);
        let wait = self.waits.next().unwrap_or(MAX_DELAY).max(asked);
        let now = Instant::now();
        let end = *self.end.get_or_insert(now + self.budget);
        if now + wait > end {
            return Err(Error::from(error));
        }
        tracing::debug!(%error, wait_ms = wait.as_millis() as u64, "trying again");
        cx.progress().add_retry();
        cx.run(async {
            tokio::time::sleep(wait).await;
            Ok(())
        })
        .await
    }
}

impl<B: Bucket> Engine<B> {
    /// A fresh budget of tries.
    pub(crate) fn tries(&self) -> Tries {
        let waits = ExponentialBuilder::new()
            .with_min_delay(self.settings.retry_delay)
            .with_max_delay(MAX_DELAY)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(self.env.seed())
            .build();
        Tries { waits, budget: self.settings.retry_budget, end: None }
    }

    /// Sends a request that may be sent twice, until it is answered, fails for good or the budget is spent. The outer
    /// error is final (cancelled, deadline, budget); the inner one is the store's answer.
    pub(crate) async fn ask<T, F>(
        &self,
        cx: &OpContext,
        mut request: impl FnMut() -> F,
    ) -> Result<Result<T, BucketError>>
    where
        F: Future<Output = Result<T, BucketError>>,
    {
        let mut tries = self.tries();
        loop {
            match under(cx, request()).await? {
                Err(error) if error.is_transient() => tries.pause(error, cx).await?,
                answer => return Ok(answer),
            }
        }
    }

    /// The same where every failure is an error.
    pub(crate) async fn must<T, F>(&self, cx: &OpContext, request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, BucketError>>,
    {
        self.ask(cx, request).await?.map_err(Error::from)
    }
}
