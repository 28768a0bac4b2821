//! Bytes of one message that are collected as they come. A long one can be taken away by the account at any time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};

use super::account::{Holder, Holding, Memory, lock};
use crate::ending::Shortage;

/// Bytes of a message that are not counted: as many as a session may hold beside its buffers.
pub const FREE: usize = 4096;
/// Bytes that are taken of a long message at once.
pub const PIECE: usize = 128 * 1024;
/// The most that the room for a message grows by beyond what it needs.
const LEAP: usize = 1024 * 1024;

/// The beginning of a message, or one that waits to be passed on in pieces.
#[derive(Debug)]
pub struct Collected {
    memory: Memory,
    short: Vec<u8>,
    long: Option<Arc<Long>>,
}

/// A message of more than [`FREE`] bytes.
#[derive(Debug)]
struct Long {
    holding: Holding,
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    bytes: Vec<u8>,
    /// Bytes at the front that are taken.
    taken: usize,
    /// Whether the message is whole, and waits for whoever is to have it.
    is_whole: bool,
    waker: Option<Waker>,
    /// Whether it is being worked with, and cannot give way.
    is_lent: bool,
    /// Why it is gone, where it had to give way.
    gone: Option<Shortage>,
}

impl Holder for Long {
    fn weight(&self) -> usize {
        self.holding.held()
    }

    fn give_way(&self) -> usize {
        let mut stored = lock(&self.stored);
        let held = self.holding.held();
        if held == 0 || stored.is_lent || stored.gone.is_some() {
            return 0;
        }
        stored.gone = Some(stored.shortage(held));
        stored.bytes = Vec::new();
        self.holding.sub(held);
        let waker = stored.waker.take();
        drop(stored);
        if let Some(waker) = waker {
            waker.wake();
        }
        held
    }

    fn told(&self, held: usize) -> String {
        lock(&self.stored).shortage(held).told()
    }
}

impl Stored {
    fn shortage(&self, held: usize) -> Shortage {
        match self.is_whole {
            true => Shortage::Queue { held },
            false => Shortage::Message { held },
        }
    }
}

/// The room that is made for `len` bytes.
fn room(len: usize) -> usize {
    (len + (len / 4).min(LEAP)).next_multiple_of(FREE)
}

impl Collected {
    /// Makes an empty one.
    pub fn new(memory: &Memory) -> Collected {
        Collected {
            memory: memory.clone(),
            short: Vec::new(),
            long: None,
        }
    }

    /// Makes one of a message that is whole, and waits.
    pub fn whole(memory: &Memory, bytes: Vec<u8>) -> Collected {
        let long = Long::new(memory);
        long.holding.add(bytes.capacity());
        *lock(&long.stored) = Stored {
            bytes,
            is_whole: true,
            ..Stored::default()
        };
        Collected {
            memory: memory.clone(),
            short: Vec::new(),
            long: Some(long),
        }
    }

    /// Returns how many bytes there are.
    pub fn len(&self) -> usize {
        match &self.long {
            None => self.short.len(),
            Some(long) => {
                let stored = lock(&long.stored);
                stored.bytes.len().saturating_sub(stored.taken)
            }
        }
    }

    /// Whether there are none, and it has not given way either.
    pub fn is_empty(&self) -> bool {
        self.long.is_none() && self.short.is_empty()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// There is no memory for them, or what came before had to give way. What was collected is gone then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Shortage> {
        let pushed = self.try_push(bytes);
        if pushed.is_err() {
            self.clear();
        }
        pushed
    }

    fn try_push(&mut self, bytes: &[u8]) -> Result<(), Shortage> {
        let len = self.short.len() + bytes.len();
        if self.long.is_none() && len <= FREE {
            reserve(&mut self.short, bytes.len())?;
            self.short.extend_from_slice(bytes);
            return Ok(());
        }
        let long = match &self.long {
            Some(long) => long,
            None => {
                let begun = Long::new(&self.memory);
                begun.push(&std::mem::take(&mut self.short))?;
                self.long.insert(begun)
            }
        };
        long.push(bytes)
    }

    /// Makes sure that `bytes` more can be allocated for a while, by somebody else, beside a long message.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn allows(&self, bytes: usize) -> Result<(), Shortage> {
        let Some(long) = &self.long else {
            return Ok(());
        };
        let weight = lock(&long.stored).bytes.len();
        long.holding.ensure_by_others(bytes, weight)?;
        // Freed at once: it shows whether the system has so much.
        reserve(&mut Vec::new(), bytes)
    }

    /// Takes all of it to work with, and counts it on, with `more` bytes beside it, until it is cleared.
    ///
    /// # Errors
    /// It had to give way.
    pub fn lend(&mut self, more: usize) -> Result<Vec<u8>, Shortage> {
        let Some(long) = &self.long else {
            return Ok(std::mem::take(&mut self.short));
        };
        let mut stored = lock(&long.stored);
        if let Some(gone) = stored.gone {
            return Err(gone);
        }
        long.holding.add(more);
        stored.is_lent = true;
        Ok(std::mem::take(&mut stored.bytes))
    }

    /// Takes all of it.
    ///
    /// # Errors
    /// It had to give way.
    pub fn take(&mut self) -> Result<BytesMut, Shortage> {
        let bytes = match self.long.take() {
            None => std::mem::take(&mut self.short),
            Some(long) => {
                let mut stored = lock(&long.stored);
                if let Some(gone) = stored.gone {
                    return Err(gone);
                }
                let mut bytes = std::mem::take(&mut stored.bytes);
                bytes.drain(..stored.taken);
                bytes
            }
        };
        Ok(BytesMut::from(Bytes::from(bytes)))
    }

    /// Says that the message is whole: from now on it waits.
    pub fn end(&mut self) {
        if let Some(long) = &self.long {
            lock(&long.stored).is_whole = true;
        }
    }

    /// Copies up to [`PIECE`] bytes off the front, after which those are taken; with whether they are the last. Empty again
    /// behind the last one.
    ///
    /// # Errors
    /// It had to give way, or there is no memory for the copy.
    pub fn take_piece(&mut self) -> Result<(BytesMut, bool), Shortage> {
        let Some(long) = &self.long else {
            return Ok((self.take()?, true));
        };
        let mut stored = lock(&long.stored);
        if let Some(gone) = stored.gone {
            return Err(gone);
        }
        let end = (stored.taken + PIECE).min(stored.bytes.len());
        let mut piece = Vec::new();
        reserve(&mut piece, end - stored.taken)?;
        piece.extend_from_slice(&stored.bytes[stored.taken..end]);
        stored.taken = end;
        let is_last = end == stored.bytes.len();
        drop(stored);
        if is_last {
            self.clear();
        }
        Ok((BytesMut::from(Bytes::from(piece)), is_last))
    }

    /// Returns why it had to give way, once it had to; wakes the task when it has to.
    pub fn shortage(&self, cx: &mut Context<'_>) -> Option<Shortage> {
        let long = self.long.as_ref()?;
        let mut stored = lock(&long.stored);
        if stored.gone.is_none() {
            match &mut stored.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        stored.gone
    }

    /// Drops it.
    pub fn clear(&mut self) {
        (self.short, self.long) = (Vec::new(), None);
    }
}

impl Long {
    fn new(memory: &Memory) -> Arc<Long> {
        Arc::new_cyclic(|own: &std::sync::Weak<Long>| Long {
            holding: memory.hold(own.clone(), FREE),
            stored: Mutex::default(),
        })
    }

    fn push(&self, bytes: &[u8]) -> Result<(), Shortage> {
        let (len, room_now) = {
            let stored = lock(&self.stored);
            if let Some(gone) = stored.gone {
                return Err(gone);
            }
            (stored.bytes.len(), stored.bytes.capacity())
        };
        let wanted = len + bytes.len();
        if wanted > room_now {
            let grown = room(wanted);
            // Without the lock: whoever gives way takes its own.
            self.holding.ensure_by_others(grown - room_now, wanted)?;
        }
        let mut stored = lock(&self.stored);
        if let Some(gone) = stored.gone {
            return Err(gone);
        }
        if wanted > room_now {
            reserve(&mut stored.bytes, room(wanted) - len)?;
            let held = self.holding.held();
            self.holding.add(stored.bytes.capacity().max(held) - held);
        }
        stored.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Makes room for exactly `more` bytes.
///
/// # Errors
/// The system has no memory for them.
pub fn reserve(bytes: &mut Vec<u8>, more: usize) -> Result<(), Shortage> {
    bytes
        .try_reserve_exact(more)
        .map_err(|_| Shortage::System { wanted: more })
}

/// Copies bytes to a place of their own.
///
/// # Errors
/// The system has no memory for them.
pub fn copy(bytes: &[u8]) -> Result<Bytes, Shortage> {
    let mut own = Vec::new();
    reserve(&mut own, bytes.len())?;
    own.extend_from_slice(bytes);
    Ok(own.into())
}
