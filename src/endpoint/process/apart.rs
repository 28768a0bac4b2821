//! A program's stderr as lines of JSON between those of its stdout, for callers that want to tell the two apart.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use data_encoding::BASE64;
use memchr::memrchr;
use serde::Serialize;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe;
use tokio_util::io::poll_read_buf;

/// Bytes of a line that one object has at most; a longer line becomes several.
const LINE: usize = 32 * 1024;
/// Bytes of stdout that are read at once, at most.
const READ: usize = 16 * 1024;

/// A line of stderr: `{"kind":"stderr","text":"..."}`, or with "base64" where it is not UTF-8.
#[derive(Serialize)]
struct Object<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Both outputs of a program, as one stream of lines. It is read as it is taken: a program waits for its caller with both.
/// An unfinished line of stdout is held back, so that stderr's lines go before it.
pub(super) struct Apart {
    /// What was read of stdout and has yet to be taken.
    output: BytesMut,
    /// Bytes of it that may be taken: up to the end of its last line.
    whole: usize,
    /// Bytes of an unfinished line that are held back. A longer one is passed on as it comes: its reader ends the session.
    limit: usize,
    /// Until it has ended.
    errors: Option<pipe::Receiver>,
    /// What has come of the current line of stderr, at most [`LINE`] bytes.
    line: Vec<u8>,
    /// Objects that have yet to be taken.
    objects: BytesMut,
    /// Whether what was taken last is within a line of stdout.
    is_within: bool,
    has_ended: bool,
    /// Whether a part of the objects was taken: until all of them are nothing else may come.
    is_cut: bool,
    /// Whether stderr came last: then it is stdout's turn.
    came_last: bool,
}

impl Apart {
    /// Makes one for a reader that takes lines of stdout of at most `limit` bytes.
    pub(super) fn new(errors: pipe::Receiver, limit: usize) -> Apart {
        Apart {
            output: BytesMut::new(),
            whole: 0,
            limit,
            errors: Some(errors),
            line: Vec::new(),
            objects: BytesMut::new(),
            is_within: false,
            has_ended: false,
            is_cut: false,
            came_last: false,
        }
    }

    /// Reads either; 0 bytes are the end of both.
    pub(super) fn poll_read(
        &mut self,
        output: &mut pipe::Receiver,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Neither keeps the other waiting, however much it says.
        let turns = match self.came_last {
            true => [Apart::poll_output, Apart::poll_errors],
            false => [Apart::poll_errors, Apart::poll_output],
        };
        let before = buf.filled().len();
        for poll in turns {
            if let Poll::Ready(read) = poll(self, output, cx, buf)
                && (read.is_err() || buf.filled().len() > before)
            {
                return Poll::Ready(read);
            }
        }
        let is_empty = self.output.is_empty() && self.objects.is_empty();
        match self.has_ended && self.errors.is_none() && is_empty {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn poll_output(
        &mut self,
        output: &mut pipe::Receiver,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An object of which a part was taken goes on first.
        if self.is_cut {
            return Poll::Pending;
        }
        while self.whole == 0 && !self.has_ended {
            ready!(self.poll_more(output, cx))?;
        }
        let count = self.whole.min(buf.remaining());
        if let Some(last) = self.output[..count].last() {
            (self.is_within, self.came_last) = (*last != b'\n', false);
        }
        buf.put_slice(&self.output[..count]);
        self.output.advance(count);
        self.whole -= count;
        Poll::Ready(Ok(()))
    }

    /// Reads more of stdout, and notes how much of it may be taken.
    fn poll_more(
        &mut self,
        output: &mut pipe::Receiver,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let before = self.output.len();
        self.output.reserve(READ);
        let count = ready!(poll_read_buf(Pin::new(output), cx, &mut self.output))?;
        let end = memrchr(b'\n', &self.output[before..]);
        if count == 0 || self.output.len() > self.limit {
            self.has_ended = count == 0;
            self.whole = self.output.len();
        } else if let Some(end) = end {
            self.whole = before + end + 1;
        }
        if self.has_ended {
            // What waits for the end may go on.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_errors(
        &mut self,
        _output: &mut pipe::Receiver,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.objects.is_empty()
            && let Some(errors) = &mut self.errors
        {
            let mut room = [0; 4096];
            let mut read = ReadBuf::new(&mut room);
            ready!(Pin::new(errors).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                self.errors = None;
                if !self.line.is_empty() {
                    self.end_line()?;
                }
            }
            self.take(read.filled())?;
        }
        if self.objects.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.is_within {
            if !self.has_ended || self.whole > 0 {
                return Poll::Pending;
            }
            // Its last line has no end of its own.
            buf.put_slice(b"\n");
            self.is_within = false;
        }
        let count = self.objects.len().min(buf.remaining());
        buf.put_slice(&self.objects[..count]);
        self.objects.advance(count);
        self.is_cut = !self.objects.is_empty();
        self.came_last = true;
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.line.extend_from_slice(text);
            while self.line.len() > LINE {
                self.end_piece()?;
            }
            if part.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(())
    }

    /// Makes an object of the first part of a line that is too long, which ends between two characters.
    fn end_piece(&mut self) -> io::Result<()> {
        let at = match std::str::from_utf8(&self.line[..LINE]) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => LINE,
        };
        let rest = self.line.split_off(at);
        self.end_line()?;
        self.line = rest;
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        let text = std::str::from_utf8(&self.line).ok();
        let object = Object {
            kind: "stderr",
            base64: text.is_none().then(|| BASE64.encode(&self.line)),
            text,
        };
        self.objects
            .extend_from_slice(&serde_json::to_vec(&object)?);
        self.objects.extend_from_slice(b"\n");
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;

    /// What is read of both, by pieces of at most `piece` bytes, when both have been written and closed.
    async fn read(stdout: &[u8], stderr: &[u8], piece: usize) -> String {
        let (out, mut out_end) = io::pipe().unwrap();
        let (err, mut err_end) = io::pipe().unwrap();
        let stderr = stderr.to_vec();
        // More than a pipe holds is written while it is read.
        std::thread::spawn(move || err_end.write_all(&stderr));
        out_end.write_all(stdout).unwrap();
        drop(out_end);
        let mut output = pipe::Receiver::from_owned_fd(out.into()).unwrap();
        let mut apart = Apart::new(pipe::Receiver::from_owned_fd(err.into()).unwrap(), 1 << 20);
        rest(&mut output, &mut apart, piece).await
    }

    /// All that is read of both, by pieces of at most `piece` bytes.
    async fn rest(output: &mut pipe::Receiver, apart: &mut Apart, piece: usize) -> String {
        let mut all = Vec::new();
        loop {
            let mut room = vec![0; piece];
            let mut buf = ReadBuf::new(&mut room);
            poll_fn(|cx| apart.poll_read(output, cx, &mut buf))
                .await
                .unwrap();
            if buf.filled().is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend_from_slice(buf.filled());
        }
    }

    /// The same lines come, whatever the pieces are; those of each in their order.
    #[track_caller]
    fn check(stdout: &str, stderr: &[u8], objects: &[&str]) {
        let runtime = crate::workers::runtime().unwrap();
        for piece in [1, 2, 7, 4096] {
            let text = runtime.block_on(read(stdout.as_bytes(), stderr, piece));
            let (of_stderr, of_stdout): (Vec<_>, Vec<_>) =
                text.lines().partition(|line| line.contains("stderr"));
            assert_eq!(of_stderr, objects, "{piece}");
            assert_eq!(of_stdout, stdout.lines().collect::<Vec<_>>(), "{piece}");
        }
    }

    #[test]
    fn a_line_of_stderr_comes_between_two_of_stdout() {
        check("", b"", &[]);
        check("one\ntwo\n", b"", &[]);
        check(
            "",
            b"a \"b\"\n\n",
            &[
                r#"{"kind":"stderr","text":"a \"b\""}"#,
                r#"{"kind":"stderr","text":""}"#,
            ],
        );
        check(
            "one\ntwo",
            b"a\nb",
            &[
                r#"{"kind":"stderr","text":"a"}"#,
                r#"{"kind":"stderr","text":"b"}"#,
            ],
        );
        check(
            "one\n",
            b"\xFF\n",
            &[r#"{"kind":"stderr","base64":"/w=="}"#],
        );
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_end_between_characters() {
        let long = format!("a{}", "\u{e9}".repeat(LINE));
        let runtime = crate::workers::runtime().unwrap();
        let text = runtime.block_on(read(b"", long.as_bytes(), 1 << 20));
        let mut joined = String::new();
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            let piece = object["text"].as_str().unwrap();
            assert!(piece.len() <= LINE);
            joined += piece;
        }
        assert_eq!(joined, long);
    }

    /// A program whose stdout is within a line while it fills its stderr waits for nobody.
    #[test]
    fn stderr_goes_before_an_unfinished_line_of_stdout() {
        let runtime = crate::workers::runtime().unwrap();
        let (out, mut out_end) = io::pipe().unwrap();
        let (err, mut err_end) = io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            out_end.write_all(b"zero\none, ").unwrap();
            err_end.write_all(&b"e".repeat(200_000)).unwrap();
            err_end.write_all(b"\n").unwrap();
            out_end.write_all(b"two\n").unwrap();
        });
        let text = runtime.block_on(async {
            let mut output = pipe::Receiver::from_owned_fd(out.into()).unwrap();
            let errors = pipe::Receiver::from_owned_fd(err.into()).unwrap();
            rest(&mut output, &mut Apart::new(errors, 1 << 20), 1000).await
        });
        writer.join().unwrap();
        let (of_stderr, of_stdout): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| line.contains("stderr"));
        assert_eq!(of_stdout, ["zero", "one, two"]);
        let texts = of_stderr.iter().map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["text"].as_str().unwrap().to_owned()
        });
        assert_eq!(texts.collect::<String>(), "e".repeat(200_000));
    }

    #[test]
    fn a_line_that_its_reader_does_not_take_is_passed_on() {
        let runtime = crate::workers::runtime().unwrap();
        let (out, mut out_end) = io::pipe().unwrap();
        let (err, _err_end) = io::pipe().unwrap();
        out_end.write_all(b"12345").unwrap();
        runtime.block_on(async {
            let mut output = pipe::Receiver::from_owned_fd(out.into()).unwrap();
            let errors = pipe::Receiver::from_owned_fd(err.into()).unwrap();
            let mut apart = Apart::new(errors, 4);
            let mut room = [0; 10];
            let mut buf = ReadBuf::new(&mut room);
            poll_fn(|cx| apart.poll_read(&mut output, cx, &mut buf))
                .await
                .unwrap();
            assert_eq!(buf.filled(), b"12345");
        });
    }
}
