//! What belongs to one bridge alone: two bridges of a process do not know of each other.
//!
//! `main` makes a [`World`], and hands its parts down: to endpoints in [`Settings`], to sessions in
//! [`session::Shared`](crate::session::Shared).

use std::sync::Arc;

use tokio::sync::watch;

use crate::child::Children;
use crate::ending::Stop;
use crate::endpoint::Settings;
use crate::endpoint::room::rooms::Rooms;
use crate::log::Release;
use crate::memory::Memory;
use crate::reread::Rereads;
use crate::session::table::Table;

/// What one bridge owns. A clone is the same.
#[derive(Clone)]
pub struct World {
    /// Tells all of its sessions when it is to stop.
    stop: watch::Sender<Option<Stop>>,
    /// Its sessions.
    pub sessions: Arc<Table>,
    /// Counts what its sessions collect and queue.
    pub memory: Memory,
    /// The programs that its endpoints have started.
    pub children: Children,
    /// The rooms of its `hub:`.
    pub rooms: Rooms,
    /// The files that are read again on SIGHUP.
    pub rereads: Rereads,
    /// Lets its sessions wait for their dumps no more, once it is to stop.
    pub release: Release,
}

impl World {
    /// Makes a world in which nothing happens yet; its sessions may hold what `memory` has.
    pub fn new(memory: Memory) -> World {
        let (stop, _) = watch::channel(None);
        World {
            sessions: Table::new(&stop),
            stop,
            memory,
            children: Children::default(),
            rooms: Rooms::default(),
            rereads: Rereads::default(),
            release: Release::default(),
        }
    }

    /// Returns the parts that endpoints are made with.
    pub fn settings(&self) -> Settings {
        Settings {
            memory: self.memory.clone(),
            children: self.children.clone(),
            rooms: self.rooms.clone(),
            rereads: self.rereads.clone(),
            ..Settings::default()
        }
    }

    /// Asks the bridge to stop; returns why it was asked to before.
    pub fn stop(&self, why: Stop) -> Option<Stop> {
        self.stop.send_replace(Some(why))
    }

    /// Returns why the bridge was asked to stop, if it was.
    pub fn asked(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Returns what tells of a stop.
    pub fn stopping(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.subscribe()
    }
}
