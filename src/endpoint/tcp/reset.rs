//! A reset of a connection whose input has ended already, which no read tells.

use std::future::{Future, pending};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

/// How long a connection is half-closed before it is watched: most have ended by then, and four system calls are saved.
const DELAY: Duration = Duration::from_millis(300);

/// A watch over one connection, for the time that the connection is half-closed.
pub(super) enum ResetWatch {
    /// Not yet watched. A reset that comes meanwhile stays visible.
    Delayed(Pin<Box<Sleep>>),
    /// Holds a descriptor of its own.
    Watching(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// There was no descriptor left for it: a reset shows at the next write.
    Blind,
}

impl ResetWatch {
    /// Makes a watch that begins after [`DELAY`].
    pub(super) fn new() -> ResetWatch {
        ResetWatch::Delayed(Box::pin(sleep(DELAY)))
    }

    /// Ready when the connection was reset.
    pub(super) fn poll(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                ResetWatch::Delayed(delay) => {
                    ready!(delay.as_mut().poll(cx));
                    *self = match watch(stream) {
                        Ok(watch) => ResetWatch::Watching(watch),
                        Err(_) => ResetWatch::Blind,
                    };
                }
                ResetWatch::Watching(watch) => return watch.as_mut().poll(cx),
                ResetWatch::Blind => return Poll::Pending,
            }
        }
    }
}

/// Waits for the reset of a connection.
///
/// # Errors
/// The system's, where it has no descriptor left.
fn watch(stream: &TcpStream) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let fd = stream.as_fd().try_clone_to_owned()?;
    let stream = TcpStream::from_std(fd.into())?;
    Ok(Box::pin(async move {
        loop {
            match stream.ready(Interest::ERROR).await {
                Ok(ready) if ready.is_error() => return,
                // Woken for nothing.
                Ok(_) => yield_now().await,
                // The runtime ends.
                Err(_) => pending().await,
            }
        }
    }))
}
