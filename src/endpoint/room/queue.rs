//! What waits for a member of a room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::speech::Part;
use super::{Options, Slow};
use crate::caller::Source;
use crate::ending::{Close, Ending};

/// A member as the room knows it.
pub(super) struct Seat {
    /// Where it calls from.
    pub(super) source: Source,
    queue: Mutex<Queue>,
}

/// What waits for a member.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// How many messages they are, and their bytes.
    messages: usize,
    bytes: usize,
    /// Whether its transport took no more when it was last asked. Only then does it not keep up: others may say much in one
    /// turn of a thread, and it has not had its own.
    pub(super) is_blocked: bool,
    /// Whether nothing more should be said before it has taken some of what waits, as the room last counted it.
    pub(super) is_waited_for: bool,
    /// Why it hears nothing more once the entries are gone.
    pub(super) end: Option<Ending>,
    /// Why it hears nothing more at once.
    pub(super) cut: Option<Ending>,
    pub(super) reader: Option<Waker>,
    /// Messages and bytes that it has lost.
    pub(super) lost: (u64, u64),
    /// Whether it says nothing more.
    pub(super) is_finished: bool,
}

pub(super) enum Entry {
    Said(Part),
    /// Messages and bytes that were lost here.
    Gap(u64, u64),
}

impl Seat {
    pub(super) fn new(source: Source) -> Seat {
        Seat {
            source,
            queue: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; a poisoned state is a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    pub(super) fn is_full(&self, options: &Options) -> bool {
        self.messages >= options.queue as usize || self.bytes >= options.queue_bytes
    }

    /// Whether it hears nothing now: it is full, or it has been ended.
    pub(super) fn has_no_room(&self, options: &Options) -> bool {
        self.is_full(options) || self.end.is_some() || self.cut.is_some()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds what was said, or does what is to be done with one who has no room for it. What is said by one source `at_once`
    /// is judged at once: it waits for room before that only. Returns whom to wake.
    pub(super) fn add(&mut self, said: &[Part], options: &Options, at_once: bool) -> Option<Waker> {
        if self.end.is_some() || self.cut.is_some() {
            return None;
        }
        let is_late = self.is_blocked && (!at_once || self.is_full(options));
        for part in said {
            if is_late {
                part.each().for_each(|one| self.add_late(one, options));
            } else {
                self.push(part.clone());
            }
        }
        self.reader.take()
    }

    /// Adds one message to what waits for one who takes nothing.
    fn add_late(&mut self, one: Part, options: &Options) {
        let is_slow = self.is_full(options);
        match options.slow {
            _ if self.cut.is_some() => return,
            Slow::Disconnect if is_slow => {
                return self.cut_with(Ending::Close(Close::new(1013, "slow")));
            }
            Slow::DropNewest if is_slow => return self.lose(1, one.bytes() as u64),
            Slow::DropOldest if is_slow => while self.is_full(options) && self.drop_oldest() {},
            Slow::Latest => while self.drop_oldest() {},
            _ => {}
        }
        self.push(one);
    }

    /// Ends it at once; what waits is lost.
    pub(super) fn cut_with(&mut self, ending: Ending) {
        self.lost = (
            self.lost.0 + self.messages as u64,
            self.lost.1 + self.bytes as u64,
        );
        (self.entries, self.messages, self.bytes) = (VecDeque::new(), 0, 0);
        self.cut.get_or_insert(ending);
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what waits whether there is room for it or not.
    pub(super) fn push(&mut self, said: Part) {
        self.messages += said.count();
        self.bytes += said.bytes();
        if let Some(Entry::Said(last)) = self.entries.back_mut()
            && last.joins(&said)
        {
            return;
        }
        self.entries.push_back(Entry::Said(said));
    }

    /// Takes what is at the front.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front();
        if let Some(Entry::Said(said)) = &entry {
            self.messages -= said.count();
            self.bytes -= said.bytes();
        }
        entry
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
        let dropped = match self.entries.front_mut() {
            Some(Entry::Said(said)) => {
                let first = said.take_first();
                if said.count() == 0 {
                    self.entries.pop_front();
                }
                let bytes = first.bytes();
                self.messages -= 1;
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
    pub(super) fn end_with(&mut self, ending: Ending) {
        self.end.get_or_insert(ending);
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
