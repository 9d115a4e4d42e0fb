//! Integers in as few bytes as they need: seven bits a byte, least significant first (LEB128).

/// Appends an integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Signed to unsigned, small magnitudes to small numbers.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Parts;

    proptest! {
        #[test]
        fn varints_and_zigzag_round_trip(
            value: u64,
            signed: i64,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut row = Vec::new();
            put_varint(&mut row, value);
            put_varint(&mut row, zigzag(signed));
            put_bytes(&mut row, &bytes);
            let mut parts = Parts(&row);
            prop_assert_eq!(parts.varint(), Some(value));
            prop_assert_eq!(parts.varint().map(unzigzag), Some(signed));
            prop_assert_eq!(parts.bytes(), Some(bytes.as_slice()));
            prop_assert!(parts.byte().is_none());
        }
    }

    #[test]
    fn an_integer_of_more_than_64_bits_is_none() {
        assert_eq!(Parts(&[0x80; 10]).varint(), None);
        assert_eq!(Parts(&[0x80]).varint(), None, "it does not end");
    }
}
