//! A fake S3 server: the S3 protocol over a memory bucket, on a port of this machine, with faults by script.
//!
//! What a client library makes of a lost reply, a cut body, a 503 or an error inside a 200 shows only over real HTTP.
//! [`FakeS3`] speaks it in this process: requests are parsed and their signatures checked (s3s), conditions and checksums
//! hold as Amazon documents them, and the [`MemoryBucket`] below can be looked into. What it answers beyond that is up to
//! the test:
//!
//! - [`FakeS3::inject`] scripts one [`Fault`] for the requests that [`On`] describes;
//! - [`FakeS3::set_quirks`] makes it a server of another kind: one that ignores conditions, keeps no checksums, or is
//!   soon overburdened ([`Quirks`]);
//! - [`FakeS3::down`] closes the port and every connection, [`FakeS3::up`] opens the same port again;
//! - [`FakeS3::log`] and [`FakeS3::count`] tell what was asked.
//!
//! The server runs on a thread of its own: the test may pause its clock, block, or have no runtime. Delays of the server
//! are real ones.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! use milepost_testkit::fake_s3::{FakeS3, Fault, On, Operation};
//!
//! # fn main() -> std::io::Result<()> {
//! let fake = FakeS3::start()?;
//! fake.inject(On::operation(Operation::GetObject).key_ending("status.json"), Fault::answer(503, "SlowDown"));
//!
//! // A client library is given fake.endpoint(), fake.bucket_name(), the keys, and path style. Here is a bare request:
//! let ask = || -> std::io::Result<String> {
//!     let mut connection = std::net::TcpStream::connect(fake.address())?;
//!     connection.write_all(b"GET /milepost/1/100/2/status.json HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n\r\n")?;
//!     let mut reply = String::new();
//!     connection.read_to_string(&mut reply)?;
//!     Ok(reply)
//! };
//! assert!(ask()?.starts_with("HTTP/1.1 503 "));
//! // The script said once. The next request is judged by the server, which wants a signature.
//! assert!(ask()?.starts_with("HTTP/1.1 403 "));
//! assert_eq!(fake.count(Operation::GetObject), 2);
//! # Ok(())
//! # }
//! ```
//!
//! What it is not: no versions, policies, encryption, tags or metadata of objects; one bucket; path style only; the ETag is
//! that of [`MemoryBucket`], also for uploads in parts; the checksum of a DeleteObjects body is not verified. Those need a
//! real server.

mod fault;
mod layer;
mod log;
mod operation;
mod protocol;
mod quirks;
mod server;
mod shared;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use milepost_store::MemoryBucket;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

pub use fault::{Fault, On, Wait};
pub use log::{Log, Request};
pub use operation::Operation;
pub use quirks::Quirks;

use layer::Layer;
use protocol::Protocol;
use server::Server;
use shared::Shared;

/// The name of the one bucket.
const BUCKET: &str = "milepost";
/// Made up, of the length and letters of real ones, so that a scan for secrets in output finds what it must find.
const ACCESS_KEY: &str = "AKIAFAKEFAKEFAKEFAKE";
const SECRET_KEY: &str = "fakeSecret/doNotShow+thisInAnyOutput0123";

/// A fake S3 server. Dropping it closes the port and every connection, and forgets late deliveries; clones of its bucket
/// live on.
#[derive(Debug)]
pub struct FakeS3 {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

impl FakeS3 {
    /// A server with an empty bucket, on a free port of 127.0.0.1, ready for requests.
    ///
    /// # Errors
    /// No port or no thread is to be had.
    pub fn start() -> io::Result<Self> {
        Self::serve(MemoryBucket::new(BUCKET))
    }

    /// The same over a given bucket: one with content, with other limits for parts
    /// ([`MemoryBucket::with_part_limits`]: the default allows parts of one byte, where S3 wants 5 MiB), or with little room.
    ///
    /// # Errors
    /// As [`FakeS3::start`].
    pub fn serve(bucket: MemoryBucket) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(bucket));
        let (server, address) = Server::start(0, layer_of(&shared))?;
        Ok(Self { shared, address, server: Mutex::new(Some(server)) })
    }

    /// Where it listens, as in `http://127.0.0.1:34567`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name of its one bucket; any other is NoSuchBucket.
    #[must_use]
    pub fn bucket_name(&self) -> &'static str {
        BUCKET
    }

    /// The access key that it knows. Region and service of the signature may be any.
    #[must_use]
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret of [`FakeS3::access_key`].
    #[must_use]
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// What it serves: to be looked into, or changed behind the clients' backs.
    #[must_use]
    pub fn bucket(&self) -> &MemoryBucket {
        &self.shared.bucket
    }

    /// Does `fault` to the requests that `on` describes, counted from now. Where several scripts meet one request, the first
    /// that was injected acts.
    pub fn inject(&self, on: On, fault: Fault) {
        self.shared.inject(on, fault);
    }

    /// Forgets every script. Late deliveries that are under way still come.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// What kind of server it is from now on.
    pub fn set_quirks(&self, quirks: Quirks) {
        self.shared.set_quirks(quirks);
    }

    /// Closes the port and breaks every connection, as a killed server does: requests that are under way have had their
    /// effect or never will, and late deliveries never come. The bucket keeps its content. Does nothing where it is down.
    pub fn down(&self) {
        // Outside the lock: it waits for the thread.
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(server);
    }

    /// Listens on the same port again. Does nothing where it is up.
    ///
    /// # Errors
    /// Somebody else took the port meanwhile.
    pub fn up(&self) -> io::Result<()> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if server.is_none() {
            *server = Some(Server::start(self.address.port(), layer_of(&self.shared))?.0);
        }
        Ok(())
    }

    /// Waits until every late delivery ([`Fault::Late`], [`Fault::Repeat`]) has come.
    pub async fn settled(&self) {
        self.shared.settled().await;
    }

    /// The requests in the order of their arrival: the last 100,000.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.log()
    }

    /// How many requests of an operation arrived. Late deliveries do not count: the client sent them once.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.shared.count(operation)
    }

    /// How many requests of each operation arrived.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.shared.counts()
    }

    /// The most requests that were under way at once: from the arrival of the headers until the reply's headers were ready.
    #[must_use]
    pub fn most_concurrent(&self) -> usize {
        self.shared.most_under_way()
    }

    /// Forgets log and counts, keeps scripts and quirks: so that a test counts the requests of one step.
    pub fn reset(&self) {
        self.shared.reset();
    }
}

fn layer_of(shared: &Arc<Shared>) -> Layer {
    let mut builder = S3ServiceBuilder::new(Protocol { shared: Arc::clone(shared) });
    // Without an auth, s3s answers every signed request with NotImplemented.
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Layer { shared: Arc::clone(shared), service: builder.build() }
}
