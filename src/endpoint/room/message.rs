//! A message of a room as all hear it.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::json;

use super::{Identity, lines};
use crate::message::Kind;
use crate::shown::json_line;

/// What a member says: short words where they lie, or long ones in memory of their own.
pub(in crate::endpoint) enum Words<'a> {
    Short(&'a [u8]),
    Long(Bytes),
}

impl Words<'_> {
    pub(in crate::endpoint) fn bytes(&self) -> &[u8] {
        match self {
            Words::Short(bytes) => bytes,
            Words::Long(bytes) => bytes,
        }
    }
}

/// A whole message as all hear it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) bytes: Bytes,
}

impl Message {
    /// What member `from` says as message number `seq`.
    pub(super) fn said(
        from: u64,
        seq: u64,
        kind: Kind,
        words: Words<'_>,
        id: Option<Identity>,
    ) -> Message {
        let payload = words.bytes();
        let (kind, bytes) = match (id, kind) {
            (Some(Identity::Prefix), _) => {
                (kind, lines::named(&format!("{from}: "), kind, payload))
            }
            (Some(Identity::Json), _) => {
                let object = match kind {
                    Kind::Text => {
                        // A text message is UTF-8: whoever read it has judged it.
                        let text = String::from_utf8_lossy(payload);
                        json!({"id": from, "seq": seq, "kind": "text", "text": text})
                    }
                    Kind::Binary => {
                        let base64 = BASE64.encode(payload);
                        json!({"id": from, "seq": seq, "kind": "binary", "base64": base64})
                    }
                };
                (Kind::Text, json_line(&object.to_string()).into())
            }
            _ => match words {
                Words::Short(payload) => (kind, Bytes::copy_from_slice(payload)),
                Words::Long(payload) => (kind, payload),
            },
        };
        Message { kind, bytes }
    }

    /// What a member says in a room that says who comes and goes, or what was lost, and not who says what.
    pub(super) fn quoted(kind: Kind, payload: &[u8]) -> Message {
        let bytes = lines::quoted(kind, payload);
        Message { kind, bytes }
    }

    /// That a member came or went, and how many are there now.
    pub(super) fn event(event: &str, who: u64, members: usize, id: Option<Identity>) -> Message {
        let text = match id {
            Some(Identity::Json) => {
                json!({"event": event, "id": who, "members": members}).to_string()
            }
            _ => format!("* {who} {event} ({members} here)"),
        };
        Message::of_room(text)
    }

    /// That so many messages were lost here.
    pub(super) fn gap(messages: u64, bytes: u64, id: Option<Identity>) -> Message {
        let text = match id {
            Some(Identity::Json) => {
                json!({"event": "gap", "messages": messages, "bytes": bytes}).to_string()
            }
            _ if messages == 1 => format!("* 1 message lost ({bytes} bytes)"),
            _ => format!("* {messages} messages lost ({bytes} bytes)"),
        };
        Message::of_room(text)
    }

    /// A line of the room itself.
    pub(super) fn of_room(text: String) -> Message {
        Message {
            kind: Kind::Text,
            bytes: text.into(),
        }
    }
}
