//! One connection: reads requests, throws their bodies away, writes answers.

use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::sync::Mutex;

use rustix::net::{RecvFlags, recv};

use super::answer::{Answer, Content};
use super::counts::Counts;
use super::http::{self, Head};
use super::objects::{Objects, is_document};
use crate::pattern;

/// Read at once while a head is looked for: small bodies come along.
const STEP: usize = 16 * 1024;
/// Discarded at once.
const DISCARD: usize = 1024 * 1024;
/// The largest body that is kept: metadata of 300,000 files, or a list of 10,000 parts.
const MAX_KEPT: u64 = 64 * 1024 * 1024;

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub objects: Mutex<Objects>,
    pub counts: Mutex<Counts>,
}

/// A body that has been taken off the connection.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Bytes on the wire, frames included.
    pub wire: u64,
    /// Bytes of the object that it carries.
    pub size: u64,
    /// The content, where it is kept.
    pub kept: Option<Vec<u8>>,
    /// The CRC64NVME in the trailer of a body in signed chunks.
    pub trailer: Option<String>,
}

pub(super) struct Connection<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    /// Came, but is not looked at yet.
    pending: Vec<u8>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: TcpStream, shared: &'a Shared) -> Self {
        // An answer is one write: waiting for more only delays it.
        let _ = stream.set_nodelay(true);
        Self { stream, shared, pending: Vec::with_capacity(STEP) }
    }

    /// Answers until the client hangs up.
    pub(super) fn run(mut self) -> io::Result<()> {
        while let Some((head, length)) = self.head()? {
            self.pending.drain(..length);
            if head.wants_continue() {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = self.body(&head)?;
            let answer = if head.bucket == "_sink" {
                Answer::own(&head, self.shared)
            } else {
                let answer = Answer::to(&head, &body, self.shared);
                if let Ok(mut counts) = self.shared.counts.lock() {
                    *counts.requests.entry(head.operation().to_owned()).or_default() += 1;
                    counts.head_in += length as u64;
                    counts.body_in += body.wire;
                    counts.body_out += answer.content.length();
                }
                answer
            };
            self.send(&head, answer)?;
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<bool> {
        let old = self.pending.len();
        self.pending.resize(old + STEP, 0);
        let read = self.stream.read(&mut self.pending[old..]);
        self.pending.truncate(old + read.as_ref().map_or(0, |read| *read));
        Ok(read? > 0)
    }

    fn head(&mut self) -> io::Result<Option<(Head, usize)>> {
        loop {
            match http::parse(&self.pending) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    fn body(&mut self, head: &Head) -> io::Result<Body> {
        if head.is_chunked() {
            return self.chunked();
        }
        let wire = head.length().unwrap_or(0);
        // In frames of chunk signatures the object is shorter than the body.
        let size = head.header("x-amz-decoded-content-length").and_then(|size| size.parse().ok()).unwrap_or(wire);
        let framed =
            size != wire || head.header("content-encoding").is_some_and(|coding| coding.contains("aws-chunked"));
        let asked = matches!(head.method.as_str(), "POST") || is_document(&head.key);
        if (asked || framed && wire <= STEP as u64) && wire <= MAX_KEPT {
            let bytes = self.take(wire)?;
            if !framed {
                return Ok(Body { wire, size, kept: Some(bytes), trailer: None });
            }
            let (kept, trailer) = unframed(&bytes);
            return Ok(Body { wire, size, kept: asked.then_some(kept), trailer });
        }
        self.discard(wire)?;
        Ok(Body { wire, size, kept: None, trailer: None })
    }

    fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let there = length.min(self.pending.len());
        let mut bytes: Vec<u8> = self.pending.drain(..there).collect();
        bytes.resize(length, 0);
        self.stream.read_exact(&mut bytes[there..])?;
        Ok(bytes)
    }

    fn discard(&mut self, length: u64) -> io::Result<()> {
        let there = usize::try_from(length).map_or(self.pending.len(), |length| length.min(self.pending.len()));
        self.pending.drain(..there);
        let mut left = length - there as u64;
        // TRUNC: the kernel drops the bytes and copies nothing; the buffer's length only says how many.
        let mut nowhere = vec![MaybeUninit::<u8>::uninit(); DISCARD];
        while left > 0 {
            let most = usize::try_from(left).map_or(DISCARD, |left| left.min(DISCARD));
            match recv(&self.stream, &mut nowhere[..most], RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, dropped)) => left -= dropped as u64,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            if self.pending.len() > http::MAX_HEAD || !self.more()? {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    /// A body whose length nobody knew: HTTP's own frames, and within them, with aws-chunked, those of S3. Only the sizes of
    /// the latter are looked at.
    fn chunked(&mut self) -> io::Result<Body> {
        let mut body = Body::default();
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16).map_err(io::Error::other)?;
            body.wire += size + line.len() as u64 + 4;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.size += size;
            self.discard(size)?;
            self.line()?;
        }
    }

    fn send(&mut self, head: &Head, answer: Answer) -> io::Result<()> {
        let mut bytes = answer.head().into_bytes();
        if head.method == "HEAD" {
            return self.stream.write_all(&bytes);
        }
        match answer.content {
            Content::Bytes(content) => {
                bytes.extend_from_slice(&content);
                self.stream.write_all(&bytes)
            }
            Content::Pattern(from, to) => {
                self.stream.write_all(&bytes)?;
                pattern::write(&mut self.stream, from, to)
            }
        }
    }
}

/// The content of an aws-chunked body and the CRC64NVME of its trailer.
fn unframed(mut bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut content = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 2..];
        let Ok(size) = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16) else { break };
        if size == 0 || size > bytes.len() {
            break;
        }
        content.extend_from_slice(&bytes[..size]);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    let trailer = String::from_utf8_lossy(bytes);
    let crc = trailer.lines().find_map(|line| line.strip_prefix("x-amz-checksum-crc64nvme:"));
    (content, crc.map(|crc| crc.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_off() {
        let framed = b"5;chunk-signature=ab\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc64nvme:abc=\r\n\r\n";
        assert_eq!(unframed(framed), (b"hello!".to_vec(), Some("abc=".to_owned())));
    }
}
