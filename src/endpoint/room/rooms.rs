//! The rooms of one owner, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};

use super::{Member, Room};
use crate::caller::Caller;
use crate::ending::Cause;

/// Rooms by name. A room without members is kept while there is a place for it: it has what newcomers hear. A clone is the same
/// rooms.
#[derive(Clone, Default)]
pub struct Rooms(Arc<Mutex<HashMap<String, Arc<Room>>>>);

/// How many rooms there may be.
pub(in crate::endpoint) struct Most {
    /// In all.
    pub(in crate::endpoint) all: usize,
    /// Of those that callers of one address hold alone.
    pub(in crate::endpoint) of_address: usize,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rooms")
    }
}

impl Rooms {
    /// Lets a caller into the room of a name, which is made by `new` where there is none.
    ///
    /// # Errors
    /// [`Cause::Busy`] where the room is full, or where there is none and may be no more.
    pub(in crate::endpoint) fn enter(
        &self,
        name: String,
        caller: &Caller,
        most: &Most,
        new: impl FnOnce() -> Arc<Room>,
    ) -> Result<Member> {
        // Nothing panics while it is held.
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&name) {
            return room.clone().enter(caller);
        }
        if rooms.len() >= most.all {
            rooms.retain(|_, room| !room.is_empty());
        }
        if rooms.len() >= most.all {
            let what = format!("there are {} rooms; --rooms allows more", rooms.len());
            return Err(anyhow!(Cause::Busy).context(what));
        }
        let held = rooms.values().filter(|room| room.is_held_by(caller.source));
        if held.count() >= most.of_address {
            let most = most.of_address;
            let what = format!("its address holds {most} rooms; --rooms-per-ip allows more");
            return Err(anyhow!(Cause::Busy).context(what));
        }
        let room = new();
        rooms.insert(name, room.clone());
        room.enter(caller)
    }
}
