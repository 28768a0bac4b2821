//! What the callbacks of rustls learn during a handshake, for whoever awaits that: its errors have no room for it.

use std::cell::{Cell, RefCell};
use std::future::Future;

tokio::task_local! {
    static NOTES: Notes;
}

/// What was learned during one handshake.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Whether the server asked for a certificate, and we have none.
    is_asked_in_vain: Cell<bool>,
    /// What is wrong with the certificate of the other end, in words.
    untrusted: RefCell<Option<String>>,
}

impl Notes {
    /// Awaits a handshake; returns also what was learned during it.
    pub(super) async fn of<F: Future>(handshake: F) -> (F::Output, Notes) {
        let noted = async {
            let output = handshake.await;
            let notes = NOTES.with(|notes| Notes {
                is_asked_in_vain: notes.is_asked_in_vain.clone(),
                untrusted: RefCell::new(notes.untrusted.take()),
            });
            (output, notes)
        };
        NOTES.scope(Notes::default(), noted).await
    }

    /// Notes that a certificate was asked for which we do not have.
    pub(super) fn asked_in_vain() {
        // Outside of a handshake that is awaited so nobody wants to know.
        let _ = NOTES.try_with(|notes| notes.is_asked_in_vain.set(true));
    }

    /// Notes what is wrong with the certificate of the other end.
    pub(super) fn untrusted(words: String) {
        let _ = NOTES.try_with(|notes| notes.untrusted.replace(Some(words)));
    }

    /// Whether the server asked for a certificate, and we have none.
    pub(super) fn is_asked_in_vain(&self) -> bool {
        self.is_asked_in_vain.get()
    }

    /// What is wrong with the certificate of the other end, where something is.
    pub(super) fn why_untrusted(&self) -> Option<String> {
        self.untrusted.borrow().clone()
    }
}
