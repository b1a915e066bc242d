//! The conformance suite of [`Bucket`]: every sentence of the trait's page, as a check.
//!
//! Each check works below a folder of its own name, so that a factory may give the same bucket again and again (a real
//! one is slow to make) as long as it was empty at first. Beside every check the suite looks whether anything appeared
//! that no check asked for.
//!
//! Run it on a runtime of several threads: races between tasks of one thread are no races.
//!
//! ```
//! use milepost_store::MemoryBucket;
//! use milepost_testkit::bucket_suite::{SuiteOptions, conforms};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), milepost_testkit::SuiteFailure> {
//! let options = SuiteOptions { many_keys: 1_001, ..SuiteOptions::default() };
//! conforms(async || MemoryBucket::new("mine"), &options).await
//! # }
//! ```

mod client;
mod deletes;
mod listings;
mod multipart;
mod races;
mod reads;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use milepost_store::Bucket;

use crate::check::{Checked, FailedCheck, SuiteFailure, report, run};
use client::Client;

/// What a store is and can. The defaults ask for all of the trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteOptions {
    /// Does `list_uploads` find uploads by a prefix that is no whole key? MinIO does not.
    pub uploads_listed_by_prefix: bool,
    /// Does the store check the checksum of a put? One that cannot is not asked to.
    pub put_checksums: bool,
    /// Does the store check the checksum of the whole object when an upload is completed?
    pub upload_checksums: bool,
    /// Bytes of one part in the checks, where the bucket's own smallest part is not to be used. The largest body of the
    /// suite is about four of them.
    pub min_part: Option<u64>,
    /// Writers of each race. 2 to 64. Default: 16.
    pub racers: usize,
    /// How often each race is run. Default: 4.
    pub rounds: usize,
    /// How many keys the listing over several pages has: more than 1,000 to see a full page. Default: 1,003.
    pub many_keys: usize,
    /// How long one check may take. Default: 2 minutes.
    pub time_limit: Duration,
    /// Names of checks to leave out, each for a reason that its user should write beside it.
    pub skip: Vec<&'static str>,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self {
            uploads_listed_by_prefix: true,
            put_checksums: true,
            upload_checksums: true,
            min_part: None,
            racers: 16,
            rounds: 4,
            many_keys: 1_003,
            time_limit: Duration::from_secs(120),
            skip: Vec::new(),
        }
    }
}

/// A check: its name, and what it does with a bucket.
type Check<B> = (&'static str, fn(Client<B>) -> BoxFuture<'static, Checked>);

macro_rules! checks {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        /// The names of all checks, in the order in which they run.
        pub const CHECKS: &[&str] = &[$(stringify!($name)),+];

        fn all<B: Bucket>() -> Vec<Check<B>> {
            vec![$((stringify!($name), |client| $module::$name(client).boxed())),+]
        }
    };
}

checks![
    writes::create_writes_once,
    writes::replace_needs_the_content_it_names,
    writes::replace_of_an_absent_key_writes_nothing,
    writes::overwrite_needs_nothing,
    writes::contents_of_many_sizes_read_back,
    writes::a_wrong_checksum_writes_nothing,
    writes::etags_agree_and_are_stable,
    writes::a_changed_document_has_another_etag,
    writes::the_store_says_what_it_is,
    races::racing_creates_have_one_winner,
    races::racing_replaces_have_one_winner,
    races::racing_completions_have_one_winner,
    races::readers_see_whole_contents,
    reads::absent_keys_are_not_found,
    reads::ranges_are_cut_to_the_object,
    reads::an_empty_object_has_empty_ranges,
    reads::a_body_dropped_half_way_harms_nothing,
    reads::the_stored_checksum_is_the_real_one,
    listings::an_absent_prefix_gives_an_empty_page,
    listings::pages_of_every_size_show_everything_once,
    listings::folders_are_folded_and_paged,
    listings::keys_come_in_byte_order,
    listings::a_prefix_never_reaches_its_neighbour,
    listings::odd_names_are_kept_as_they_are,
    listings::more_keys_than_a_page_holds,
    deletes::a_delete_is_seen_at_once,
    deletes::deleting_what_is_absent_succeeds,
    deletes::a_thousand_keys_have_a_thousand_outcomes,
    deletes::neighbours_of_a_deleted_key_stay,
    multipart::parts_in_any_order_make_the_object,
    multipart::a_part_sent_again_replaces_the_first,
    multipart::an_open_upload_is_no_object,
    multipart::a_wrong_whole_checksum_completes_nothing,
    multipart::completing_onto_an_existing_key_changes_nothing,
    multipart::aborting_is_final_and_repeatable,
    multipart::a_completed_upload_takes_nothing_more,
    multipart::open_uploads_are_listed,
    multipart::uploads_of_one_key_are_separate,
];

/// Runs every check, each on the bucket that `fresh` gives.
///
/// `fresh` gives a bucket that was empty before the suite began: a new one for each check, or always the same.
///
/// # Errors
/// Every check that failed, with what it saw.
pub async fn conforms<B: Bucket>(fresh: impl AsyncFn() -> B, options: &SuiteOptions) -> Result<(), SuiteFailure> {
    let options = Arc::new(options.clone());
    let (mut subject, mut ran, mut failed) = (String::new(), 0, Vec::new());
    for (name, check) in all::<B>() {
        if options.skip.contains(&name) {
            continue;
        }
        let bucket = fresh().await;
        subject = bucket.location();
        let client = Client::new(bucket, name, Arc::clone(&options));
        let result = run(options.time_limit, async {
            check(client.clone()).await?;
            client.finds_no_strangers().await
        });
        ran += 1;
        if let Err(seen) = result.await {
            failed.push(FailedCheck { check: name, seen: seen.0 });
        }
    }
    report(subject, ran, failed)
}
