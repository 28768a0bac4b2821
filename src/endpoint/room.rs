//! A room and its members: no transport, only queues. Members hear each other, or what one source says to all.

mod giving;
mod lines;
mod message;
mod queue;
mod returned;
pub mod rooms;
mod speech;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use anyhow::{Result, anyhow};
use bytes::{Buf, Bytes, BytesMut};
use clap::{Args, ValueEnum};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use message::Message;
pub(super) use message::Words;
use queue::{Entry, Queue, Seat};
use returned::Returned;
use speech::{Part, Wire, gather};

use crate::address::{number, parse_size};
use crate::caller::{Caller, Source};
use crate::ending::{Cause, Close, Ending, Shortage};
use crate::framing::{Added, CHUNK, Framing, Whole};
use crate::log::REFUSALS;
use crate::memory::{Holding, Memory, copy};
use crate::message::{Batch, Fragment, Kind, SHORT};
use crate::peer::{Event, MessageStream, Notice, Opened, Spent, StreamFacts, Tally};

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
    #[arg(long, value_name = "N", default_value = "256", value_parser = number(1..=u32::MAX))]
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
    #[arg(long, value_name = "N", default_value = "1024", value_parser = number(1..=u32::MAX))]
    pub room_members: u32,
    /// Take no message over this many bytes, which must be whole to be heard
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = parse_size)]
    pub max_message: usize,
}

impl Options {
    /// Whether members may be told how much they have lost.
    pub(super) fn tells_gaps(&self) -> bool {
        let drops = !matches!(self.slow, Slow::Disconnect | Slow::Block);
        drops && self.gap == Gap::Notice
    }
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
        Err(_) => parse_size(text)
            .map(Replay::Bytes)
            .map_err(|_| "is neither a number of messages nor a size such as 64K".to_owned()),
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

    /// Makes sure that there is memory for so many bytes.
    ///
    /// # Errors
    /// There is none.
    fn ensure(&self, bytes: usize) -> Result<(), Shortage>;

    /// How bytes are cut that members hear, where they are bytes.
    fn framing(&self) -> Option<Framing>;

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
    /// Whether what members say could be taken for what the room says.
    quotes: bool,
    state: Mutex<State>,
    memory: Memory,
    /// What is said and was not taken by all yet, and what newcomers hear.
    holding: Arc<Holding>,
    /// How many members could take what waits for them and have been left no time to.
    waited_for: AtomicUsize,
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
    replay: VecDeque<Part>,
    /// Its messages and bytes.
    replayed: (usize, usize),
    /// Whether no member had room for what its one source said last.
    is_crowded: bool,
    /// Who would say something meanwhile.
    waiting: Vec<Waker>,
    /// Who is to be woken once nobody has to wait for this.
    woken: Vec<Waker>,
}

/// Wakes whom there is something to hear for, when others can look at the room again.
fn release(mut state: MutexGuard<'_, State>) {
    let woken = std::mem::take(&mut state.woken);
    drop(state);
    woken.into_iter().for_each(Waker::wake);
}

impl Room {
    /// Makes an empty one, whose queues are counted in `memory`; with a desk what members say goes there.
    pub(super) fn new(
        options: Options,
        manner: Manner,
        desk: Option<Arc<dyn Desk>>,
        memory: &Memory,
    ) -> Arc<Room> {
        let tells = manner.join || options.tells_gaps();
        Arc::new_cyclic(|own: &Weak<Room>| Room {
            memory: memory.clone(),
            holding: Arc::new(memory.hold_queue(own.clone())),
            quotes: tells && manner.id.is_none() && desk.is_none(),
            options,
            manner,
            desk,
            state: Mutex::default(),
            waited_for: AtomicUsize::new(0),
            count: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
    }

    /// Whether the member that has been there for longest is of this address.
    pub(super) fn is_held_by(&self, source: Source) -> bool {
        let state = self.lock();
        let oldest = state.members.values().next();
        oldest.is_some_and(|seat| seat.source == source)
    }

    /// Lets a caller in.
    ///
    /// # Errors
    /// [`Cause::Busy`] where it is full.
    pub(super) fn enter(self: Arc<Room>, caller: &Caller) -> Result<Member> {
        let mut state = self.lock();
        if state.members.len() >= self.options.room_members as usize {
            let what = format!(
                "the room has {} members; --room-members allows more",
                state.members.len()
            );
            return Err(anyhow!(Cause::Busy).context(what));
        }
        state.came += 1;
        let (id, seat) = (state.came, Arc::new(Seat::new(caller.source)));
        {
            let mut queue = seat.lock();
            for said in &state.replay {
                queue.push(said.clone());
            }
            self.count_waited_for(&mut queue);
        }
        state.members.insert(id, seat.clone());
        self.count.send_replace(state.members.len());
        if self.manner.join {
            let count = state.members.len();
            let event = Message::event("joined", id, count, self.manner.id);
            self.tell_line(&mut state, event);
        }
        release(state);
        Ok(Member {
            whole: Whole::new(self.options.max_message, &self.memory),
            id,
            seat,
            from: caller.from.clone(),
            begun: None,
            returned: Returned::default(),
            protocol: None,
            room: self,
        })
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        let Some(seat) = state.members.remove(&id) else {
            return;
        };
        {
            let mut queue = seat.lock();
            queue.end.get_or_insert(Ending::Eof);
            self.count_waited_for(&mut queue);
        }
        self.count.send_replace(state.members.len());
        if self.manner.join {
            let count = state.members.len();
            let event = Message::event("left", id, count, self.manner.id);
            self.tell_line(&mut state, event);
        }
        // They may have waited for it.
        let waiting = std::mem::take(&mut state.waiting);
        state.woken.extend(waiting);
        release(state);
    }

    /// Has all members hear what one of them said, or the source.
    fn tell(&self, state: &mut State, said: &[Part]) {
        let from = said.first().map_or(0, Part::from);
        // One source goes at the pace of the fastest member, as if that were alone.
        let mut is_too_fast = self.desk.is_some() && !state.members.is_empty();
        let mut was_last = false;
        for (id, seat) in &state.members {
            if self.manner.echo || *id != from {
                let mut queue = seat.lock();
                let woken = queue.add(said, &self.options, self.desk.is_some());
                state.woken.extend(woken);
                was_last |= self.count_waited_for(&mut queue);
                is_too_fast &= queue.has_no_room(&self.options);
            }
        }
        state.is_crowded |= is_too_fast;
        if was_last {
            state.woken.append(&mut state.waiting);
        }
    }

    /// Has all members hear a line of the room itself.
    fn tell_line(&self, state: &mut State, line: Message) {
        self.tell(state, &gather(0, [line], &self.holding));
    }

    /// Counts a member among those who are waited for, or no longer, after its queue has changed. Returns whether it was the
    /// last of them.
    fn count_waited_for(&self, queue: &mut Queue) -> bool {
        let is_able = !queue.is_blocked || self.options.slow == Slow::Block;
        let is_waited_for = is_able && queue.end.is_none() && queue.is_full(&self.options);
        match (queue.is_waited_for, is_waited_for) {
            (false, true) => {
                queue.is_waited_for = true;
                self.waited_for.fetch_add(1, Ordering::SeqCst);
                false
            }
            (true, false) => {
                queue.is_waited_for = false;
                self.waited_for.fetch_sub(1, Ordering::SeqCst) == 1
            }
            _ => false,
        }
    }

    /// Has all hear what one says, `bytes` of it together.
    fn say<'a>(
        &self,
        from: u64,
        kind: Kind,
        words: impl IntoIterator<Item = Words<'a>>,
        bytes: usize,
    ) -> Result<(), Shortage> {
        // Before the lock: whoever gives way takes its own.
        self.ensure(bytes)?;
        let mut state = self.lock();
        let before = state.said;
        let messages = (before + 1..)
            .zip(words)
            .map(|(seq, words)| match self.quotes {
                true => Message::quoted(kind, words.bytes()),
                false => Message::said(from, seq, kind, words, self.manner.id),
            });
        let said = gather(from, messages, &self.holding);
        state.said += said.iter().map(|part| part.count() as u64).sum::<u64>();
        self.tell(&mut state, &said);
        said.into_iter()
            .for_each(|part| self.keep(&mut state, part));
        release(state);
        Ok(())
    }

    /// Keeps for newcomers what was said, and no more than they are to hear.
    fn keep(&self, state: &mut State, said: Part) {
        let (most, most_bytes) = match self.options.replay {
            Replay::Messages(0) => return,
            Replay::Messages(most) => (most, self.options.queue_bytes),
            Replay::Bytes(most) => (usize::MAX, most.min(self.options.queue_bytes)),
        };
        let most = most.min(self.options.queue as usize);
        let (mut messages, mut bytes) = state.replayed;
        (messages, bytes) = (messages + said.count(), bytes + said.bytes());
        state.replay.push_back(said);
        while messages > most || bytes > most_bytes {
            let Some(oldest) = state.replay.front_mut() else {
                break;
            };
            (messages, bytes) = (messages - 1, bytes - oldest.take_first().bytes());
            if oldest.count() == 0 {
                state.replay.pop_front();
            }
        }
        state.replayed = (messages, bytes);
    }

    /// Has all members hear a message of none of them.
    pub(super) fn tell_all(&self, kind: Kind, words: Words<'_>) -> Result<(), Shortage> {
        let bytes = words.bytes().len();
        self.say(0, kind, [words], bytes)
    }

    /// Has all members hear messages of none of them.
    pub(super) fn tell_batch(&self, batch: &Batch) -> Result<(), Shortage> {
        let words = batch.messages().map(Words::Short);
        self.say(0, batch.kind, words, batch.payload())
    }

    /// Has one member hear a message, if it is still here.
    pub(super) fn tell_one(&self, id: u64, kind: Kind, words: Words<'_>) -> Result<(), Shortage> {
        self.ensure(words.bytes().len())?;
        let mut state = self.lock();
        let Some(seat) = state.members.get(&id).cloned() else {
            return Ok(());
        };
        let message = Message::said(0, 0, kind, words, None);
        {
            let mut queue = seat.lock();
            let said = gather(0, [message], &self.holding);
            let woken = queue.add(&said, &self.options, true);
            state.woken.extend(woken);
            if self.count_waited_for(&mut queue) {
                let waiting = std::mem::take(&mut state.waiting);
                state.woken.extend(waiting);
            }
        }
        release(state);
        Ok(())
    }

    /// Tells all members of something that befell them: in a line, or they are closed with the ending.
    pub(super) fn tell_gap(&self, text: &str, ending: &Ending) {
        let mut state = self.lock();
        match self.options.gap {
            Gap::Notice => {
                self.tell_line(&mut state, Message::of_room(format!("* {text}")));
            }
            Gap::Close => close(&state, ending),
        }
        release(state);
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
        (state.replay, state.replayed) = (VecDeque::new(), (0, 0));
    }

    /// How many have ever come.
    pub(super) fn came(&self) -> u64 {
        self.lock().came
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
            state.is_crowded = !state.members.is_empty()
                && seats.all(|seat| seat.lock().has_no_room(&self.options));
        }
        // Whoever is the last to be waited for wakes those who wait, and has this lock for it.
        if !state.is_crowded && self.waited_for.load(Ordering::SeqCst) == 0 {
            return Poll::Ready(());
        }
        // One that is polled again and again waits once.
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Lets those go on who wait for a member.
    fn wake_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
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
    /// What is left of a long message, and what counts it.
    begun: Option<(Kind, Bytes, Part)>,
    /// Whether its own words come back as new ones.
    returned: Returned,
    /// The subprotocol that what is shared has agreed to; `""` where it agreed to none.
    protocol: Option<Arc<str>>,
}

impl Member {
    /// Its number in the room, from 1.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Notes what the connection that is shared has agreed to.
    pub(super) fn agreed_to(mut self, protocol: Option<Arc<str>>) -> Member {
        self.protocol = protocol;
        self
    }

    /// Takes the next piece of a long message.
    fn piece(&mut self) -> Option<Event> {
        let (kind, rest, _) = self.begun.as_mut()?;
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

    fn next(&mut self) -> Option<Event> {
        let options = &self.room.options;
        let mut queue = self.seat.lock();
        let was_full = queue.is_full(options);
        queue.is_blocked = false;
        if let Some(cut) = &queue.cut {
            return Some(Event::End(cut.clone()));
        }
        let event = match queue.pop() {
            None => queue.end.clone().map(Event::End),
            Some(Entry::Said(said)) => match said.wire() {
                Wire::Batch(batch) => Some(Event::Batch(batch)),
                Wire::Long(kind, bytes) => {
                    self.begun = Some((kind, bytes, said));
                    None
                }
            },
            Some(Entry::Gap(..)) if options.gap == Gap::Close => {
                let end = Ending::Close(Close::new(1013, "gap"));
                queue.end = Some(end.clone());
                Some(Event::End(end))
            }
            Some(Entry::Gap(messages, bytes)) => {
                let notice = Message::gap(messages, bytes, self.room.manner.id);
                Some(Event::Fragment(Fragment::whole(notice.kind, notice.bytes)))
            }
        };
        let was_last = self.room.count_waited_for(&mut queue);
        drop(queue);
        if was_last || was_full && self.room.desk.is_some() {
            self.room.wake_waiting();
        }
        event.or_else(|| self.piece())
    }
}

impl Member {
    /// Says something to all members, and in the log whether it is the same again and again.
    fn say<'a>(
        &mut self,
        kind: Kind,
        words: impl IntoIterator<Item = Words<'a>>,
        bytes: usize,
    ) -> Result<(), Ending> {
        let mut words = words.into_iter().peekable();
        if let Some(first) = words.peek()
            && self.returned.is_loop(kind, first.bytes())
            && REFUSALS.admits()
        {
            warn!(
                caller = self.from,
                "a member says the same again and again, as fast as it hears it; rooms are joined with --echo no (wsbridge help hubs)"
            );
        }
        let said = self.room.say(self.id, kind, words, bytes);
        said.map_err(Ending::OutOfMemory)
    }

    /// Says a message that is whole, or gives it to the desk.
    fn add(&mut self, kind: Kind, added: &Added) -> Result<(), Ending> {
        let words = match added {
            Added::AtOnce(payload) if payload.len() <= SHORT && self.room.desk.is_none() => {
                return self.say(kind, [Words::Short(payload)], payload.len());
            }
            // It lies in a buffer that others need.
            Added::AtOnce(payload) => copy(payload).map_err(Ending::OutOfMemory)?,
            Added::Collected(_) => self.whole.take_all()?.freeze(),
        };
        let bytes = words.len();
        match &self.room.desk {
            None => self.say(kind, [Words::Long(words)], bytes),
            Some(desk) => {
                desk.ensure(bytes).map_err(Ending::OutOfMemory)?;
                let taken = desk.take(self.id, kind, words);
                taken.or_else(|why| self.refused(&why))
            }
        }
    }

    /// Notes an end that its own words have brought about, and tells it. One for which there was no memory ends at once.
    fn fail(&mut self, ending: Ending) -> Ending {
        let mut queue = self.seat.lock();
        match ending {
            Ending::OutOfMemory(_) => queue.cut_with(ending.clone()),
            _ => queue.end = Some(ending.clone()),
        }
        queue.wake();
        ending
    }

    /// Ends where its unfinished message had to give way.
    fn look_for_shortage(&mut self, cx: &mut Context<'_>) {
        if let Some(shortage) = self.whole.shortage(cx) {
            self.whole.drop_waiting();
            self.fail(Ending::OutOfMemory(shortage));
        }
    }

    /// Tells it that something of what it said goes nowhere.
    fn refused(&self, why: &str) -> Result<(), Ending> {
        let mut queue = self.seat.lock();
        match self.room.options.gap {
            Gap::Notice => {
                let notice = Message::of_room(format!("* not sent: {why}"));
                let said = gather(0, [notice], &self.room.holding);
                let woken = queue.add(&said, &self.room.options, true);
                drop(queue);
                woken.into_iter().for_each(Waker::wake);
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

impl Member {
    /// Says a piece of a message, once all of it has come.
    fn say_fragment(&mut self, fragment: Fragment) -> Result<(), Ending> {
        let kind = fragment.kind;
        let added = self.whole.collect(fragment);
        let said = added.and_then(|added| match added {
            Some(added) => self.add(kind, &added),
            None => Ok(()),
        });
        said.map_err(|ending| match ending.is_unfit() {
            true => self.fail(ending),
            false => ending,
        })
    }

    /// Says the messages of a batch.
    fn say_batch(&mut self, mut batch: Batch) -> Result<(), Ending> {
        let limit = self.whole.limit();
        // What came before one that is too long is heard.
        let fit = batch.messages().take_while(|it| it.len() <= limit).count();
        let are_all = fit == batch.count();
        batch.truncate(fit);
        let said = match &self.room.desk {
            Some(desk) => desk
                .ensure(batch.payload())
                .map_err(Ending::OutOfMemory)
                .and_then(|()| {
                    batch.messages().try_for_each(|message| {
                        let message = Bytes::copy_from_slice(message);
                        let taken = desk.take(self.id, batch.kind, message);
                        taken.or_else(|why| self.refused(&why))
                    })
                }),
            None => {
                let words = batch.messages().map(Words::Short);
                self.say(batch.kind, words, batch.payload())
            }
        };
        match said {
            Ok(()) if are_all => Ok(()),
            Ok(()) => {
                let ending = self.whole.too_long();
                Err(self.fail(ending))
            }
            Err(ending) if ending.is_unfit() => Err(self.fail(ending)),
            Err(ending) => Err(ending),
        }
    }

    /// What is known about it from the beginning.
    fn facts(&self) -> StreamFacts {
        let desk = self.room.desk.as_deref();
        StreamFacts {
            framing: desk.and_then(Desk::framing),
            protocol: self.protocol.clone(),
            // What it says goes on as a message to WebSockets.
            chunk: Some(CHUNK),
            has_no_end: desk.is_some_and(|desk| !desk.ends()),
            is_feed: true,
            ..StreamFacts::default()
        }
    }
}

impl From<Member> for Opened {
    fn from(member: Member) -> Opened {
        let facts = member.facts();
        Opened::messages(Box::new(member), facts)
    }
}

impl MessageStream for Member {
    fn take(&mut self) -> Option<Event> {
        self.piece().or_else(|| self.next())
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_for_shortage(cx);
        let mut queue = self.seat.lock();
        if !queue.is_empty() || queue.end.is_some() || queue.cut.is_some() {
            return Poll::Ready(());
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn spent(&mut self) -> Spent {
        Spent::default()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.look_for_shortage(cx);
        let mut queue = self.seat.lock();
        if let Some(cut) = &queue.cut {
            return Poll::Ready(cut.clone());
        }
        queue.reader = Some(cx.waker().clone());
        let was_blocked = std::mem::replace(&mut queue.is_blocked, true);
        let was_last = self.room.count_waited_for(&mut queue);
        drop(queue);
        if was_last || !was_blocked && self.room.desk.is_some() {
            // Whoever waits for it need not any longer.
            self.room.wake_waiting();
        }
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        self.look_for_shortage(cx);
        match &self.room.desk {
            Some(desk) => desk.poll_ready(cx).map(Ok),
            None => self.room.poll_ready(cx).map(Ok),
        }
    }

    fn start_send(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Fragment(fragment) => self.say_fragment(fragment),
            Event::Batch(batch) => self.say_batch(batch),
            // What it missed elsewhere is nothing to the others.
            Event::Gap(_) | Event::End(_) => Ok(()),
        }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, why: &Ending) -> Poll<Result<(), Ending>> {
        self.whole.leave_out();
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

    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn poll_reset(&mut self, _cx: &mut Context<'_>) -> Poll<Ending> {
        Poll::Pending
    }

    fn notify(&mut self, _notice: Notice) {}

    fn is_closed(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        Tally {
            // Who has left a room where members speak hears nothing more.
            half_closes: self.room.desk.is_some(),
            ..Tally::default()
        }
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
            if REFUSALS.admits() {
                info!(caller = self.from, messages, bytes, "lost in the room");
            }
        } else {
            debug!(caller = self.from, "left the room");
        }
    }
}
