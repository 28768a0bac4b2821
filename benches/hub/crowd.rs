//! The members of a room, all in one thread: some speak, all are compared with the one that has heard most.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};

use crate::Mode;
use crate::content::Kind;
use crate::frame::{self, Role};
use crate::handshake;

/// Messages of one speaker that it has not heard itself.
const WINDOW: u64 = 16;
/// How long a member may wait for what it is to hear.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing has come when the room is taken to be quiet.
const QUIET: Duration = Duration::from_millis(200);
const BUFFER: usize = 256 * 1024;
/// Bytes that a Close with a short reason has at most.
const CLOSE: usize = 16;

/// All members.
pub struct Crowd {
    members: Vec<Member>,
    epoll: rustix::fd::OwnedFd,
    /// All that was heard, by whoever heard it first.
    heard: Vec<u8>,
    speakers: Vec<Speaker>,
    /// Bytes of a message, and of the header of its frame from a server.
    payload: usize,
    header: Vec<u8>,
    buf: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    /// How much of it this one has heard.
    at: usize,
    is_stalled: bool,
}

#[derive(Default)]
struct Speaker {
    said: u64,
    heard: u64,
    unsent: Vec<u8>,
}

/// What came of it.
pub struct Heard {
    /// Messages that were said, each of which every member heard that was not stalled.
    pub messages: u64,
    /// How often a message was delivered.
    pub deliveries: u64,
    pub seconds: f64,
}

impl Crowd {
    /// Opens connections, of which the last ones are not to read anything, and waits until each of the others hears.
    pub fn gather(port: u16, mode: &Mode) -> Result<Crowd> {
        let (members, stalled) = (mode.members, mode.stalled);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(members);
        for nth in 0..members {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            handshake::ask(&mut stream, port).with_context(|| format!("member {nth}"))?;
            let is_stalled = nth >= members - stalled;
            if is_stalled {
                socket2::SockRef::from(&stream).set_recv_buffer_size(4096)?;
            } else {
                stream.set_nonblocking(true)?;
                let data = epoll::EventData::new_u64(nth as u64);
                epoll::add(&epoll, stream.as_fd(), data, epoll::EventFlags::IN)?;
            }
            all.push(Member {
                stream,
                at: 0,
                is_stalled,
            });
        }
        let mut crowd = Crowd {
            members: all,
            epoll,
            heard: Vec::new(),
            speakers: (0..mode.speakers).map(|_| Speaker::default()).collect(),
            payload: mode.payload,
            header: frame::header(1, Role::Server, mode.payload as u64),
            buf: vec![0; BUFFER],
        };
        crowd.greet()?;
        Ok(crowd)
    }

    /// Says something until all have heard something, then waits until nothing more comes.
    fn greet(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut silent: Vec<bool> = self.members.iter().map(|it| !it.is_stalled).collect();
        while silent.contains(&true) {
            ensure!(Instant::now() < deadline, "a member hears nothing");
            let mut wire = Vec::new();
            frame::put(
                &mut wire,
                Kind::Lines,
                Role::Client,
                &vec![b'-'; self.payload],
            );
            self.members[0].stream.write_all(&wire)?;
            self.drain(|nth| silent[nth] = false)?;
        }
        self.drain(|_| {})
    }

    /// Reads whatever comes until it is quiet.
    fn drain(&mut self, mut has_heard: impl FnMut(usize)) -> Result<()> {
        loop {
            let ready = self.ready(QUIET)?;
            if ready.is_empty() {
                return Ok(());
            }
            for nth in ready {
                match self.members[nth].stream.read(&mut self.buf) {
                    Ok(0) => bail!("a member was sent away"),
                    Ok(_) => has_heard(nth),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Who has something to read.
    fn ready(&self, time: Duration) -> Result<Vec<usize>> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let time = Timespec {
            tv_sec: time.as_secs().try_into()?,
            tv_nsec: time.subsec_nanos().into(),
        };
        let (events, _) = epoll::wait(&self.epoll, &mut events, Some(&time))?;
        Ok(events
            .iter()
            .map(|event| event.data.u64() as usize)
            .collect())
    }

    /// Lets the first members speak for a time, each as long as it hears itself, until all have heard all.
    pub fn speak(&mut self, time: Duration) -> Result<Heard> {
        let start = Instant::now();
        let mut moved = start;
        loop {
            let is_over = start.elapsed() >= time;
            for nth in 0..self.speakers.len() {
                self.say(nth, is_over)?;
            }
            let said: u64 = self.speakers.iter().map(|it| it.said).sum();
            let mut healthy = self.members.iter().filter(|it| !it.is_stalled);
            if is_over && healthy.all(|it| it.at as u64 == said * self.frame() as u64) {
                break;
            }
            let ready = self.ready(Duration::from_millis(100))?;
            if !ready.is_empty() {
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < PATIENCE, "{}", self.missing(said));
            for nth in ready {
                self.hear(nth)?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let messages = self.check()?;
        let healthy = self.members.iter().filter(|it| !it.is_stalled).count();
        Ok(Heard {
            messages,
            deliveries: messages * healthy as u64,
            seconds,
        })
    }

    /// Bytes of a message's frame.
    fn frame(&self) -> usize {
        self.header.len() + self.payload
    }

    fn missing(&self, said: u64) -> String {
        let healthy = self.members.iter().filter(|it| !it.is_stalled);
        let short = healthy.filter(|it| ((it.at / self.frame()) as u64) < said);
        format!("of {said} messages {} members lack some", short.count())
    }

    fn say(&mut self, nth: usize, is_over: bool) -> Result<()> {
        let speaker = &mut self.speakers[nth];
        while !is_over && speaker.said < speaker.heard + WINDOW {
            let mut payload = format!("{nth:03} {:012} ", speaker.said).into_bytes();
            payload.resize(self.payload, b'.');
            frame::put(&mut speaker.unsent, Kind::Lines, Role::Client, &payload);
            speaker.said += 1;
        }
        while !speaker.unsent.is_empty() {
            match self.members[nth].stream.write(&speaker.unsent) {
                Ok(count) => drop(speaker.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a speaker was sent away"),
            }
        }
        Ok(())
    }

    /// Reads what has come to one, which has to be what others heard.
    fn hear(&mut self, nth: usize) -> Result<()> {
        let len = self.frame();
        let member = &mut self.members[nth];
        let count = match member.stream.read(&mut self.buf) {
            Ok(0) => bail!("a member that reads was sent away"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a member that reads was sent away"),
        };
        let before = member.at;
        let (known, fresh) = self.buf[..count].split_at(count.min(self.heard.len() - before));
        ensure!(
            self.heard[before..before + known.len()] == *known,
            "a member heard something else than another"
        );
        self.heard.extend_from_slice(fresh);
        member.at += count;
        if let Some(speaker) = self.speakers.get_mut(nth) {
            let frames = self.heard[before / len * len..member.at].chunks_exact(len);
            let own = format!("{nth:03} ");
            let own = frames.filter(|frame| frame[self.header.len()..].starts_with(own.as_bytes()));
            speaker.heard += own.count() as u64;
        }
        Ok(())
    }

    /// Looks at all that was heard: each speaker's messages, in its order, and nothing else. Returns how many.
    fn check(&self) -> Result<u64> {
        let mut next = vec![0; self.speakers.len()];
        for frame in self.heard.chunks(self.frame()) {
            ensure!(frame.len() == self.frame(), "a part of a message came");
            let (header, text) = frame.split_at(self.header.len());
            let text = std::str::from_utf8(text).context("another frame came")?;
            ensure!(header == self.header, "another frame came");
            let mut words = text.split(' ');
            let nth: usize = words.next().unwrap_or_default().parse()?;
            let number: u64 = words.next().unwrap_or_default().parse()?;
            ensure!(
                next.get(nth) == Some(&number),
                "the order of a speaker was not kept"
            );
            next[nth] += 1;
        }
        let said: Vec<u64> = self.speakers.iter().map(|it| it.said).collect();
        ensure!(next == said, "not all that was said was heard");
        Ok(next.iter().sum())
    }

    /// What became of those that read nothing: how many are seen to have been sent away, before what waits for them comes too
    /// slowly to wait for its end.
    pub fn sent_away(&mut self) -> Result<usize> {
        let mut count = 0;
        for member in self.members.iter_mut().filter(|it| it.is_stalled) {
            member.stream.set_read_timeout(Some(QUIET))?;
            // A Close of 1013 is the last that it hears, whether the connection ends behind it or waits for ours.
            let mut last = Vec::new();
            let has_ended = loop {
                match member.stream.read(&mut self.buf) {
                    Ok(0) => break true,
                    Ok(len) => {
                        last.extend_from_slice(&self.buf[len.saturating_sub(CLOSE)..len]);
                        last.drain(..last.len().saturating_sub(CLOSE));
                    }
                    Err(error) => {
                        break !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    }
                }
            };
            count += usize::from(has_ended || last.windows(4).any(is_try_again));
        }
        Ok(count)
    }
}

/// Whether a Close of 1013 begins so.
fn is_try_again(bytes: &[u8]) -> bool {
    matches!(bytes, [0x88, _, 0x03, 0xF5])
}
