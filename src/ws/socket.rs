//! A WebSocket as a message stream: frames, control frames and the closing handshake over a byte stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};
use tracing::{Level, debug};

use super::alive::{Alive, Silence};
use super::codec::{self, Decoder, Item, MAX_CONTROL, MAX_HEADER, OpCode, Role};
use super::half_close::HalfClose;
use super::mask;
use crate::buffer::{Outbox, ReadBuffer};
use crate::caller::Caller;
use crate::ending::{Close, Ending, Loss};
use crate::extension;
use crate::framing::{CHUNK, Framing};
use crate::message::{Batch, Fragment, Kind, SHORT};
use crate::peer::{
    ByteStream, During, Event, Gap, Longest, Marks, MessageStream, Notice, Opened, Pings, Spent,
    StreamFacts, Tally,
};
use crate::sendqueue::{self, Hangup};

/// Bytes that may be waiting before pongs are no longer queued behind them, but only the newest is kept.
const PONGS_QUEUED: usize = 4096;
/// How long the transport is read after both Close frames, so that ours is not destroyed by a reset.
const FINISH: Duration = Duration::from_secs(1);
/// The same for a client that carried half-closes: its server ends the transport once both Closes have passed.
const FINISH_HALF_CLOSED: Duration = Duration::from_secs(2);
/// How often a peer that has still to answer our Close by its own is pinged, where half-closes are in force.
const CLOSING_PING: Duration = Duration::from_secs(3);
/// Frames behind the peer's Close that one poll looks at.
const EVENTS_BEHIND_CLOSE: usize = 64;

/// How a WebSocket is kept alive, and how long its frames are.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// After so much silence at most a ping is sent, and after as much again the connection is dead; `None` is never. Each
    /// silence is broken a little earlier by chance, so that many connections do not ping in one instant.
    pub ping: Option<Duration>,
    /// Bytes of a frame at most: a longer message is sent in fragments.
    pub chunk: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ping: Some(Duration::from_secs(30)),
            chunk: CHUNK,
        }
    }
}

/// An open WebSocket in either role.
pub struct Socket {
    io: Box<dyn ByteStream>,
    role: Role,
    decoder: Decoder,
    read: ReadBuffer,
    outbox: Outbox,
    /// The newest ping that is not answered yet.
    unanswered: Option<Vec<u8>>,
    /// Whether fragments of a message are out and its last is not.
    is_within_message: bool,
    /// Bytes of that message so far, and the longest of those that were sent.
    sent: u32,
    longest: Longest,
    unflushed: bool,
    has_sent_close: bool,
    /// How the transport ended, when it has; what was read before comes first.
    lost: Option<Ending>,
    /// How the peer's direction ended.
    ended: Option<Ending>,
    /// How our direction was cut.
    cut: Option<Ending>,
    finish: Finish,
    alive: Alive,
    probes: Probes,
    /// Pings that a person asks for on the other side.
    pings: Option<Arc<Pings>>,
    /// Whose session it is, where that is told.
    caller: Option<Box<str>>,
    /// The subprotocol that a server agreed to.
    protocol: Option<Arc<str>>,
    /// The half-close extension, where both agreed to it.
    half_close: Option<Box<HalfClose>>,
    /// Breaks the silence after our Close, where the peer may still have much to deliver before its own.
    closing: Option<Pin<Box<Sleep>>>,
    /// Whether the peer takes bytes, whose boundaries mean nothing to it.
    is_byte_target: bool,
    /// Bytes that were read in this turn.
    spent: u32,
}

/// The end of the transport, after both Close frames.
enum Finish {
    Open,
    Closing {
        until: Pin<Box<Sleep>>,
        is_shut: bool,
    },
    Done,
}

/// All our pings, whatever they are for: each has its number as its payload, and so its pong says what it answers. A pong of a
/// later ping is one of those before it, too (RFC 6455 5.5.3).
#[derive(Default)]
struct Probes {
    sent: u64,
    answered: u64,
    /// The last one whose round trip is told, and when it was put, until it is answered.
    timed: Option<(u64, Instant)>,
    /// The one that a person asked for, until it is answered.
    asked: Option<u64>,
}

impl Socket {
    /// Makes a WebSocket of a byte stream after the opening handshake. `early` are bytes of frames that the handshake's
    /// reader had read already.
    pub fn new(io: Box<dyn ByteStream>, early: &[u8], role: Role, options: Options) -> Socket {
        Socket {
            io,
            role,
            decoder: Decoder::new(role),
            read: ReadBuffer::starting_with(early),
            outbox: Outbox::default(),
            unanswered: None,
            is_within_message: false,
            sent: 0,
            longest: Longest {
                bytes: 0,
                chunk: u32::try_from(options.chunk).unwrap_or(u32::MAX),
            },
            unflushed: false,
            has_sent_close: false,
            lost: None,
            ended: None,
            cut: None,
            finish: Finish::Open,
            alive: Alive::new(options.ping),
            probes: Probes::default(),
            pings: None,
            caller: None,
            protocol: None,
            half_close: None,
            closing: None,
            is_byte_target: false,
            spent: 0,
        }
    }

    /// Notes that both agreed to the half-close extension, in a handshake that took so long.
    #[must_use]
    pub fn with_half_close(mut self, handshake: Duration) -> Socket {
        self.decoder.allow_half_close();
        self.half_close = Some(Box::new(HalfClose::agreed(handshake)));
        self
    }

    /// Notes whether a server leads to a stream of bytes.
    #[must_use]
    pub fn to_bytes(self, is_byte_target: bool) -> Socket {
        Socket {
            is_byte_target,
            ..self
        }
    }

    /// Notes what a server made of the subprotocols that were offered.
    #[must_use]
    pub fn agreed_to(self, protocol: Option<&str>) -> Socket {
        Socket {
            protocol: Some(protocol.unwrap_or_default().into()),
            ..self
        }
    }

    /// Names the session that it is of, for what `-v` tells.
    #[must_use]
    pub fn of(mut self, caller: &Caller) -> Socket {
        if tracing::enabled!(Level::DEBUG) {
            self.caller = Some(caller.to_string().into());
        }
        self
    }

    /// Whether a ping can be sent that is answered.
    fn can_be_asked(&self) -> bool {
        !self.has_sent_close && self.cut.is_none()
    }

    /// What was read in this turn.
    fn turn(&self) -> Spent {
        Spent {
            bytes: self.spent,
            frames: self.decoder.frames(),
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        loop {
            let full = self.read.is_full();
            match self.decoder.next(self.read.bytes(), full) {
                Err(violation) => return Some(Event::End(Ending::Broken(violation))),
                Ok(Some(Item::Fragment(fragment))) => return Some(Event::Fragment(fragment)),
                Ok(Some(Item::Batch(batch))) => return Some(Event::Batch(batch)),
                Ok(Some(Item::Close(close))) => {
                    let ending = Ending::Close(close);
                    return Some(Event::End(match self.decoder.begun() {
                        Some(received) => ending.within_message(received),
                        None => ending,
                    }));
                }
                Ok(Some(Item::Ping(ping))) => self.answer(&ping),
                Ok(Some(Item::Pong(payload))) => self.note_pong(&payload),
                Ok(Some(Item::HalfClose)) => {
                    if let Some(half) = &mut self.half_close {
                        half.has_received_end = true;
                    }
                    return Some(Event::End(Ending::Eof));
                }
                // What is left in the buffer has its turn when others have had theirs.
                Ok(None) if self.decoder.has_had_turn() => return None,
                Ok(None) => {
                    let lost = self.lost.clone()?;
                    let rest = self.decoder.take_rest(self.read.bytes());
                    return Some(rest.map_or(Event::End(lost), Event::Fragment));
                }
            }
        }
    }

    /// Answers pings while the peer says nothing else; ready when it has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_sent_close && self.pings.as_ref().is_some_and(|pings| pings.is_due(cx)) {
            self.probes.asked = Some(self.put_ping());
        }
        loop {
            let (io, is_flushed) = (&self.io, self.is_flushed());
            match self.alive.poll(cx, is_flushed, || io.delivery()) {
                Poll::Ready(Silence::Dead) => return Poll::Ready(()),
                // Behind our Close no peer expects one.
                Poll::Ready(Silence::Ping) if self.has_sent_close => {}
                Poll::Ready(Silence::Ping) => self.break_silence(),
                Poll::Pending => break,
            }
        }
        self.put_proof(cx);
        self.poll_closing(cx);
        // A failure shows at the next write or read.
        let _ = self.poll_sent(cx);
        Poll::Pending
    }

    /// Pings a silent peer, and has the system try often enough to find a dead one.
    fn break_silence(&mut self) {
        if let (Some(period), Some(socket)) = (self.alive.period(), self.io.descriptor()) {
            sendqueue::limit_backoff(socket, period / 2);
        }
        let _ = self.put_ping();
    }

    /// Queues the Pong that proves the half-close extension, where it is due.
    fn put_proof(&mut self, cx: &mut Context<'_>) {
        let Some(half) = &mut self.half_close else {
            return;
        };
        if !self.has_sent_close && half.is_proof_due(cx) {
            half.has_sent_proof = true;
            self.put_control(OpCode::Pong, extension::HALF_CLOSE.as_bytes());
        }
    }

    /// Pings while our Close waits for that of a peer that may still have much to deliver before it.
    fn poll_closing(&mut self, cx: &mut Context<'_>) {
        // One that has not proved the extension is waited for as a foreign peer is.
        let is_proved = self
            .half_close
            .as_ref()
            .is_some_and(|half| half.is_in_force());
        let is_waiting = is_proved && self.has_sent_close && self.ended.is_none();
        if !is_waiting {
            return;
        }
        loop {
            let timer = self
                .closing
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSING_PING)));
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            timer.as_mut().reset(Instant::now() + CLOSING_PING);
            self.put_ping();
        }
    }

    /// How long the transport is read after both Close frames.
    fn finish_time(&self) -> Duration {
        match (self.role, &self.half_close) {
            (Role::Client, Some(_)) => FINISH_HALF_CLOSED,
            _ => FINISH,
        }
    }

    /// Whether half-closes are in force and no Close has passed.
    fn carries_half_close(&self) -> bool {
        let is_in_force = self
            .half_close
            .as_ref()
            .is_some_and(|half| half.is_in_force());
        is_in_force && !self.has_sent_close && self.ended.is_none()
    }

    /// Queues the marker, once.
    fn put_marker(&mut self) {
        if let Some(half) = &mut self.half_close
            && !std::mem::replace(&mut half.has_sent_end, true)
        {
            self.put_control(OpCode::HalfClose, b"");
        }
    }

    /// Queues a pong, or keeps it for later: only the newest (RFC 6455 5.5.3).
    fn answer(&mut self, ping: &[u8]) {
        // A copy: a slice would hold on to the whole buffer that it was read into.
        self.unanswered = Some(ping.to_vec());
        if self.outbox.len() < PONGS_QUEUED {
            self.put_pong();
        }
    }

    fn put_pong(&mut self) {
        // A peer that knows half-closes goes on pinging until our Close has answered its own.
        let is_heard = !self.has_sent_close || self.half_close.is_some();
        if let Some(pong) = self.unanswered.take()
            && is_heard
        {
            self.put_control(OpCode::Pong, &pong);
        }
    }

    /// Whether all that was put has left.
    fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && !self.unflushed
    }

    /// Queues a ping whose round trip is told; its number.
    fn put_ping(&mut self) -> u64 {
        let number = self.put_number();
        self.probes.timed = Some((number, Instant::now()));
        number
    }

    /// Queues a ping; its number.
    fn put_number(&mut self) -> u64 {
        self.probes.sent += 1;
        let number = self.probes.sent;
        self.put_control(OpCode::Ping, &number.to_be_bytes());
        self.alive.pinged(number);
        number
    }

    /// Notes bytes of payload that were put; of many of them each MiB is followed by a ping.
    fn note_volume(&mut self, bytes: usize) {
        if self.alive.sent(bytes) {
            self.put_number();
        }
    }

    fn note_pong(&mut self, payload: &[u8]) {
        if payload == extension::HALF_CLOSE.as_bytes() {
            if let Some(half) = &self.half_close {
                half.proof.give();
            }
            return;
        }
        let probes = &mut self.probes;
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else {
            return;
        };
        if !(probes.answered + 1..=probes.sent).contains(&number) {
            return;
        }
        probes.answered = number;
        self.alive.answered(number);
        if probes.asked.take_if(|asked| *asked <= number).is_some()
            && let Some(pings) = &self.pings
        {
            pings.answered();
        }
        if let Some((_, at)) = probes.timed.take_if(|(timed, _)| *timed <= number) {
            let caller = self.caller.as_deref().map(tracing::field::display);
            let (who, took) = (self.role.peer(), at.elapsed());
            debug!(caller, "{who}: pong after {took:.1?}");
        }
    }

    /// Queues a control frame; its payload is at most 125 bytes.
    fn put_control(&mut self, opcode: OpCode, payload: &[u8]) {
        let mut frame = [0; MAX_HEADER + MAX_CONTROL];
        let Some((head, rest)) = frame.split_first_chunk_mut::<MAX_HEADER>() else {
            return;
        };
        let mut key = self.fresh_key();
        let head_len = codec::encode_header(opcode, true, payload.len(), key, head);
        rest[..payload.len()].copy_from_slice(payload);
        if let Some(key) = &mut key {
            mask::apply(&mut rest[..payload.len()], key);
        }
        self.outbox.copy(&head[..head_len]);
        self.outbox.copy(&rest[..payload.len()]);
        self.unflushed = true;
    }

    /// Queues a frame of a message.
    fn put_frame(&mut self, kind: Kind, fin: bool, mut payload: BytesMut) {
        let opcode = if self.is_within_message {
            OpCode::Continuation
        } else {
            OpCode::Data(kind)
        };
        let mut key = self.fresh_key();
        let mut head = [0; MAX_HEADER];
        let head_len = codec::encode_header(opcode, fin, payload.len(), key, &mut head);
        if let Some(key) = &mut key {
            mask::apply(&mut payload, key);
        }
        self.outbox.copy(&head[..head_len]);
        self.outbox.push(payload);
        self.is_within_message = !fin;
        self.unflushed = true;
    }

    /// Notes how long a message is of which so many bytes were put.
    fn note_sent(&mut self, bytes: usize, fin: bool) {
        let sent = self
            .sent
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.longest.bytes = self.longest.bytes.max(sent);
        self.sent = if fin { 0 } else { sent };
    }

    fn fresh_key(&self) -> Option<mask::Key> {
        (self.role == Role::Client).then(mask::fresh_key)
    }

    fn put_close(&mut self, why: &Ending) {
        let close = match &self.ended {
            Some(ended @ Ending::Broken(_)) => ended.close_reply(),
            // A Close is echoed, unless the other side has an end of its own to tell.
            Some(ended @ (Ending::Close(_) | Ending::Cut { .. }))
                if why == ended || is_echo(ended, why) =>
            {
                ended.close_reply()
            }
            _ => why.close_across(),
        };
        self.put_pong();
        self.put_control(OpCode::Close, &codec::close_body(&close));
        self.has_sent_close = true;
    }

    /// Writes and flushes all that was put.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if let Some(cut) = &self.cut {
            return Poll::Ready(Err(cut.clone()));
        }
        loop {
            let written = ready!(self.outbox.poll_write(&mut self.io, cx));
            if self.unanswered.is_some() && written.is_ok() {
                self.put_pong();
                continue;
            }
            let flushed = match written {
                Ok(()) if self.unflushed => {
                    ready!(AsyncWrite::poll_flush(Pin::new(&mut self.io), cx))
                }
                other => other,
            };
            self.unflushed = false;
            self.alive.flushed();
            return Poll::Ready(flushed.map_err(|error| self.fail(&error)));
        }
    }

    fn fail(&mut self, error: &io::Error) -> Ending {
        let ending = self.io.failed(During::Write, error).of_websocket();
        self.outbox = Outbox::default();
        self.cut = Some(ending.clone());
        ending
    }

    /// Ends the transport: the server first (RFC 6455 7.1.1), reading on until the client has ended it too.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.finish {
                Finish::Open => {
                    self.finish = Finish::Closing {
                        until: Box::pin(tokio::time::sleep(self.finish_time())),
                        is_shut: false,
                    };
                }
                Finish::Closing { until, is_shut } => {
                    let is_late = until.as_mut().poll(cx).is_ready();
                    if !*is_shut && (self.role == Role::Server || is_late) {
                        // What cannot be shut down is over, and so is what takes too long.
                        match self.io.poll_end(cx, &Ending::Eof) {
                            Poll::Pending if !is_late => return Poll::Pending,
                            _ => *is_shut = true,
                        }
                    }
                    if !is_late {
                        self.read.bytes().clear();
                        if let Ok(count @ 1..) = ready!(self.read.poll_fill(&mut self.io, cx)) {
                            self.spent = Spent::add(self.spent, count);
                            if self.turn().is_turn() {
                                return self.spent().poll_turn(cx);
                            }
                            continue;
                        }
                    }
                    if !*is_shut {
                        let _ = ready!(self.io.poll_end(cx, &Ending::Eof));
                    }
                    self.finish = Finish::Done;
                }
                Finish::Done => return Poll::Ready(()),
            }
        }
    }
}

impl Socket {
    fn put_fragment(&mut self, fragment: Fragment) {
        self.put_pong();
        let Fragment {
            kind,
            fin,
            mut payload,
        } = fragment;
        let bytes = payload.len();
        while payload.len() > self.longest.chunk as usize {
            let piece = payload.split_to(self.longest.chunk as usize);
            self.put_frame(kind, false, piece);
        }
        self.put_frame(kind, fin, payload);
        self.note_sent(bytes, fin);
        self.note_volume(bytes);
    }

    fn put_batch(&mut self, batch: &Batch) {
        let chunk = self.longest.chunk as usize;
        if chunk < SHORT && batch.longest() > chunk {
            batch
                .fragments()
                .for_each(|fragment| self.put_fragment(fragment));
            return;
        }
        self.put_pong();
        let role = self.role;
        let write = |room: &mut [u8]| codec::encode_batch(batch, role, room);
        // A server's frames are the same for all who are sent the same (RFC 6455 5.1).
        let shared = (role == Role::Server).then(|| batch.encoded(write));
        match shared.flatten() {
            Some(frames) => self.outbox.copy(frames),
            None => self.outbox.put(Batch::ROOM, write),
        }
        self.unflushed = true;
        if (self.longest.bytes as usize) < SHORT {
            self.note_sent(batch.longest(), true);
        }
        self.note_volume(batch.payload());
    }

    /// How far the half-close extension has come; `None` where it was not agreed to.
    fn marks(&self) -> Option<Marks> {
        let half = self.half_close.as_ref()?;
        // No Close can be sent to it any more.
        let is_lost = matches!(self.ended, Some(Ending::Lost(_)));
        Some(Marks {
            proof_wait: half.proof_wait(),
            owes_close: half.has_sent_end && !self.has_sent_close && !is_lost,
            awaits_close: half.has_received_end && self.ended.is_none(),
            backlog: self.alive.backlog(),
        })
    }

    /// What is known about it, once its opening handshake is over.
    fn facts(&self) -> StreamFacts {
        let half_close = self.half_close.as_ref();
        StreamFacts {
            framing: self.is_byte_target.then_some(Framing::BYTES),
            protocol: self.protocol.clone(),
            chunk: Some(self.longest.chunk as usize),
            can_half_close: half_close.is_some(),
            proof: half_close.map(|half| half.proof.clone()),
            ..StreamFacts::default()
        }
    }
}

impl From<Socket> for Opened {
    fn from(socket: Socket) -> Opened {
        let facts = socket.facts();
        Opened::messages(Box::new(socket), facts)
    }
}

impl MessageStream for Socket {
    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn take(&mut self) -> Option<Event> {
        if self.ended.is_none() {
            match self.take_event()? {
                // The marker, behind which frames still come.
                marker @ Event::End(Ending::Eof) => return Some(marker),
                Event::End(ending) if self.half_close.is_some() => self.ended = Some(ending),
                Event::End(ending) => {
                    // Nothing that comes behind is looked at, and others may miss the buffer while the other side ends.
                    self.read = ReadBuffer::default();
                    self.ended = Some(ending);
                }
                event => return Some(event),
            }
        }
        self.ended.clone().map(Event::End)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn().is_turn() {
            return self.spent().poll_turn(cx);
        }
        self.lost = match self.read.poll_fill(&mut self.io, cx) {
            Poll::Ready(Ok(0)) => Some(match ready!(self.io.poll_ending(cx)) {
                Ending::Eof => Ending::Lost(Loss::NoClose),
                other => other,
            }),
            Poll::Ready(Ok(count)) => {
                self.spent = Spent::add(self.spent, count);
                self.alive.heard();
                None
            }
            Poll::Ready(Err(error)) => Some(self.io.failed(During::Read, &error).of_websocket()),
            Poll::Pending => {
                ready!(self.poll_silence(cx));
                Some(Ending::Lost(Loss::Silent))
            }
        };
        Poll::Ready(())
    }

    fn spent(&mut self) -> Spent {
        let turn = self.turn();
        self.spent = 0;
        self.decoder.begin_turn();
        turn
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match self.io.descriptor().and_then(sendqueue::hangup) {
            Some(Hangup::Reset) => return Poll::Ready(Ending::Lost(Loss::ResetOpen)),
            // What lies before it may end with a Close.
            Some(Hangup::Finished | Hangup::Closed) => return Poll::Ready(Ending::Eof),
            None => {}
        }
        if self.ended.is_none() && !self.has_sent_close {
            let (io, is_flushed) = (&self.io, self.is_flushed());
            match self.alive.look_unread(is_flushed, || io.delivery()) {
                Some(Silence::Dead) => return Poll::Ready(Ending::Lost(Loss::Silent)),
                Some(Silence::Ping) => self.break_silence(),
                None => {}
            }
        }
        // A failure shows at the next write or read.
        let _ = self.poll_sent(cx);
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        if self.outbox.is_full() || self.cut.is_some() {
            return self.poll_sent(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        if let Some(cut) = &self.cut {
            return Err(cut.clone());
        }
        match event {
            Event::Fragment(fragment) => self.put_fragment(fragment),
            Event::Batch(batch) => self.put_batch(&batch),
            Event::Gap(_) | Event::End(_) => {}
        }
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.put_proof(cx);
        if !self.unflushed && self.unanswered.is_none() {
            return Poll::Ready(Ok(()));
        }
        self.poll_sent(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        if matches!(self.ended, Some(Ending::Lost(_))) {
            return Poll::Ready(Ok(()));
        }
        if self.carries_half_close() && matches!(why, Ending::Eof | Ending::Enough) {
            self.put_marker();
            return self.poll_sent(cx);
        }
        if !self.has_sent_close {
            self.put_close(why);
        }
        if !matches!(self.finish, Finish::Closing { .. } | Finish::Done) {
            ready!(self.poll_sent(cx))?;
        }
        if self.ended.is_some() {
            ready!(self.poll_finish(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        self.outbox.len() + self.io.queued()
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        // Between the peer's Close and ours it is pinged; it has what it wanted, and so no loss counts.
        let owes_close = self.marks().is_some_and(|marks| marks.owes_close);
        let has_closed = matches!(self.ended, Some(Ending::Close(_) | Ending::Cut { .. }));
        if !owes_close || !has_closed {
            return Poll::Pending;
        }
        for _ in 0..EVENTS_BEHIND_CLOSE {
            match self.take_event() {
                _ if self.lost.is_some() => return Poll::Pending,
                // What breaks the protocol behind its Close is the last that is looked at.
                Some(Event::End(ending)) => self.lost = Some(ending),
                Some(_) => {}
                None => ready!(self.poll_more(cx)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn notify(&mut self, notice: Notice) {
        match notice {
            Notice::Prove(across) => {
                if let Some(half) = &mut self.half_close {
                    half.prove_after(across);
                }
            }
            Notice::Probe if self.can_be_asked() => drop(self.put_ping()),
            Notice::Pings(pings) => {
                pings.carry();
                self.pings = Some(pings);
            }
            Notice::MergeMessages => self.decoder.merge_messages(),
            // Its messages have their own length.
            Notice::CutAt(_) => {}
            Notice::Probe | Notice::Greeting(_) | Notice::SpeakBytes => {}
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        Tally {
            half_closes: self.carries_half_close(),
            can_go: true,
            works_unheard: false,
            has_piece: self.decoder.is_within_frame(),
            marks: self.marks(),
            asked: self.can_be_asked().then_some(self.probes.sent),
            answered: self.probes.answered,
            merged: self.decoder.merged_messages(),
            gap: Gap::default(),
            longest: Some(self.longest),
        }
    }
}

/// Whether a peer that ended with a Close is told nothing new by `why`: a Close without a code crosses the other side as 1000
/// and comes back so.
fn is_echo(ended: &Ending, why: &Ending) -> bool {
    match (ended, why) {
        (Ending::Close(Close { code: None, .. }), Ending::Close(close)) => {
            matches!(close.code, None | Some(1000)) && close.reason.is_empty()
        }
        _ => !why.is_abort() && !matches!(why, Ending::Close(_)),
    }
}

#[cfg(test)]
mod tests;
