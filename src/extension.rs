//! The WebSocket extension of our own, as the opening handshake and the proof name it;
//! `ws/half_close.rs` says how it works.

/// The name of the half-close extension, and the payload of the Pong that proves it.
pub const HALF_CLOSE: &str = "wsbridge-half-close";
/// The element of `Sec-WebSocket-Extensions` by which a server accepts it.
pub const HALF_CLOSE_ACCEPTED: &str = "wsbridge-half-close; ack=1";

/// Whether an element of a client's `Sec-WebSocket-Extensions` offers it: the token without parameters.
pub fn offers_half_close(element: &str) -> bool {
    element.trim().eq_ignore_ascii_case(HALF_CLOSE)
}

/// What an element of a server's `Sec-WebSocket-Extensions` says about it: `None` where it names another extension, else
/// whether it accepts. The bare token and unknown parameters are an echo of somebody who does not know it.
pub fn accepts_half_close(element: &str) -> Option<bool> {
    let mut parts = element.split(';').map(str::trim);
    let is_named = parts.next()?.eq_ignore_ascii_case(HALF_CLOSE);
    is_named.then(|| parts.eq(["ack=1"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_the_bare_token_and_an_acceptance_has_ack_1() {
        for (element, offers, accepts) in [
            ("wsbridge-half-close", true, Some(false)),
            ("WSBRIDGE-half-close", true, Some(false)),
            ("wsbridge-half-close; ack=1", false, Some(true)),
            ("wsbridge-half-close;ack=1", false, Some(true)),
            ("wsbridge-half-close; ack=2", false, Some(false)),
            ("wsbridge-half-close; ack=1; x", false, Some(false)),
            ("permessage-deflate", false, None),
            ("permessage-deflate; wsbridge-half-close", false, None),
            ("", false, None),
        ] {
            assert_eq!(offers_half_close(element), offers, "{element}");
            assert_eq!(accepts_half_close(element), accepts, "{element}");
        }
    }
}
