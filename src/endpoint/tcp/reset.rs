//! A reset of a connection whose input has ended already, which no read tells.

use std::future::{Future, pending};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;

/// A watch over one connection. It holds a descriptor of its own, for the time that the connection is half-closed.
pub(super) struct ResetWatch(Pin<Box<dyn Future<Output = ()> + Send>>);

impl ResetWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system's, where it has no descriptor left.
    pub(super) fn of(stream: &TcpStream) -> io::Result<ResetWatch> {
        let fd = stream.as_fd().try_clone_to_owned()?;
        let stream = TcpStream::from_std(fd.into())?;
        Ok(ResetWatch(Box::pin(async move {
            loop {
                match stream.ready(Interest::ERROR).await {
                    Ok(ready) if ready.is_error() => return,
                    // Woken for nothing.
                    Ok(_) => yield_now().await,
                    // The runtime ends.
                    Err(_) => pending().await,
                }
            }
        })))
    }

    /// Ready when the connection was reset.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
