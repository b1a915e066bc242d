//! The listening thread: a runtime of its own, so that a test may pause its clock, block its thread, or have no runtime.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::layer::Layer;

/// A server that listens until this is dropped; then no connection and no thread of it is left.
#[derive(Debug)]
pub(super) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on this port of 127.0.0.1, or on any that is free where it is 0. Connections are taken from now on.
    pub(super) fn start(port: u16, layer: Layer) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("fake-s3".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    // A dropped sender means the same as a word from it.
                    _ = stopped => {}
                    () = accept(listener, layer) => {}
                }
            });
            // Dropping the runtime drops every connection and every late delivery.
        })?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It never waits for anything but the stop, and a panic of it has been printed.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, layer: Layer) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        // A connection that broke before it was accepted, or no file handle left for it: the next one may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let layer = layer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| layer.clone().handle(request));
            // It fails where the script breaks the connection, or where the client does.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
