//! A room and its members: no transport, only queues. Members hear each other, or what one source says to all.

mod message;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Result, anyhow};
use bytes::{Buf, Bytes, BytesMut};
use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tracing::{debug, info};

use message::Message;

use crate::address::parse_size;
use crate::ending::{Cause, Close, Ending};
use crate::framing::Whole;
use crate::message::{Batch, Fragment, Kind, SHORT};
use crate::peer::{Event, MessageStream};

/// Options of a room, whoever speaks in it.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(skip)]
#[command(next_help_heading = "Rooms")]
pub struct Options {
    /// What becomes of a member that does not keep up with a room
    ///
    /// disconnect: it is closed with 1013 'slow'. drop-oldest, drop-newest: messages that find its queue full, or the oldest
    /// there, are not delivered to it. latest: it gets the newest message only. block: nobody can say more until it has room.
    #[arg(long, value_enum, value_name = "HOW", default_value = "disconnect")]
    pub slow: Slow,
    /// What a member that lost messages is told
    ///
    /// notice: a line '* 3 messages lost' at their place. close: 1013 'gap' there.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "notice")]
    pub gap: Gap,
    /// Messages that wait for one member at most
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: u32,
    /// Bytes that wait for one member at most; a single message may be longer
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = parse_size)]
    pub queue_bytes: usize,
    /// Let newcomers hear the last N messages first, or with K or M so many bytes
    ///
    /// Not more than waits for one member at most. Examples: --replay 20, --replay 64K
    #[arg(long, value_name = "N|BYTES", default_value = "0", value_parser = parse_replay)]
    pub replay: Replay,
    /// Members of one room at most
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..))]
    pub room_members: u32,
    /// Take no message over this many bytes, which must be whole to be heard
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    pub max_message: usize,
}

/// What becomes of a member that does not keep up.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It is closed.
    Disconnect,
    /// It loses what has waited longest.
    DropOldest,
    /// It loses what comes.
    DropNewest,
    /// All wait for it.
    Block,
    /// It loses all but the newest.
    Latest,
}

/// What a member that lost messages is told.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// How many, in their place.
    Notice,
    /// It is closed in their place.
    Close,
}

/// How a message says whose it is.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Before a text.
    Prefix,
    /// In an object of JSON.
    Json,
}

/// How much newcomers hear first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// So many messages.
    Messages(usize),
    /// Messages of so many bytes.
    Bytes(usize),
}

/// Reads a number of messages, or with a unit one of bytes.
fn parse_replay(text: &str) -> Result<Replay, String> {
    match text.parse() {
        Ok(messages) => Ok(Replay::Messages(messages)),
        Err(_) => parse_size(text).map(Replay::Bytes),
    }
}

/// How members of a room are told of each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whether a member hears what it says itself.
    pub(super) echo: bool,
    /// Whether all hear who comes and who goes.
    pub(super) join: bool,
    /// How each message says whose it is.
    pub(super) id: Option<Identity>,
}

/// Who hears what members say, where that is not the members themselves.
pub(super) trait Desk: Send + Sync {
    /// Ready when it takes a message; wakes who waits for that.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes a message of a member.
    ///
    /// # Errors
    /// Why it does not, which the member is told.
    fn take(&self, from: u64, kind: Kind, payload: Bytes) -> Result<(), String>;

    /// Whether a member that says nothing more is ended when it has all that it waits for, which may be long after. Else it
    /// is when nothing has come for a while.
    fn ends(&self) -> bool;

    /// Whether a member that says nothing more still waits for something.
    fn is_awaited(&self, id: u64) -> bool;

    /// Is told that a member says nothing more.
    fn finished(&self, id: u64);
}

/// The longest piece of a message that is yielded at once.
const PIECE: usize = 64 * 1024;

/// A room.
pub(super) struct Room {
    options: Options,
    manner: Manner,
    desk: Option<Arc<dyn Desk>>,
    state: Mutex<State>,
    /// How many are in it.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Arc<Seat>>,
    /// How many have ever come.
    came: u64,
    /// How many messages have been said.
    said: u64,
    /// What newcomers hear first.
    replay: VecDeque<Arc<Message>>,
    /// Its bytes.
    replayed: usize,
    /// Whether a member that could take what waits for it has been left no time to.
    is_crowded: bool,
    /// Who would say something meanwhile.
    waiting: Vec<Waker>,
}

/// A member as the room knows it.
#[derive(Default)]
struct Seat(Mutex<Queue>);

/// What waits for a member.
#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Whether its transport took no more when it was last asked. Only then does it not keep up: others may say much in one
    /// turn of a thread, and it has not had its own.
    is_blocked: bool,
    /// Why it hears nothing more once the entries are gone.
    end: Option<Ending>,
    /// Why it hears nothing more at once.
    cut: Option<Ending>,
    reader: Option<Waker>,
    /// Messages and bytes that it has lost.
    lost: (u64, u64),
    /// Whether it says nothing more.
    is_finished: bool,
}

enum Entry {
    Message(Arc<Message>),
    /// Messages and bytes that were lost here.
    Gap(u64, u64),
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_full(&self, options: &Options) -> bool {
        self.entries.len() >= options.queue as usize || self.bytes >= options.queue_bytes
    }

    /// Whether it hears nothing now: it is full, or it has been ended.
    fn has_no_room(&self, options: &Options) -> bool {
        self.is_full(options) || self.end.is_some() || self.cut.is_some()
    }

    /// Whether it does not keep up.
    fn is_slow(&self, options: &Options) -> bool {
        self.is_blocked && self.is_full(options)
    }

    /// Adds a message, or does what is to be done with one who does not keep up; to be woken by the caller.
    fn add(&mut self, message: &Arc<Message>, options: &Options, is_slow: bool) {
        if self.end.is_some() || self.cut.is_some() {
            return;
        }
        match options.slow {
            Slow::Disconnect if is_slow => {
                let waiting = self.entries.len() as u64;
                self.lost = (self.lost.0 + waiting, self.lost.1 + self.bytes as u64);
                (self.entries, self.bytes) = (VecDeque::new(), 0);
                self.cut = Some(Ending::Close(Close::new(1013, "slow")));
                return;
            }
            Slow::DropNewest if is_slow => {
                self.lose(1, message.bytes.len() as u64);
                return;
            }
            Slow::DropOldest if is_slow => while self.is_full(options) && self.drop_oldest() {},
            Slow::Latest if self.is_blocked => while self.drop_oldest() {},
            _ => {}
        }
        self.bytes += message.bytes.len();
        self.entries.push_back(Entry::Message(message.clone()));
    }

    /// Notes that what comes is lost, behind what waits.
    fn lose(&mut self, messages: u64, bytes: u64) {
        self.lost = (self.lost.0 + messages, self.lost.1 + bytes);
        match self.entries.back_mut() {
            Some(Entry::Gap(before, bytes_before)) => {
                (*before, *bytes_before) = (*before + messages, *bytes_before + bytes);
            }
            _ => self.entries.push_back(Entry::Gap(messages, bytes)),
        }
    }

    /// Drops the oldest message, before which there may be a gap already; false where there is none.
    fn drop_oldest(&mut self) -> bool {
        let mut gap = match self.entries.front() {
            Some(Entry::Gap(messages, bytes)) => (*messages, *bytes),
            _ => (0, 0),
        };
        if gap.0 > 0 {
            self.entries.pop_front();
        }
        let dropped = match self.entries.pop_front() {
            Some(Entry::Message(message)) => {
                let bytes = message.bytes.len();
                self.bytes -= bytes;
                self.lost = (self.lost.0 + 1, self.lost.1 + bytes as u64);
                gap = (gap.0 + 1, gap.1 + bytes as u64);
                true
            }
            // Two gaps never stand next to each other.
            _ => false,
        };
        if gap.0 > 0 {
            self.entries.push_front(Entry::Gap(gap.0, gap.1));
        }
        dropped
    }

    /// Ends it behind what waits.
    fn end_with(&mut self, ending: Ending) {
        self.end.get_or_insert(ending);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Room {
    /// Makes an empty one; with a desk what members say goes there.
    pub(super) fn new(options: Options, manner: Manner, desk: Option<Arc<dyn Desk>>) -> Room {
        Room {
            options,
            manner,
            desk,
            state: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
    }

    /// Lets somebody in, who is called `from` in the log.
    ///
    /// # Errors
    /// [`Cause::Busy`] where it is full.
    pub(super) fn enter(self: Arc<Room>, from: &str) -> Result<Member> {
        let mut state = self.lock();
        if state.members.len() >= self.options.room_members as usize {
            let what = format!(
                "the room has {} members; --room-members allows more",
                state.members.len()
            );
            return Err(anyhow!(Cause::Busy).context(what));
        }
        state.came += 1;
        let (id, seat) = (state.came, Arc::new(Seat::default()));
        {
            let mut queue = seat.lock();
            for message in &state.replay {
                queue.bytes += message.bytes.len();
                queue.entries.push_back(Entry::Message(message.clone()));
            }
        }
        state.members.insert(id, seat.clone());
        self.count.send_replace(state.members.len());
        if self.manner.join {
            let count = state.members.len();
            let event = Message::event("joined", id, count, self.manner.id);
            self.tell(&mut state, &[Arc::new(event)]);
        }
        drop(state);
        Ok(Member {
            whole: Whole::new(self.options.max_message),
            id,
            seat,
            from: from.to_owned(),
            begun: None,
            room: self,
        })
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        if state.members.remove(&id).is_none() {
            return;
        }
        self.count.send_replace(state.members.len());
        if self.manner.join {
            let count = state.members.len();
            let event = Message::event("left", id, count, self.manner.id);
            self.tell(&mut state, &[Arc::new(event)]);
        }
        // They may have waited for it.
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// Has all members hear messages, all of one member's.
    fn tell(&self, state: &mut State, messages: &[Arc<Message>]) {
        let from = messages.first().map_or(0, |message| message.from);
        // One source goes at the pace of the fastest member, as if that were alone.
        let mut is_too_fast = self.desk.is_some() && !state.members.is_empty();
        for (id, seat) in &state.members {
            if self.manner.echo || *id != from {
                let mut queue = seat.lock();
                // What one source says at once is judged at once, as it waits for room only before it.
                let was_slow = self.desk.as_ref().map(|_| queue.is_slow(&self.options));
                for message in messages {
                    let is_slow = was_slow.unwrap_or_else(|| queue.is_slow(&self.options));
                    queue.add(message, &self.options, is_slow);
                }
                queue.wake();
                state.is_crowded |= self.is_waited_for(&queue);
                is_too_fast &= queue.has_no_room(&self.options);
            }
        }
        state.is_crowded |= is_too_fast;
    }

    /// Whether nothing more should be said before this member has taken some of what waits for it.
    fn is_waited_for(&self, queue: &Queue) -> bool {
        let is_able = !queue.is_blocked || self.options.slow == Slow::Block;
        is_able && queue.end.is_none() && queue.is_full(&self.options)
    }

    /// Has all members hear what one says, and keeps it for those who come later.
    fn say<'a>(
        &self,
        state: &mut State,
        from: u64,
        kind: Kind,
        payloads: impl Iterator<Item = &'a [u8]>,
    ) {
        let id = self.manner.id;
        let messages = payloads.map(|payload| {
            state.said += 1;
            Arc::new(Message::said(from, state.said, kind, payload, id))
        });
        let messages: Vec<_> = messages.collect();
        self.tell(state, &messages);
        let (most, most_bytes) = match self.options.replay {
            Replay::Messages(0) => return,
            Replay::Messages(most) => (most, self.options.queue_bytes),
            Replay::Bytes(most) => (usize::MAX, most.min(self.options.queue_bytes)),
        };
        let most = most.min(self.options.queue as usize);
        for message in messages {
            state.replayed += message.bytes.len();
            state.replay.push_back(message);
        }
        while state.replay.len() > most || state.replayed > most_bytes {
            let Some(oldest) = state.replay.pop_front() else {
                break;
            };
            state.replayed -= oldest.bytes.len();
        }
    }

    /// Has all members hear messages of none of them.
    pub(super) fn tell_all<'a>(&self, kind: Kind, payloads: impl Iterator<Item = &'a [u8]>) {
        self.say(&mut self.lock(), 0, kind, payloads);
    }

    /// Has one member hear a message, if it is still here.
    pub(super) fn tell_one(&self, id: u64, kind: Kind, payload: &[u8]) {
        let mut state = self.lock();
        let Some(seat) = state.members.get(&id).cloned() else {
            return;
        };
        let message = Message::said(0, 0, kind, payload, None);
        let mut queue = seat.lock();
        let is_slow = queue.is_slow(&self.options);
        queue.add(&Arc::new(message), &self.options, is_slow);
        queue.wake();
        state.is_crowded |= self.is_waited_for(&queue);
    }

    /// Tells all members of something that befell them: in a line, or they are closed with the ending.
    pub(super) fn tell_gap(&self, text: &str, ending: &Ending) {
        let mut state = self.lock();
        match self.options.gap {
            Gap::Notice => {
                let line = Message::of_room(format!("* {text}"));
                self.tell(&mut state, &[Arc::new(line)]);
            }
            Gap::Close => close(&state, ending),
        }
    }

    /// Ends one member that says nothing more, behind what waits for it.
    pub(super) fn let_go(&self, id: u64) {
        let state = self.lock();
        if let Some(seat) = state.members.get(&id) {
            let mut queue = seat.lock();
            if queue.is_finished {
                queue.end_with(Ending::Eof);
            }
        }
    }

    /// Has all members hear nothing more than what waits for them, and then the ending.
    pub(super) fn close_all(&self, ending: &Ending) {
        close(&self.lock(), ending);
    }

    /// Forgets what newcomers would hear.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        (state.replay, state.replayed) = (VecDeque::new(), 0);
    }

    /// How many are in it, now and later.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// The member that has been here longest among those who may still say something.
    pub(super) fn first(&self) -> Option<u64> {
        let state = self.lock();
        let mut members = state.members.iter();
        let found = members.find(|(_, seat)| !seat.lock().is_finished);
        found.map(|(id, _)| *id)
    }

    /// Whether more may be said now; who may not is woken when that changes.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_crowded {
            let mut seats = state.members.values();
            let mut all = state.members.values();
            state.is_crowded = seats.any(|seat| self.is_waited_for(&seat.lock()))
                || self.desk.is_some()
                    && !state.members.is_empty()
                    && all.all(|seat| seat.lock().has_no_room(&self.options));
        }
        if !state.is_crowded {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Lets those go on who wait for a member.
    fn wake_waiting(&self) {
        let mut state = self.lock();
        state.waiting.drain(..).for_each(Waker::wake);
    }
}

fn close(state: &State, ending: &Ending) {
    for seat in state.members.values() {
        seat.lock().end_with(ending.clone());
    }
}

/// A member's own end.
pub(super) struct Member {
    room: Arc<Room>,
    id: u64,
    seat: Arc<Seat>,
    from: String,
    whole: Whole,
    /// What is left of a long message.
    begun: Option<(Kind, Bytes)>,
}

impl Member {
    /// Takes the next piece of a long message.
    fn piece(&mut self) -> Option<Event> {
        let (kind, rest) = self.begun.as_mut()?;
        let len = rest.len().min(PIECE);
        let fragment = Fragment {
            kind: *kind,
            fin: len == rest.len(),
            payload: BytesMut::from(&rest[..len]),
        };
        rest.advance(len);
        if fragment.fin {
            self.begun = None;
        }
        Some(Event::Fragment(fragment))
    }

    /// Takes short messages of one kind from the front, as many as a batch holds.
    fn batch(queue: &mut Queue) -> Option<Batch> {
        let (mut bytes, mut spans, mut kind) = (0, Vec::new(), None);
        for entry in queue.entries.iter().take(Batch::MOST) {
            match entry {
                Entry::Message(message)
                    if message.bytes.len() <= SHORT
                        && bytes + message.bytes.len() <= Batch::LENGTH
                        && *kind.get_or_insert(message.kind) == message.kind =>
                {
                    // A batch is much shorter than 4 GiB.
                    #[allow(clippy::cast_possible_truncation)]
                    spans.push((bytes as u32, (bytes + message.bytes.len()) as u32));
                    bytes += message.bytes.len();
                }
                _ => break,
            }
        }
        let kind = kind.filter(|_| spans.len() > 1)?;
        let mut joined = BytesMut::with_capacity(bytes);
        for entry in queue.entries.drain(..spans.len()) {
            if let Entry::Message(message) = entry {
                joined.extend_from_slice(&message.bytes);
            }
        }
        queue.bytes -= bytes;
        Some(Batch::new(kind, joined, spans))
    }

    fn next(&mut self) -> Option<Event> {
        let options = &self.room.options;
        let mut queue = self.seat.lock();
        queue.is_blocked = false;
        if let Some(cut) = &queue.cut {
            return Some(Event::End(cut.clone()));
        }
        if let Some(batch) = Member::batch(&mut queue) {
            return Some(Event::Batch(batch));
        }
        let message = match queue.entries.pop_front() {
            None => return queue.end.clone().map(Event::End),
            Some(Entry::Message(message)) => {
                queue.bytes -= message.bytes.len();
                message
            }
            Some(Entry::Gap(..)) if options.gap == Gap::Close => {
                let end = Ending::Close(Close::new(1013, "gap"));
                queue.end = Some(end.clone());
                return Some(Event::End(end));
            }
            Some(Entry::Gap(messages, bytes)) => {
                Arc::new(Message::gap(messages, bytes, self.room.manner.id))
            }
        };
        drop(queue);
        self.begun = Some((message.kind, message.bytes.clone()));
        self.piece()
    }
}

impl Member {
    /// Tells it that something of what it said goes nowhere.
    fn refused(&self, why: &str) -> Result<(), Ending> {
        let mut queue = self.seat.lock();
        match self.room.options.gap {
            Gap::Notice => {
                let notice = Message::of_room(format!("* not sent: {why}"));
                let is_slow = queue.is_slow(&self.room.options);
                queue.add(&Arc::new(notice), &self.room.options, is_slow);
                queue.wake();
                Ok(())
            }
            Gap::Close => {
                let ending = Ending::Close(Close::new(1008, why));
                queue.end_with(ending.clone());
                Err(ending)
            }
        }
    }
}

impl MessageStream for Member {
    fn take(&mut self) -> Option<Event> {
        if let Some(piece) = self.piece() {
            return Some(piece);
        }
        let was_full = self.seat.lock().is_full(&self.room.options);
        let event = self.next();
        if was_full {
            self.room.wake_waiting();
        }
        event
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.seat.lock();
        if !queue.entries.is_empty() || queue.end.is_some() || queue.cut.is_some() {
            return Poll::Ready(());
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut queue = self.seat.lock();
        if let Some(cut) = &queue.cut {
            return Poll::Ready(cut.clone());
        }
        queue.reader = Some(cx.waker().clone());
        if !std::mem::replace(&mut queue.is_blocked, true) {
            drop(queue);
            // Whoever waits for it need not any longer.
            self.room.wake_waiting();
        }
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        match &self.room.desk {
            Some(desk) => desk.poll_ready(cx).map(Ok),
            None => self.room.poll_ready(cx).map(Ok),
        }
    }

    fn start_send(&mut self, fragment: Fragment) -> Result<(), Ending> {
        let kind = fragment.kind;
        match self.whole.add(fragment) {
            Ok(Some(payload)) => match &self.room.desk {
                Some(desk) => {
                    let taken = desk.take(self.id, kind, payload.freeze());
                    taken.or_else(|why| self.refused(&why))
                }
                None => {
                    let mut state = self.room.lock();
                    let once = std::iter::once(&payload[..]);
                    self.room.say(&mut state, self.id, kind, once);
                    Ok(())
                }
            },
            Ok(None) => Ok(()),
            Err(ending) => {
                self.seat.lock().end = Some(ending.clone());
                Err(ending)
            }
        }
    }

    fn start_send_batch(&mut self, mut batch: Batch) -> Result<(), Ending> {
        let limit = self.whole.limit();
        // What came before one that is too long is heard.
        let fit = batch.messages().take_while(|it| it.len() <= limit).count();
        let are_all = fit == batch.count();
        batch.truncate(fit);
        if let Some(desk) = &self.room.desk {
            batch.messages().try_for_each(|message| {
                let message = Bytes::copy_from_slice(message);
                let taken = desk.take(self.id, batch.kind, message);
                taken.or_else(|why| self.refused(&why))
            })?;
        } else {
            let mut state = self.room.lock();
            self.room
                .say(&mut state, self.id, batch.kind, batch.messages());
        }
        if are_all {
            return Ok(());
        }
        self.seat.lock().end = Some(Ending::TooLong { limit });
        Err(Ending::TooLong { limit })
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        let Some(desk) = &self.room.desk else {
            self.room.leave(self.id);
            self.seat.lock().end_with(Ending::Eof);
            return Poll::Ready(Ok(()));
        };
        self.seat.lock().is_finished = true;
        desk.finished(self.id);
        // Who has said all may still hear; who has gone does not.
        if (desk.ends() || *why != Ending::Eof) && !desk.is_awaited(self.id) {
            self.seat.lock().end_with(Ending::Eof);
        }
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        0
    }

    fn half_closes(&self) -> bool {
        // Who has left a room where members speak hears nothing more.
        self.room.desk.is_some()
    }

    fn has_no_end(&self) -> bool {
        self.room.desk.as_ref().is_some_and(|desk| !desk.ends())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(desk) = &self.room.desk {
            desk.finished(self.id);
        }
        self.room.leave(self.id);
        let (messages, bytes) = self.seat.lock().lost;
        if messages > 0 {
            info!(caller = self.from, messages, bytes, "lost in the room");
        } else {
            debug!(caller = self.from, "left the room");
        }
    }
}
