//! Running the sink: here, or as a child process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::connection::{Connection, Shared};
use super::counts::Counts;
use crate::{Context as _, Result, process};

/// The most connections at the same time.
const MAX_CONNECTIONS: usize = 1024;

/// Serves on a port of this machine (0: any) until standard input ends; prints `listening on ADDRESS` first.
///
/// # Errors
/// Where the port is taken.
pub fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context(format!("port {port}"))?;
    println!("listening on {}", listener.local_addr()?);
    // Built before anybody waits for it.
    crate::pattern::block();
    thread::spawn(|| {
        // Whoever started the sink holds the other end: the sink ends with it, however that ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    accept(&listener)
}

fn accept(listener: &TcpListener) -> Result<()> {
    let shared = Arc::new(Shared::default());
    loop {
        let (stream, _) = listener.accept()?;
        if Arc::strong_count(&shared) > MAX_CONNECTIONS {
            // Dropped: the client sees a connection that ends.
            continue;
        }
        let shared = Arc::clone(&shared);
        // A client that breaks off is its own affair.
        thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            let _ = Connection::new(stream, &shared).run();
        })?;
    }
}

/// A sink in a process of its own, which ends with this value.
#[derive(Debug)]
pub struct SinkProcess {
    child: Child,
    address: SocketAddr,
}

impl SinkProcess {
    /// Starts `milepost-bench`, the program at `bench`, as `sink`, and waits until it listens.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(bench: &Path) -> Result<Self> {
        let mut command = Command::new(bench);
        command.args(["sink", "--port", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the null sink")?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("the null sink has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the null sink did not start: {line:?}").into())
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its CPU seconds until now.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu(&self) -> Result<f64> {
        process::cpu_of(self.child.id())
    }

    /// What it has counted since the last [`reset`](Self::reset).
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn counts(&self) -> Result<Counts> {
        Ok(serde_json::from_slice(&self.ask("GET", "counts")?)?)
    }

    /// Sets its counts to zero.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn reset(&self) -> Result<()> {
        self.ask("POST", "reset").map(drop)
    }

    /// Drops all its objects.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn forget(&self) -> Result<()> {
        self.ask("POST", "forget").map(drop)
    }

    fn ask(&self, method: &str, what: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).context("the null sink")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "{method} /_sink/{what} HTTP/1.1\r\nHost: sink\r\nContent-Length: 0\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("the null sink")?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the null sink answers nonsense")?;
        Ok(answer.split_off(end + 4))
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
