//! What was asked, and how it was answered.

use std::fmt;

use super::fault::Fault;
use super::operation::Operation;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number, from 1, in the order of arrival. Its reply carries it: `x-amz-request-id: fake-000001`.
    pub number: u64,
    /// Which operation.
    pub operation: Operation,
    /// The key; of an operation on the bucket the prefix.
    pub key: String,
    /// Length of the body in bytes, once it has arrived.
    pub body: u64,
    /// What was done to it.
    pub fault: Option<Fault>,
    /// The status that it was answered with. `None`: not yet, or the connection broke.
    pub status: Option<u16>,
    /// The status that its late delivery got, which nobody heard of.
    pub late: Option<u16>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5} {:?} {} ({} bytes)", self.number, self.operation, self.key, self.body)?;
        match self.status {
            Some(status) => write!(f, " {status}")?,
            None => f.write_str(" no answer")?,
        }
        if let Some(late) = self.late {
            write!(f, ", later {late}")?;
        }
        match &self.fault {
            Some(fault) => write!(f, "  <- {fault:?}"),
            None => Ok(()),
        }
    }
}

/// Requests in the order of their arrival. Prints one to a line.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The requests.
    pub requests: Vec<Request>,
}

impl Log {
    /// The requests of one operation.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.operation == operation)
    }

    /// The requests that something was done to.
    pub fn faults(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.fault.is_some())
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requests.iter().try_for_each(|request| writeln!(f, "{request}"))
    }
}
