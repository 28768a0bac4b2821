//! The program's side of a session: its input and output as a stream of bytes, and its end.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::time::{Sleep, sleep};

use super::apart::Apart;
use crate::child::Child;
use crate::ending::{Ending, Exit, Loss};
use crate::peer::{ByteStream, During};

/// What a terminal takes for the end of input (VEOF of termios(3)).
const END_OF_INPUT: &[u8] = b"\x04";

/// The program's side of a session.
pub(super) struct Streams {
    /// Until it has ended, or has no reader.
    input: Option<pipe::Sender>,
    /// Until it has ended.
    output: Option<pipe::Receiver>,
    /// Its stderr, where that comes between the lines of its output.
    apart: Option<Apart>,
    child: Child,
    /// Running while the program has ended, others hold its output, and nothing comes.
    silence: Option<Pin<Box<Sleep>>>,
    /// How long that may go on before its group is made to end.
    patience: Duration,
    /// Whether its group was asked to end.
    is_ending: bool,
    /// Whether a process that has left its group held its output to the end.
    is_held: bool,
    is_terminal: bool,
}

impl Streams {
    /// Makes the streams of a program. `patience` is how long its output may be silent after its end, while others hold it.
    pub(super) fn new(
        (input, output): (pipe::Sender, pipe::Receiver),
        apart: Option<Apart>,
        child: Child,
        patience: Duration,
        is_terminal: bool,
    ) -> Streams {
        Streams {
            input: Some(input),
            output: Some(output),
            apart,
            child,
            silence: None,
            patience,
            is_ending: false,
            is_held: false,
            is_terminal,
        }
    }

    /// Ready where nothing more of the output is to be waited for: the program has ended, nothing came for some time, so its
    /// group was made to end, and that is over too. What still holds the output then has left the group.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.child.poll_exit(cx));
        if !self.is_ending {
            let patience = self.patience;
            let silence = self
                .silence
                .get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(silence.as_mut().poll(cx));
            self.end_group();
        }
        self.child.poll_over(cx)
    }

    /// Asks the group to end; a terminal hangs up first.
    fn end_group(&mut self) {
        self.is_ending = true;
        match self.is_terminal {
            true => self.child.hang_up(),
            false => self.child.terminate(),
        }
    }

    fn read_output(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(output) = &mut self.output else {
            return Poll::Ready(Ok(()));
        };
        let read = ready!(match &mut self.apart {
            Some(apart) => apart.poll_read(output, cx, buf),
            None => Pin::new(output).poll_read(cx, buf),
        });
        self.silence = None;
        Poll::Ready(match read {
            // Nobody has the terminal any more.
            Err(error) if self.is_terminal && is_io_error(&error) => Ok(()),
            read => read,
        })
    }
}

/// Whether a program is to be sent TERM at once when the other side ended so. One whose caller is a WebSocket that was lost or
/// broke the protocol has `--kill-after` to end by itself.
fn is_urgent(why: &Ending) -> bool {
    match why {
        Ending::Stopped(_) => true,
        Ending::Close(_)
        | Ending::Lost(Loss::NoClose | Loss::ResetOpen | Loss::Silent)
        | Ending::Broken(_)
        | Ending::WrongKind { .. }
        | Ending::TooLong { .. }
        | Ending::OutOfMemory(_) => false,
        other => other.is_abort(),
    }
}

impl ByteStream for Streams {
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.child.poll_exit(cx).map(|exit| match exit {
            exit if self.is_held => Ending::Held(exit),
            Exit::Status(0) => Ending::Eof,
            exit => Ending::Exited(exit),
        })
    }

    fn failed(&self, _during: During, error: &io::Error) -> Ending {
        Ending::of_error(error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<io::Result<()>> {
        let hangs_up = why.is_abort() || matches!(why, Ending::Stopped(_));
        if let (Some(input), true) = (&mut self.input, self.is_terminal && !hangs_up) {
            // A terminal has no end of input but this character; it hangs up when the session is over.
            let _ = ready!(Pin::new(input).poll_write(cx, END_OF_INPUT));
        }
        self.input = None;
        if is_urgent(why) {
            self.end_group();
        }
        Poll::Ready(Ok(()))
    }

    fn queued(&self) -> usize {
        0
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        // Its end is the exit of the program.
        true
    }
}

impl AsyncRead for Streams {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = this.read_output(cx, buf) {
            return Poll::Ready(read);
        }
        ready!(this.poll_held(cx));
        // What was written before the last of them ended comes first, and then the end where they held it alone.
        if let Poll::Ready(read) = this.read_output(cx, buf) {
            return Poll::Ready(read);
        }
        (this.output, this.is_held) = (None, true);
        Poll::Ready(Ok(()))
    }
}

/// What a terminal without a program says.
fn is_io_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// What a program does not read goes nowhere, as in a pipeline of the shell: its exit status says whether that was right.
fn unread<T>(
    result: Poll<io::Result<T>>,
    input: &mut Option<pipe::Sender>,
    all: T,
) -> Poll<io::Result<T>> {
    match result {
        Poll::Ready(Err(error))
            if error.kind() == io::ErrorKind::BrokenPipe || is_io_error(&error) =>
        {
            *input = None;
            Poll::Ready(Ok(all))
        }
        other => other,
    }
}

impl AsyncWrite for Streams {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        let Some(input) = &mut self.input else {
            return Poll::Ready(Ok(all));
        };
        let written = Pin::new(input).poll_write_vectored(cx, bufs);
        unread(written, &mut self.input, all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::{Children, Command};
    use std::fs::File;
    use std::future::poll_fn;
    use std::io::Write;
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn output_is_read_while_it_moves_and_for_some_silence_more() {
        let (output, mut held) = io::pipe().unwrap();
        let (their_input, input) = io::pipe().unwrap();
        let command = Command {
            file: "/bin/sh".into(),
            words: ["sh", "-c", "exit 3"].map(Into::into).into(),
            environment: Vec::new(),
            stdin: their_input.into(),
            stdout: File::options()
                .write(true)
                .open("/dev/null")
                .unwrap()
                .into(),
            stderr: None,
            has_terminal: false,
        };
        let patience = Duration::from_secs(5);
        let child = Children::default().start(command, patience, ()).unwrap();
        let ends = (
            pipe::Sender::from_owned_fd(input.into()).unwrap(),
            pipe::Receiver::from_owned_fd(output.into()).unwrap(),
        );
        let mut streams = Streams::new(ends, None, child, patience, false);
        let exit = poll_fn(|cx| streams.child.poll_exit(cx)).await;
        assert_eq!(exit, Exit::Status(3));
        let begun = Instant::now();
        // The test holds its output, as a process that has left its group does.
        let holder = tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_secs(4)).await;
                held.write_all(b"line\n").unwrap();
            }
            held
        });
        let mut said = String::new();
        streams.read_to_string(&mut said).await.unwrap();
        assert_eq!((said, begun.elapsed().as_secs()), ("line\n".repeat(10), 45));
        let ending = poll_fn(|cx| streams.poll_ending(cx)).await;
        assert_eq!(ending, Ending::Held(Exit::Status(3)));
        drop(holder.await.unwrap());
    }
}
