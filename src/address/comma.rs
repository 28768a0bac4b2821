//! Where an option ends in an address.

/// The next comma that no backslash stands before, or the end.
pub(super) fn next_comma(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    (from..bytes.len())
        .find(|&at| bytes[at] == b',' && (at == 0 || bytes[at - 1] != b'\\'))
        .unwrap_or(bytes.len())
}
