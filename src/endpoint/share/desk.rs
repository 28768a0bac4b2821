//! Where what callers of `share:` say waits for the one connection: who may say something, and whose the answers are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Write;
use super::sizes::Sizes;
use crate::ending::{Ending, Shortage};
use crate::endpoint::room::{Desk, Room};
use crate::endpoint::size::{Asked, Size};
use crate::framing::Framing;
use crate::memory::{Charge, Holder, Holding, Memory};
use crate::message::Kind;

/// Messages that wait for the connection at most, and that wait for an answer.
const MOST: usize = 256;
/// Bytes that wait for the connection; a single message may be longer.
const MOST_BYTES: usize = 1 << 20;

/// Where what callers say waits.
pub(super) struct Tray {
    write: Write,
    /// How long who has the lock may be silent.
    lock_time: Duration,
    /// How long an answer may take, where answers are for who asked.
    answer_time: Option<Duration>,
    /// How what the connection says is cut.
    framing: Option<Framing>,
    room: OnceLock<Weak<Room>>,
    state: Mutex<State>,
    /// What waits here.
    holding: Arc<Holding>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Said>,
    bytes: usize,
    /// What counts the message that the connection took last, until it takes another.
    taken: Option<Charge>,
    /// Who has the lock, and when it last said something.
    holder: Option<(u64, Instant)>,
    /// Who asked what has been sent, and until when it is to be answered.
    asked: VecDeque<(u64, Instant)>,
    /// What callers say of their sizes, where it is a terminal.
    sizes: Option<Sizes>,
    /// The size that the terminal is to have, until it is told.
    size: Option<Size>,
    /// Who wants to say more.
    blocked: Vec<Waker>,
    reader: Option<Waker>,
}

/// A message that waits, and who says it.
struct Said {
    from: u64,
    kind: Kind,
    payload: Bytes,
    charge: Charge,
}

impl Tray {
    pub(super) fn new(
        write: Write,
        lock_time: Duration,
        answer_time: Option<Duration>,
        framing: Option<Framing>,
        memory: &Memory,
    ) -> Arc<Tray> {
        Arc::new_cyclic(|own: &Weak<Tray>| Tray {
            holding: Arc::new(memory.hold_queue(own.clone())),
            framing,
            write,
            lock_time,
            answer_time,
            room: OnceLock::new(),
            state: Mutex::default(),
        })
    }

    /// Makes it one of a terminal: text of callers whose query has `resize=1` is a size, all else is input, in binary messages.
    pub(super) fn is_of_terminal(&self) {
        self.lock().sizes = Some(Sizes::default());
    }

    /// Takes what a caller's page asks for.
    pub(super) fn enter(&self, id: u64, asked: Asked) {
        let mut state = self.lock();
        let size = state
            .sizes
            .as_mut()
            .and_then(|sizes| sizes.enter(id, asked));
        state.resize(size);
    }

    /// Returns the size that a terminal is to begin with; `None` where it is none.
    pub(super) fn first_size(&self) -> Option<Size> {
        let mut state = self.lock();
        state.size = None;
        state.sizes.as_mut().map(Sizes::first)
    }

    /// Is told of its room, once.
    pub(super) fn belongs_to(&self, room: Weak<Room>) {
        // It has one room.
        let _ = self.room.set(room);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message for the connection.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<(Kind, Bytes)> {
        let mut state = self.lock();
        if let Some(size) = state.size.take() {
            return Poll::Ready((Kind::Text, size.message().into()));
        }
        if state.asked.len() < MOST
            && let Some(said) = state.waiting.pop_front()
        {
            let (id, kind, payload) = (said.from, said.kind, said.payload);
            state.bytes -= payload.len();
            state.taken = Some(said.charge);
            if let Some(time) = self.answer_time {
                state.asked.push_back((id, Instant::now() + time));
            }
            state.blocked.drain(..).for_each(Waker::wake);
            return Poll::Ready((kind, payload));
        }
        state.taken = None;
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whose the next answer is, where it is anybody's own; and whether it waits for no further one.
    pub(super) fn answered(&self) -> Option<(u64, bool)> {
        let mut state = self.lock();
        let (id, _) = state.asked.pop_front()?;
        state.wake();
        Some((id, !state.is_awaited(id)))
    }

    /// Until when the next answer has to come.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().asked.front().map(|(_, until)| *until)
    }

    /// Takes all that waits, for a connection that nobody needs any more; none of it is answered.
    pub(super) fn take_all(&self) -> VecDeque<(Kind, Bytes)> {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        (state.bytes, state.size) = (0, None);
        state.asked.clear();
        state.blocked.drain(..).for_each(Waker::wake);
        waiting
            .into_iter()
            .map(|said| (said.kind, said.payload))
            .collect()
    }

    /// Gives up what has been sent and was not answered; who asked waits for no answer any longer.
    pub(super) fn forget(&self) -> Vec<u64> {
        let mut state = self.lock();
        let asked = std::mem::take(&mut state.asked);
        asked.into_iter().map(|(id, _)| id).collect()
    }
}

impl State {
    /// Has the terminal told of its size, where that is another.
    fn resize(&mut self, size: Option<Size>) {
        if size.is_some() {
            self.size = size;
            self.wake();
        }
    }

    /// Wakes the connection, for which there is something.
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn is_awaited(&self, id: u64) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|row| row.0 == id) || self.waiting.iter().any(|said| said.from == id)
    }

    /// Whether a member may say something now.
    ///
    /// # Errors
    /// Why it may not.
    fn allow(
        &mut self,
        from: u64,
        write: Write,
        lock_time: Duration,
        first: Option<u64>,
    ) -> Result<(), String> {
        match write {
            Write::All => Ok(()),
            Write::None => Err("nobody writes here".to_owned()),
            Write::First if first == Some(from) => Ok(()),
            Write::First => Err("only who came first writes here".to_owned()),
            Write::Lock => {
                let now = Instant::now();
                let other = self
                    .holder
                    .filter(|(id, since)| *id != from && now.duration_since(*since) < lock_time);
                if let Some((id, _)) = other {
                    return Err(format!("{id} is writing"));
                }
                self.holder = Some((from, now));
                Ok(())
            }
        }
    }
}

impl Desk for Tray {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.waiting.len() < MOST && state.bytes < MOST_BYTES {
            return Poll::Ready(());
        }
        // One that is polled again and again waits once.
        if !state
            .blocked
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.blocked.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn take(&self, from: u64, kind: Kind, payload: Bytes) -> Result<(), String> {
        let room = self.room.get().and_then(Weak::upgrade);
        let first = match self.write {
            Write::First => room.and_then(|room| room.first()),
            _ => None,
        };
        let mut state = self.lock();
        let mut kind = kind;
        if let Some(sizes) = &mut state.sizes {
            if kind == Kind::Text && sizes.resizes(from) {
                let size = sizes.resize(from, &payload);
                state.resize(size);
                return Ok(());
            }
            kind = Kind::Binary;
        }
        state.allow(from, self.write, self.lock_time, first)?;
        state.bytes += payload.len();
        state.waiting.push_back(Said {
            from,
            kind,
            charge: Charge::new(&self.holding, payload.len()),
            payload,
        });
        state.wake();
        Ok(())
    }

    fn ensure(&self, bytes: usize) -> Result<(), Shortage> {
        self.holding.ensure(bytes, bytes)
    }

    fn framing(&self) -> Option<Framing> {
        self.framing
    }

    fn ends(&self) -> bool {
        self.answer_time.is_some()
    }

    fn is_awaited(&self, id: u64) -> bool {
        self.answer_time.is_some() && self.lock().is_awaited(id)
    }

    fn finished(&self, id: u64) {
        let mut state = self.lock();
        if state.holder.is_some_and(|(holder, _)| holder == id) {
            state.holder = None;
        }
        let size = state.sizes.as_mut().and_then(|sizes| sizes.leave(id));
        state.resize(size);
        // Who has left waits no longer; the others ask again.
        state.blocked.drain(..).for_each(Waker::wake);
    }
}

impl State {
    /// The caller of whom most bytes wait, with how many they are.
    fn largest(&self) -> Option<(u64, usize)> {
        let mut bytes = BTreeMap::<u64, usize>::new();
        for said in &self.waiting {
            *bytes.entry(said.from).or_default() += said.payload.len();
        }
        bytes.into_iter().max_by_key(|(_, bytes)| *bytes)
    }
}

impl Holder for Tray {
    fn weight(&self) -> usize {
        self.lock().largest().map_or(0, |(_, bytes)| bytes)
    }

    fn give_way(&self) -> usize {
        let mut state = self.lock();
        let Some((id, bytes)) = state.largest() else {
            return 0;
        };
        state.waiting.retain(|said| said.from != id);
        state.bytes -= bytes;
        state.blocked.drain(..).for_each(Waker::wake);
        drop(state);
        if let Some(room) = self.room.get().and_then(Weak::upgrade) {
            room.cut(id, Ending::OutOfMemory(Shortage::Queue { held: bytes }));
        }
        bytes
    }

    fn told(&self, held: usize) -> String {
        Shortage::Queue { held }.told()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// A task that wakes to nothing.
    struct Quiet;

    impl std::task::Wake for Quiet {
        fn wake(self: std::sync::Arc<Quiet>) {}
    }

    fn text(words: &'static str) -> Bytes {
        Bytes::from_static(words.as_bytes())
    }

    fn taken(tray: &Tray) -> Option<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        match tray.poll_take(&mut cx) {
            Poll::Ready((_, payload)) => Some(payload),
            Poll::Pending => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_held_until_its_holder_leaves_or_is_silent() {
        let tray = Tray::new(
            Write::Lock,
            Duration::from_secs(60),
            None,
            None,
            &Memory::default(),
        );
        let say = |id| tray.take(id, Kind::Text, text("x"));
        assert_eq!(say(1), Ok(()));
        assert_eq!(say(2), Err("1 is writing".to_owned()));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(say(1), Ok(()));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(say(2), Err("1 is writing".to_owned()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(say(2), Ok(()));
        tray.finished(1);
        assert_eq!(say(1), Err("2 is writing".to_owned()));
        tray.finished(2);
        assert_eq!(say(1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_for_who_asked_even_when_another_has_left() {
        let tray = Tray::new(
            Write::All,
            Duration::ZERO,
            Some(Duration::from_secs(30)),
            None,
            &Memory::default(),
        );
        for (id, words) in [(1, "a"), (2, "b"), (1, "c")] {
            tray.take(id, Kind::Text, text(words)).unwrap();
        }
        assert_eq!(taken(&tray), Some(text("a")));
        assert_eq!(taken(&tray), Some(text("b")));
        // Whoever has left has its answer thrown away, and no other one's.
        tray.finished(2);
        assert_eq!(tray.answered(), Some((1, false)));
        assert_eq!(tray.answered(), Some((2, true)));
        assert_eq!(taken(&tray), Some(text("c")));
        assert!(tray.is_awaited(1));
        assert_eq!(tray.answered(), Some((1, true)));
        assert_eq!(tray.answered(), None);
        assert!(!tray.is_awaited(1));
    }

    #[test]
    fn where_memory_is_short_the_words_of_the_caller_who_said_most_go() {
        let memory = Memory::new(1 << 20);
        let tray = Tray::new(Write::All, Duration::ZERO, None, None, &memory);
        let long = Bytes::from(vec![b'x'; 300_000]);
        for (id, words) in [(1, text("a")), (2, long.clone()), (1, text("b")), (2, long)] {
            tray.ensure(words.len()).unwrap();
            tray.take(id, Kind::Binary, words).unwrap();
        }
        assert!(memory.used() > 600_000);
        // The connection has one message.
        assert_eq!(taken(&tray), Some(text("a")));
        let mut other = crate::memory::Collected::new(&memory);
        other.push(&vec![b'y'; 500_000]).unwrap();
        assert_eq!(taken(&tray), Some(text("b")));
        assert_eq!(taken(&tray), None);
        drop(other);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let tray = Tray::new(Write::All, Duration::ZERO, None, None, &Memory::default());
        let waker = Waker::from(std::sync::Arc::new(Quiet));
        let mut cx = Context::from_waker(&waker);
        let mut count = 0;
        while tray.poll_ready(&mut cx).is_ready() {
            tray.take(1, Kind::Text, text("x")).unwrap();
            count += 1;
        }
        assert_eq!(count, MOST);
        // However often it is asked, one who waits is one.
        for _ in 0..100 {
            assert!(tray.poll_ready(&mut cx).is_pending());
        }
        assert_eq!(tray.lock().blocked.len(), 1);
        tray.finished(1);
        assert!(tray.lock().blocked.is_empty());
        assert!(taken(&tray).is_some());
        assert!(tray.poll_ready(&mut cx).is_ready());
    }
}
