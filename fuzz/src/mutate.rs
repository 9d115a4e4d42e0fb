//! Bounded random changes of an input, the same on every machine: the driver of the test suite.

/// Numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }
}

/// Values at which counts and lengths go wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 53, i64::MAX as u64, u64::MAX - 63, u64::MAX];

/// Bytes that mean something to one reader or another.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-",
    b"1e9",
    b"9007199254740992",
    b"\\u0000",
    b"\\ud800",
    "\u{10ffff}".as_bytes(),
    b"m.room.member",
    b"GONE",
    b"\n",
    b"=",
    b"_",
];

/// Changes an input in one to four ways; `other` lends parts of itself.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8], bytes_max: usize) {
    for _ in 0..=random.below(4) {
        change(random, input, other);
    }
    input.truncate(bytes_max);
}

fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(input.len() + 1);
    let scale = random.below(7);
    let length = 1 + random.below(1 << scale);
    let end = input.len().min(at + length);
    match random.below(9) {
        0 | 1 => edit(input, at, |byte| *byte ^= 1 << (length % 8)),
        2 => edit(input, at, |byte| *byte = random.below(256) as u8),
        3 => {
            let value = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = 1 << random.below(4);
            // Fields lie at multiples of their width.
            let at = at - at % width;
            input.iter_mut().skip(at).zip(&value[..width]).for_each(|(byte, value)| *byte = *value);
        }
        4 => drop(input.drain(at..end)),
        5 => {
            let copy = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        6 => {
            let piece = PIECES[random.below(PIECES.len())];
            input.splice(at..at, piece.iter().copied());
        }
        7 if !other.is_empty() => {
            let from = random.below(other.len());
            let part = &other[from..other.len().min(from + length)];
            let replaced = if random.below(2) == 0 { at..end } else { at..at };
            input.splice(replaced, part.iter().copied());
        }
        _ => {
            // The neighbourhood of a number in text or of a count.
            let step = if random.below(2) == 0 { 1 } else { u8::MAX };
            edit(input, at, |byte| *byte = byte.wrapping_add(step));
        }
    }
}

fn edit(input: &mut [u8], at: usize, change: impl FnOnce(&mut u8)) {
    if let Some(byte) = input.get_mut(at) {
        change(byte);
    }
}
