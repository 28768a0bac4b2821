//! Lines that a person types, as requests of JSON-RPC 2.0.

use serde_json::{Value, json};

use super::collect::Reader;
use crate::ending::Ending;
use crate::message::{Fragment, Kind};

/// Makes a request of each line: the first word is the method, the others are its parameters.
#[derive(Default)]
pub(super) struct Requests {
    count: u64,
}

impl Reader for Requests {
    fn read(&mut self, line: &[u8], offset: u64) -> Result<Option<Fragment>, Ending> {
        let line = str::from_utf8(line).map_err(|error| Ending::NotText {
            offset: offset + error.valid_up_to() as u64,
        })?;
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        let (method, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        self.count += 1;
        let mut request = json!({"jsonrpc": "2.0", "id": self.count, "method": method});
        if let Some(params) = params(rest.trim()).map_err(|()| Ending::Malformed {
            what: "the parameters of a request that are no JSON",
            offset,
        })? {
            request["params"] = params;
        }
        Ok(Some(Fragment::whole(Kind::Text, request.to_string())))
    }
}

/// Reads parameters: an object or array, values with commas, or words, each a value or else a string.
fn params(text: &str) -> Result<Option<Value>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(Some(value));
    }
    if let Ok(values) = serde_json::from_str(&format!("[{text}]")) {
        return Ok(Some(values));
    }
    if text.starts_with(['{', '[', '"']) {
        return Err(());
    }
    let value = |word: &str| serde_json::from_str(word).unwrap_or_else(|_| Value::from(word));
    Ok(Some(text.split_whitespace().map(value).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, rest: &str) {
        let fragment = Requests::default()
            .read(line.as_bytes(), 7)
            .unwrap()
            .unwrap();
        let request: Value = serde_json::from_slice(&fragment.payload).unwrap();
        let mut expected = json!({"jsonrpc": "2.0", "id": 1, "method": "m"});
        if !rest.is_empty() {
            expected["params"] = serde_json::from_str(rest).unwrap();
        }
        assert_eq!(request, expected, "{line}");
        assert!(fragment.fin && fragment.kind == Kind::Text);
    }

    #[test]
    fn a_line_is_a_method_and_its_parameters() {
        check("m", "");
        check("  m\t", "");
        check("m 1, \"a b\", null", r#"[1, "a b", null]"#);
        check("m {\"a\": [1]}", r#"{"a": [1]}"#);
        check("m [1, 2]", "[1, 2]");
        check("m [1, 2], 3", "[[1, 2], 3]");
        check("m latest true 2", r#"["latest", true, 2]"#);
        check("m \"a\"", r#"["a"]"#);
    }

    #[test]
    fn each_has_an_id_of_its_own_and_an_empty_line_is_none() {
        let mut requests = Requests::default();
        let id = |fragment: Fragment| {
            serde_json::from_slice::<Value>(&fragment.payload).unwrap()["id"].clone()
        };
        assert_eq!(requests.read(b"a", 0).unwrap().map(id), Some(json!(1)));
        assert_eq!(requests.read(b"  ", 0), Ok(None));
        assert_eq!(requests.read(b"b", 0).unwrap().map(id), Some(json!(2)));
    }

    #[test]
    fn what_begins_as_json_and_is_none_is_an_error() {
        let error = Requests::default().read(b"m {\"a\": }", 7);
        assert!(
            matches!(error, Err(Ending::Malformed { offset: 7, .. })),
            "{error:?}"
        );
        assert_eq!(
            Requests::default().read(b"m \xff", 7),
            Err(Ending::NotText { offset: 9 })
        );
    }
}
