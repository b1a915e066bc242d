//! The fake S3 server over real HTTP: the protocol as Amazon documents it, and the faults that tests script.

#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod protocol;
