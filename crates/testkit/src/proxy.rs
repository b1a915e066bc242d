//! A network with bad days: a TCP proxy between a client and a server on this machine.
//!
//! [`Proxy`] passes bytes on, until [`Proxy::set`] says otherwise: then connections are cut, reset, swallow everything, crawl or
//! lag, those that are open and those that are made. What a client makes of it shows only with real sockets.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! use milepost_testkit::proxy::{Network, Proxy};
//!
//! # fn main() -> std::io::Result<()> {
//! let server = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let proxy = Proxy::start(server.local_addr()?)?;
//! let mut client = std::net::TcpStream::connect(proxy.address())?;
//! client.write_all(b"hello")?;
//! let mut received = [0; 5];
//! let (mut served, _) = server.accept()?;
//! served.read_exact(&mut received)?;
//! assert_eq!(&received, b"hello");
//!
//! proxy.set(Network::Reset);
//! assert!(client.read(&mut received).is_err());
//! assert_eq!(proxy.harmed(), 1);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

/// What the network does to every connection from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Passes everything on.
    Good,
    /// Closes each connection after so many bytes of replies: 0 before the first.
    Cut(usize),
    /// Resets open connections, and new ones as soon as they are made.
    Reset,
    /// Takes connections and bytes and answers nothing. What it swallowed never arrives.
    BlackHole,
    /// Passes replies on one byte at a time, with so long in between.
    Crawl(Duration),
    /// Each piece arrives so much later, both ways.
    Lag(Duration),
}

/// A proxy that listens until this is dropped; then no connection and no thread of it is left.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    harmed: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on any free port of 127.0.0.1 and passes on to `server`, on a thread of its own.
    ///
    /// # Errors
    /// No port or no thread can be had.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (network, state) = watch::channel(Network::Good);
        let harmed = Arc::<AtomicU64>::default();
        let count = Arc::clone(&harmed);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    // A dropped sender means the same as a word from it.
                    _ = stopped => {}
                    () = accept(listener, server, state, count) => {}
                }
            });
            // Dropping the runtime drops every connection.
        })?;
        Ok(Self { address, network, harmed, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As in `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the network, for open connections too. A connection that was cut, reset or swallowed stays so.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// How many connections were cut, reset, swallowed or slowed down.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.harmed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It never waits for anything but the stop, and a panic of it has been printed.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Receiver<Network>, harmed: Arc<AtomicU64>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (state, harmed) = (state.clone(), Arc::clone(&harmed));
        tokio::spawn(async move {
            // However it ended, both sockets are closed now.
            let _ = connection(client, server, state, &harmed).await;
        });
    }
}

/// How a connection ended, where not by itself.
enum Fate {
    Cut,
    Reset,
    Swallowed,
}

async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    state: watch::Receiver<Network>,
    harmed: &AtomicU64,
) -> Result<(), Fate> {
    // A black hole answers the handshake, and nothing else.
    let Ok(mut upstream) = TcpStream::connect(server).await else { return Ok(()) };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let slowed = AtomicU64::new(0);
    let fate = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = upstream.split();
        let (mut one, mut other) = (state.clone(), state.clone());
        tokio::select! {
            fate = pump(&mut from_client, &mut to_server, &mut one, false, &slowed) => fate,
            fate = pump(&mut from_server, &mut to_client, &mut other, true, &slowed) => fate,
        }
    };
    harmed.fetch_add(u64::from(fate.is_err() || slowed.load(Ordering::Relaxed) > 0), Ordering::Relaxed);
    match &fate {
        Err(Fate::Reset) => {
            let _ = (client.set_zero_linger(), upstream.set_zero_linger());
        }
        Err(Fate::Swallowed) => {
            // The server sees it end; the client never does, until it gives up.
            drop(upstream);
            let mut rest = [0; 4096];
            while client.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
        _ => {}
    }
    fate
}

/// Passes on what comes from one side, as the network is at that moment.
async fn pump(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    state: &mut watch::Receiver<Network>,
    replies: bool,
    slowed: &AtomicU64,
) -> Result<(), Fate> {
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0;
    loop {
        let network = *state.borrow_and_update();
        match network {
            Network::Reset => return Err(Fate::Reset),
            Network::Cut(after) if replies && passed >= after => return Err(Fate::Cut),
            _ => {}
        }
        let read = tokio::select! {
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            read = from.read(&mut buffer) => read,
        };
        let Ok(read @ 1..) = read else { return Ok(()) };
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            let now = *state.borrow();
            let piece = match now {
                Network::Good => bytes.len(),
                Network::Reset => return Err(Fate::Reset),
                Network::BlackHole => return Err(Fate::Swallowed),
                Network::Cut(after) if replies => match after.saturating_sub(passed) {
                    0 => return Err(Fate::Cut),
                    left => left.min(bytes.len()),
                },
                Network::Cut(_) => bytes.len(),
                Network::Crawl(time) if replies => {
                    slowed.fetch_add(1, Ordering::Relaxed);
                    pause(time, state).await;
                    1
                }
                Network::Crawl(_) => bytes.len(),
                Network::Lag(time) => {
                    slowed.fetch_add(1, Ordering::Relaxed);
                    pause(time, state).await;
                    bytes.len()
                }
            };
            if to.write_all(&bytes[..piece]).await.is_err() {
                return Ok(());
            }
            passed += piece;
            bytes = &bytes[piece..];
        }
    }
}

/// Waits, unless the network changes.
async fn pause(time: Duration, state: &watch::Receiver<Network>) {
    let mut state = state.clone();
    state.mark_unchanged();
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = state.changed() => {}
    }
}
