//! A hash of a byte stream that costs a fraction of copying it: what came is what was sent, in its order.

/// An odd multiplier: each word's part of the result depends on how many words follow it.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Bytes of one step: eight independent lanes keep the multiplier busy.
const STEP: usize = 64;

/// A running polynomial hash; the cuts between the updates do not matter.
#[derive(Clone)]
pub struct Digest {
    lanes: [u64; 8],
    /// Bytes that are no whole step yet.
    rest: [u8; STEP],
    held: usize,
    count: u64,
}

impl Digest {
    pub fn new() -> Digest {
        Digest {
            lanes: [1, 2, 3, 4, 5, 6, 7, 8],
            rest: [0; STEP],
            held: 0,
            count: 0,
        }
    }

    /// Bytes so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes more bytes, each XORed with `key`, whose first byte is for the first of `bytes`. A key of zeros changes
    /// nothing and costs the same: masked and plain streams are equal work.
    pub fn update(&mut self, mut bytes: &[u8], mut key: [u8; 4]) {
        self.count += bytes.len() as u64;
        if self.held > 0 {
            let len = (STEP - self.held).min(bytes.len());
            self.hold(&bytes[..len], key);
            key.rotate_left(len % 4);
            bytes = &bytes[len..];
            if self.held < STEP {
                return;
            }
            let whole = self.rest;
            step(&mut self.lanes, &whole, 0);
            self.held = 0;
        }
        let half = u64::from(u32::from_ne_bytes(key));
        let wide = half << 32 | half;
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let mut lanes = self.lanes;
        for bytes in steps {
            step(&mut lanes, bytes, wide);
        }
        self.lanes = lanes;
        self.hold(rest, key);
    }

    fn hold(&mut self, bytes: &[u8], key: [u8; 4]) {
        let place = &mut self.rest[self.held..self.held + bytes.len()];
        place.copy_from_slice(bytes);
        self.held += bytes.len();
        let word = u32::from_ne_bytes(key);
        if word != 0 {
            let (fours, rest) = place.as_chunks_mut::<4>();
            for four in fours {
                *four = (u32::from_ne_bytes(*four) ^ word).to_ne_bytes();
            }
            for (byte, key) in rest.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
    }

    /// The hash of all bytes so far.
    pub fn value(&self) -> u64 {
        let rest = self.rest[..self.held].iter().map(|byte| u64::from(*byte));
        let words = self.lanes.iter().copied().chain(rest);
        words.fold(self.count, |sum, word| {
            (sum ^ word).wrapping_mul(FACTOR).rotate_left(29)
        })
    }
}

#[inline(always)]
fn step(lanes: &mut [u64; 8], bytes: &[u8; STEP], wide: u64) {
    let (words, _) = bytes.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = lane
            .wrapping_mul(FACTOR)
            .wrapping_add(u64::from_ne_bytes(*word) ^ wide);
    }
}
