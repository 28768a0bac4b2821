//! When a server behind agrees to a subprotocol, and what it means that it agrees to another one later.

use crate::secret;

/// When it is known which subprotocol callers may be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Never: what is opened is no WebSocket, and the listener has the choice.
    Never,
    /// Once it is open.
    Opening,
    /// Not before callers are answered, who are answered with none.
    Later,
}

/// Says what has changed where callers were answered with the subprotocol `before` and a further connection agreed to `now`;
/// `""` is none. `None` where nothing has.
pub(super) fn changed(before: Option<&str>, now: Option<&str>) -> Option<String> {
    let before = before.filter(|before| !before.is_empty())?;
    let now = now.unwrap_or_default();
    if now == before {
        return None;
    }
    let now = match now {
        "" => "none of the subprotocols".to_owned(),
        now => format!("the subprotocol {}", secret::protocols([now])),
    };
    let before = secret::protocols([before]);
    Some(format!(
        "the server agreed to {now}, where it had agreed to {before}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_callers_that_were_answered_with_one_mind_another() {
        for (before, now) in [
            (None, None),
            (None, Some("a")),
            (Some(""), Some("a")),
            (Some("a"), Some("a")),
        ] {
            assert_eq!(changed(before, now), None);
        }
        for (now, what) in [
            (None, "none of the subprotocols"),
            (Some(""), "none of the subprotocols"),
            (Some("b"), "the subprotocol b"),
            (Some("bearer.x"), "the subprotocol bearer.***"),
        ] {
            let expected = format!("the server agreed to {what}, where it had agreed to a");
            assert_eq!(changed(Some("a"), now), Some(expected));
        }
    }
}
