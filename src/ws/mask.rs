//! Masking (RFC 6455 5.3): the XOR of a payload with a four-byte key, and where the keys come from.

use std::cell::RefCell;

use rand::RngExt;

/// A masking key, turned so that its first byte is for the next byte of the payload.
pub type Key = [u8; 4];

/// Keys that are drawn at once.
const BLOCK: usize = 256;

thread_local! {
    static KEYS: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// Draws a fresh key, used once: from a CSPRNG that is seeded by the system, in blocks (RFC 6455 10.3).
pub fn fresh_key() -> Key {
    KEYS.with_borrow_mut(|keys| {
        if keys.is_empty() {
            let mut block = [[0; 4]; BLOCK];
            rand::rng().fill(block.as_flattened_mut());
            keys.extend_from_slice(&block);
        }
        keys.pop().unwrap_or_else(|| rand::rng().random())
    })
}

/// Masks or unmasks `bytes` in place and turns the key by their length, ready for the bytes that follow.
#[inline]
pub fn apply(bytes: &mut [u8], key: &mut Key) {
    let half = u64::from(u32::from_ne_bytes(*key));
    let wide = half << 32 | half;
    let turn = bytes.len() % 4;
    // Words of eight bytes: the compiler makes wider ones of them where the processor has them.
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
    key.rotate_left(turn);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn any_pieces_are_masked_as_the_definition_says(key: Key, bytes: Vec<u8>, cut: prop::sample::Index) {
            let expected: Vec<u8> = bytes.iter().zip(0..).map(|(byte, i): (_, usize)| byte ^ key[i % 4]).collect();
            let mut masked = bytes.clone();
            let (head, tail) = masked.split_at_mut(cut.index(bytes.len() + 1));
            let mut turned = key;
            apply(head, &mut turned);
            apply(tail, &mut turned);
            prop_assert_eq!(masked, expected);
        }
    }

    #[test]
    fn keys_are_fresh() {
        let keys: HashSet<Key> = (0..1000).map(|_| fresh_key()).collect();
        assert!(keys.len() > 990);
    }
}
