//! The trie's algorithms, over any store of numbered nodes: reading here, writing in `update`.
//!
//! The shape depends on the set of entries alone: a subtree of at most [`super::node::LEAF_ENTRIES_MAX`] entries is a
//! leaf, any other branches at the highest digit in which its entries differ. Recursion is bounded by the eight digits
//! of a pair.

use std::sync::Arc;

use engram_views::ViewError;

use super::node::{Entry, Inner, Node, NodeNumber};

/// Where nodes are read from.
pub(super) trait Source {
    /// The node with a number.
    fn node(&self, number: NodeNumber) -> Result<Arc<Node>, ViewError>;
}

/// One difference: pair, offset before, offset after.
pub(super) type Difference = (u32, Option<u64>, Option<u64>);

/// The offset under a pair.
pub(super) fn get(source: &dyn Source, mut number: NodeNumber, pair: u32) -> Result<Option<u64>, ViewError> {
    while number != 0 {
        match &*source.node(number)? {
            Node::Leaf(entries) => {
                let found = entries.binary_search_by_key(&pair, |entry| entry.0);
                return Ok(found.ok().map(|at| entries[at].1));
            }
            Node::Inner(inner) if inner.covers(pair) => number = inner.children[inner.slot(pair)],
            Node::Inner(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Appends all entries, ascending.
pub(super) fn collect(source: &dyn Source, number: NodeNumber, out: &mut Vec<Entry>) -> Result<(), ViewError> {
    if number == 0 {
        return Ok(());
    }
    match &*source.node(number)? {
        Node::Leaf(entries) => out.extend(entries),
        Node::Inner(inner) => {
            for child in inner.children {
                collect(source, child, out)?;
            }
        }
    }
    Ok(())
}

/// What differs between two tries, ascending; subtrees with the same number are not entered.
pub(super) fn diff(
    source: &dyn Source,
    before: NodeNumber,
    after: NodeNumber,
    out: &mut Vec<Difference>,
) -> Result<(), ViewError> {
    if before == after {
        return Ok(());
    }
    if before == 0 || after == 0 {
        return diff_entries(source, before, after, out);
    }
    match (&*source.node(before)?, &*source.node(after)?) {
        (Node::Inner(left), Node::Inner(right)) if left.digit == right.digit && left.prefix == right.prefix => {
            for (left, right) in left.children.into_iter().zip(right.children) {
                diff(source, left, right, out)?;
            }
            Ok(())
        }
        (Node::Inner(left), Node::Inner(right)) if left.digit > right.digit && covers_node(left, right) => {
            let slot = left.slot(right.any_pair());
            for (index, child) in left.children.into_iter().enumerate() {
                diff(source, child, if index == slot { after } else { 0 }, out)?;
            }
            Ok(())
        }
        (Node::Inner(left), Node::Inner(right)) if right.digit > left.digit && covers_node(right, left) => {
            let slot = right.slot(left.any_pair());
            for (index, child) in right.children.into_iter().enumerate() {
                diff(source, if index == slot { before } else { 0 }, child, out)?;
            }
            Ok(())
        }
        // A leaf differs from an inner node in at least as many entries as that has beyond a leaf's, and
        // inner nodes side by side in all of theirs: walking both costs no more than the differences.
        _ => diff_entries(source, before, after, out),
    }
}

fn covers_node(upper: &Inner, lower: &Inner) -> bool {
    upper.covers(lower.any_pair())
}

/// Merges the entries of two tries and keeps what differs.
fn diff_entries(
    source: &dyn Source,
    before: NodeNumber,
    after: NodeNumber,
    out: &mut Vec<Difference>,
) -> Result<(), ViewError> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    collect(source, before, &mut left)?;
    collect(source, after, &mut right)?;
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let pair = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(entry), None) | (None, Some(entry)) => entry.0,
            (None, None) => return Ok(()),
        };
        let was = left.next_if(|entry| entry.0 == pair).map(|entry| entry.1);
        let is = right.next_if(|entry| entry.0 == pair).map(|entry| entry.1);
        if was != is {
            out.push((pair, was, is));
        }
    }
}

#[cfg(test)]
mod tests;
