//! A client of a hundred lines: one connection per request, signed as S3 wants it (Signature Version 4), and nothing else
//! that could hide what came over the wire.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use milepost_testkit::fake_s3::FakeS3;
use sha2::{Digest as _, Sha256};

/// A reply, as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Fewer bytes came than were announced.
    pub(crate) cut: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What stands between `<NAME>` and `</NAME>`, each time.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let inner = text.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
        inner.map(|value| value.replace("&quot;", "\"")).collect()
    }

    pub(crate) fn one(&self, name: &str) -> String {
        self.all(name).into_iter().next().unwrap_or_else(|| panic!("no {name} in {}", self.text()))
    }
}

pub(crate) struct Client {
    address: std::net::SocketAddr,
    access_key: String,
    secret_key: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// As the server's own Date header says, so that the test needs no clock. Like `20261121T100000Z`.
fn now(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    // Sat, 21 Nov 2026 10:00:00 GMT
    let date = reply.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
    let words: Vec<&str> = date.split(' ').collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == words[2]).unwrap() + 1;
    format!("{}{month:02}{}T{}Z", words[3], words[1], words[4].replace(':', ""))
}

impl Client {
    pub(crate) fn new(fake: &FakeS3) -> Self {
        Self {
            address: fake.address(),
            access_key: fake.access_key().to_owned(),
            secret_key: fake.secret_key().to_owned(),
        }
    }

    pub(crate) fn with_secret(mut self, secret: &str) -> Self {
        self.secret_key = secret.to_owned();
        self
    }

    /// One request. `target` is path and query as they stand on the wire, encoded, the query's names in order.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&self.signed(method, target, headers, body))?;
        read(&stream, method)
    }

    fn signed(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let date = now(self.address);
        let day = &date[..8];
        let host = self.address.to_string();
        let mut all =
            vec![("host", host.as_str()), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", &date)];
        all.extend(headers);
        all.sort_unstable();
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // A name without a value is signed with an empty one.
        let query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        let lines: String = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\nUNSIGNED-PAYLOAD", query.join("&"));
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for step in [day, "us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, step);
        }
        let signature = hex(&hmac(&key, &to_sign));
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
             SignedHeaders={names}, Signature={signature}\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.access_key,
            body.len()
        );
        all.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        [request.as_bytes(), b"\r\n", body].concat()
    }
}

/// An error where the connection breaks before the headers are complete; a body may be cut.
fn read(mut stream: &TcpStream, method: &str) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    let mut length = None;
    let mut head = None;
    let cut = loop {
        if let (Some(head), Some(length)) = (head, length)
            && bytes.len() >= head + length
        {
            break false;
        }
        match stream.read(&mut piece) {
            Ok(0) => break length.is_some(),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if head.is_some() && error.kind() != io::ErrorKind::WouldBlock => break true,
            Err(error) => return Err(error),
        }
        if head.is_none()
            && let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let announced = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            length = if method == "HEAD" { Some(0) } else { announced };
            head = Some(at + 4);
        }
    };
    let Some(head) = head else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke before the reply"));
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(Reply { status, headers, body: bytes.split_off(head), cut })
}
