//! The nodes of a state trie and their bytes.
//!
//! ```text
//! leaf    0x00, then per entry in ascending order: varint pair (first) or distance to the one before,
//!         zigzag varint of the distance of its offset to the one before
//! inner   0x01 + digit, varint prefix, varint number of entries below, u16 LE bitmap of children,
//!         varint node number of each child in ascending order
//! ```
//! `digit` counts four-bit digits of the pair from the least significant one (0 to 7): it is the highest in which
//! entries of the node differ; `prefix` is what they share above it.

use engram_views::ViewError;

use crate::codec::{Reader, put_varint, unzigzag, zigzag};
use crate::tables;

/// Children of an inner node: one per value of a four-bit digit.
pub(super) const FANOUT: usize = 16;
/// Entries up to which a subtree is one leaf. Part of what makes roots canonical: it never changes without a new
/// version of the view.
pub(super) const LEAF_ENTRIES_MAX: usize = 16;

/// Number of a stored node. Equal content, equal number.
pub(super) type NodeNumber = u32;
/// An entry: pair and offset.
pub(super) type Entry = (u32, u64);

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// At most [`LEAF_ENTRIES_MAX`] entries, ascending.
    Leaf(Vec<Entry>),
    /// More than that.
    Inner(Inner),
}

/// A node that branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inner {
    /// The digit that selects the child.
    pub(super) digit: u8,
    /// What all pairs below have above the digit.
    pub(super) prefix: u32,
    /// How many entries are below.
    pub(super) count: u32,
    /// By value of the digit; zero for none.
    pub(super) children: [NodeNumber; FANOUT],
}

impl Inner {
    /// Whether a pair belongs below this node.
    pub(super) fn covers(&self, pair: u32) -> bool {
        prefix_above(pair, self.digit) == self.prefix
    }

    /// Some pair that the node covers.
    pub(super) fn any_pair(&self) -> u32 {
        self.prefix.checked_shl(4 * (u32::from(self.digit) + 1)).unwrap_or(0)
    }

    /// The child that a pair belongs to.
    pub(super) fn slot(&self, pair: u32) -> usize {
        digit_of(pair, self.digit)
    }
}

/// The value of a digit of a pair.
pub(super) fn digit_of(pair: u32, digit: u8) -> usize {
    ((pair >> (4 * u32::from(digit))) & 0xf) as usize
}

/// What a pair has above a digit.
pub(super) fn prefix_above(pair: u32, digit: u8) -> u32 {
    pair.checked_shr(4 * (u32::from(digit) + 1)).unwrap_or(0)
}

/// The highest digit in which two different pairs differ.
pub(super) fn highest_difference(left: u32, right: u32) -> u8 {
    assert_ne!(left, right, "equal pairs have no differing digit");
    ((left ^ right).ilog2() / 4) as u8
}

impl Node {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        match self {
            Self::Leaf(entries) => {
                assert!(entries.len() <= LEAF_ENTRIES_MAX, "a leaf is split before it grows too large");
                out.push(0);
                let mut before = (0, 0);
                for &(pair, offset) in entries {
                    put_varint(&mut out, u64::from(pair - before.0));
                    put_varint(&mut out, zigzag(offset.wrapping_sub(before.1).cast_signed()));
                    before = (pair, offset);
                }
            }
            Self::Inner(inner) => {
                assert!(inner.count as usize > LEAF_ENTRIES_MAX, "a small subtree is a leaf");
                out.push(1 + inner.digit);
                put_varint(&mut out, u64::from(inner.prefix));
                put_varint(&mut out, u64::from(inner.count));
                let present = |slot: &usize| inner.children[*slot] != 0;
                let bitmap = (0..FANOUT).filter(present).fold(0u16, |bits, slot| bits | (1 << slot));
                out.extend_from_slice(&bitmap.to_le_bytes());
                for child in inner.children.iter().filter(|child| **child != 0) {
                    put_varint(&mut out, u64::from(*child));
                }
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ViewError> {
        let mut entries = Vec::with_capacity(LEAF_ENTRIES_MAX);
        Ok(Self::decode_into(bytes, &mut entries)?.map_or(Self::Leaf(entries), Self::Inner))
    }

    /// Appends the entries of a leaf to a list that is there already, or gives the inner node.
    pub(super) fn decode_into(bytes: &[u8], entries: &mut Vec<Entry>) -> Result<Option<Inner>, ViewError> {
        let mut reader = Reader::new(tables::TRIE.name, bytes);
        let tag = reader.byte()?;
        if tag > 0 {
            return Self::decode_inner(tag - 1, &mut reader).map(Some);
        }
        let mut before = (0u32, 0u64);
        while !reader.is_empty() {
            let distance = reader.varint32()?;
            let pair = before.0.checked_add(distance).ok_or_else(|| reader.error("pairs overflow"))?;
            let offset = before.1.wrapping_add(unzigzag(reader.varint()?).cast_unsigned());
            before = (pair, offset);
            entries.push(before);
        }
        Ok(None)
    }

    fn decode_inner(digit: u8, reader: &mut Reader<'_>) -> Result<Inner, ViewError> {
        let prefix = reader.varint32()?;
        let count = reader.varint32()?;
        let bitmap = u16::from_le_bytes(reader.array()?);
        let mut children = [0; FANOUT];
        for (slot, child) in children.iter_mut().enumerate() {
            if bitmap & (1 << slot) != 0 {
                *child = reader.varint32()?;
            }
        }
        Ok(Inner { digit, prefix, count, children })
    }
}
