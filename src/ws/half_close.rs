//! Half-close through a WebSocket: the extension `wsbridge-half-close`, without I/O.
//!
//! A Close ends both directions, TCP's FIN ends one. Two bridges agree in the opening handshake to tell the end of one
//! direction by a marker, a frame that no other frame looks like; the WebSocket stays open for the other direction.
//!
//! * Offer: the bare token in `Sec-WebSocket-Extensions`. Acceptance: the token with `ack=1`. A server that echoes the bare
//!   token does not know it.
//! * Proof: an agreement counts when each side has received a Pong whose payload is the token, because a proxy may have
//!   taken the field out of the response. A relay sends its Pong on one hop only after the one of the other hop has come.
//! * Marker: FIN=1, RSV2=1, opcode 2, length 0, masked by a client. It stands behind the last message of its direction; only
//!   control frames follow it.
//! * End: a side that has sent and received the marker, and whose other side has taken all that came, sends Close 1000.
//!   Each side's Close is its own verdict. What is no orderly end is a Close without a marker before it.

use std::sync::Arc;
use std::time::Duration;

use crate::peer::Proof;

/// The shortest and the longest time that an end of input waits for the proof.
const PROOF_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// One side's view of the extension after both have agreed to it.
#[derive(Debug)]
pub struct HalfClose {
    /// Given once the peer's Pong has come.
    pub(super) proof: Arc<Proof>,
    /// What our Pong waits for, where we relay.
    across: Option<Arc<Proof>>,
    /// How long an end of input waits for the peer's Pong.
    wait: Duration,
    pub(super) has_sent_proof: bool,
    pub(super) has_sent_end: bool,
    pub(super) has_received_end: bool,
}

impl HalfClose {
    /// Makes the state after a handshake that took so long.
    pub fn agreed(handshake: Duration) -> HalfClose {
        HalfClose {
            proof: Arc::default(),
            across: None,
            wait: (4 * handshake).clamp(PROOF_WAIT.0, PROOF_WAIT.1),
            has_sent_proof: false,
            has_sent_end: false,
            has_received_end: false,
        }
    }

    /// Lets our Pong wait for the proof of another hop.
    pub(super) fn prove_after(&mut self, across: Option<Arc<Proof>>) {
        self.across = across;
    }

    /// Whether our Pong is to be sent now; wakes the task when it is later.
    pub(super) fn is_proof_due(&self, cx: &mut std::task::Context<'_>) -> bool {
        !self.has_sent_proof && self.across.as_ref().is_none_or(|hop| hop.is_given(cx))
    }

    /// Whether the marker may be used: both Pongs have passed.
    pub(super) fn is_in_force(&self) -> bool {
        self.has_sent_proof && self.proof.was_given()
    }

    /// How long an end of input waits for the proof; `None` once it is there.
    pub(super) fn proof_wait(&self) -> Option<Duration> {
        (!self.is_in_force()).then_some(self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_the_proof_is_four_handshakes_within_bounds() {
        for (handshake, wait) in [(0, 1000), (200, 1000), (500, 2000), (60_000, 10_000)] {
            let state = HalfClose::agreed(Duration::from_millis(handshake));
            assert_eq!(state.proof_wait(), Some(Duration::from_millis(wait)));
        }
    }
}
