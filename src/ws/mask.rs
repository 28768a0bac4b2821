//! Masking (RFC 6455 5.3): the XOR of a payload with a four-byte key, and where the keys come from.

use std::cell::RefCell;

use rand::RngExt;

/// A masking key, turned so that its first byte is for the next byte of the payload.
pub type Key = [u8; 4];

/// Keys that are drawn at once.
pub const BLOCK: usize = 256;

/// Bytes from which on it is worth a look at what the processor can do.
const LONG: usize = 1024;

/// The bits that no ASCII has, in each of eight bytes.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

thread_local! {
    static KEYS: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// Draws a fresh key, used once: from a CSPRNG that is seeded by the system, in blocks (RFC 6455 10.3).
pub fn fresh_key() -> Key {
    KEYS.with_borrow_mut(|keys| {
        if keys.is_empty() {
            keys.extend(fresh_keys());
        }
        keys.pop().unwrap_or_else(|| rand::rng().random())
    })
}

/// Draws a block of fresh keys, each to be used once.
pub fn fresh_keys() -> [Key; BLOCK] {
    let mut block = [[0; 4]; BLOCK];
    rand::rng().fill(block.as_flattened_mut());
    block
}

/// A key for eight bytes at once, the first of them lowest.
#[inline]
pub fn wide(key: Key) -> u64 {
    let half = u64::from(u32::from_le_bytes(key));
    half << 32 | half
}

/// Unmasks a short payload in place; returns whether all of it is ASCII then.
#[inline(always)]
pub fn unmask_short(payload: &mut [u8], key: Key) -> bool {
    let wide = wide(key);
    let mut seen = 0;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        let plain = u64::from_le_bytes(*word) ^ wide;
        *word = plain.to_le_bytes();
        seen |= plain;
    }
    for (byte, mask) in rest.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= mask;
        seen |= u64::from(*byte);
    }
    seen & NOT_ASCII == 0
}

/// Moves a short payload from `from` to `to`, which is not behind it, and unmasks it; returns whether all of it is ASCII then.
#[inline(always)]
pub fn unmask_moved(bytes: &mut [u8], from: usize, to: usize, len: usize, key: Key) -> bool {
    if from - to < len {
        bytes.copy_within(from..from + len, to);
        return unmask_short(&mut bytes[to..to + len], key);
    }
    let wide = wide(key);
    let mut seen = 0;
    let (before, behind) = bytes.split_at_mut(from);
    let (sources, rest) = behind[..len].as_chunks::<8>();
    let (targets, rest_target) = before[to..to + len].as_chunks_mut::<8>();
    for (source, target) in sources.iter().zip(targets) {
        let plain = u64::from_le_bytes(*source) ^ wide;
        *target = plain.to_le_bytes();
        seen |= plain;
    }
    for ((target, source), mask) in rest_target.iter_mut().zip(rest).zip(wide.to_le_bytes()) {
        *target = source ^ mask;
        seen |= u64::from(*target);
    }
    seen & NOT_ASCII == 0
}

/// Masks or unmasks `bytes` in place and turns the key by their length, ready for the bytes that follow.
#[inline]
pub fn apply(bytes: &mut [u8], key: &mut Key) {
    let wide = wide(*key);
    let turn = bytes.len() % 4;
    if bytes.len() < LONG {
        xor(bytes, wide);
    } else {
        xor_long(bytes, wide);
    }
    key.rotate_left(turn);
}

/// XORs with a wide key. The compiler makes vectors of the words, as wide as the function it is part of may use.
#[inline(always)]
fn xor(bytes: &mut [u8], wide: u64) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= mask;
    }
}

/// XORs a long payload by the widest vectors of this processor: by those of 32 bytes it takes half the time, which is 3 % of
/// the CPU that a client's stream costs.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn xor_long(bytes: &mut [u8], wide: u64) {
    #[target_feature(enable = "avx2")]
    fn by_avx2(bytes: &mut [u8], wide: u64) {
        xor(bytes, wide);
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        unsafe { by_avx2(bytes, wide) }
    } else {
        xor(bytes, wide);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn xor_long(bytes: &mut [u8], wide: u64) {
    xor(bytes, wide);
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

    proptest! {
        #[test]
        fn a_short_payload_is_unmasked_and_judged(key: Key, bytes: Vec<u8>, is_ascii: bool) {
            let bytes: Vec<u8> = bytes.iter().map(|byte| if is_ascii { byte % 128 } else { *byte }).collect();
            let mut payload: Vec<u8> = bytes.iter().zip(0..).map(|(byte, i): (_, usize)| byte ^ key[i % 4]).collect();
            prop_assert_eq!(unmask_short(&mut payload, key), bytes.is_ascii());
            prop_assert_eq!(payload, bytes);
        }
    }

    #[test]
    fn long_payloads_are_masked_as_the_definition_says() {
        for (len, from) in [(LONG - 1, 0), (LONG, 1), (LONG + 7, 3), (5003, 2)] {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let mut masked = bytes.clone();
            let mut key = [0xA5, 0x3C, 0x96, 0x71];
            apply(&mut masked[from..], &mut key);
            for (i, (masked, byte)) in masked[from..].iter().zip(&bytes[from..]).enumerate() {
                assert_eq!(*masked, byte ^ [0xA5, 0x3C, 0x96, 0x71][i % 4], "{len} {i}");
            }
            let mut turned = [0xA5, 0x3C, 0x96, 0x71];
            turned.rotate_left((len - from) % 4);
            assert_eq!(key, turned, "{len}");
        }
    }

    #[test]
    fn keys_are_fresh() {
        let keys: HashSet<Key> = (0..1000).map(|_| fresh_key()).collect();
        assert!(keys.len() > 990);
    }
}
