//! The trie's algorithms, over any store of numbered nodes.
//!
//! The shape depends on the set of entries alone: a subtree of at most [`LEAF_ENTRIES_MAX`] entries is a leaf, any other
//! branches at the highest digit in which its entries differ. Recursion is bounded by the eight digits of a pair.

use engram_views::ViewError;

use super::node::{
    Entry, FANOUT, Inner, LEAF_ENTRIES_MAX, Node, NodeNumber, digit_of, highest_difference, prefix_above,
};

/// Where nodes are read from.
pub(super) trait Source {
    /// The node with a number.
    fn node(&self, number: NodeNumber) -> Result<Node, ViewError>;
}

/// Where nodes are written to. Equal nodes get equal numbers.
pub(super) trait Store: Source {
    /// The number of a node, new or not.
    fn intern(&mut self, node: &Node) -> Result<NodeNumber, ViewError>;
}

/// One difference: pair, offset before, offset after.
pub(super) type Difference = (u32, Option<u64>, Option<u64>);

/// The offset under a pair.
pub(super) fn get(source: &dyn Source, mut number: NodeNumber, pair: u32) -> Result<Option<u64>, ViewError> {
    while number != 0 {
        match source.node(number)? {
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
    match source.node(number)? {
        Node::Leaf(entries) => out.extend(entries),
        Node::Inner(inner) => {
            for child in inner.children {
                collect(source, child, out)?;
            }
        }
    }
    Ok(())
}

/// Sets an entry and returns the new trie; zero stands for the empty one.
pub(super) fn insert(
    store: &mut dyn Store,
    number: NodeNumber,
    pair: u32,
    offset: u64,
) -> Result<NodeNumber, ViewError> {
    insert_counting(store, number, pair, offset).map(|(number, _)| number)
}

/// [`insert`], and whether the pair is new.
fn insert_counting(
    store: &mut dyn Store,
    number: NodeNumber,
    pair: u32,
    offset: u64,
) -> Result<(NodeNumber, bool), ViewError> {
    if number == 0 {
        return Ok((store.intern(&Node::Leaf(vec![(pair, offset)]))?, true));
    }
    match store.node(number)? {
        Node::Leaf(mut entries) => {
            let at = entries.binary_search_by_key(&pair, |entry| entry.0);
            match at {
                Ok(at) => entries[at].1 = offset,
                Err(at) => entries.insert(at, (pair, offset)),
            }
            Ok((build(store, &entries)?, at.is_err()))
        }
        Node::Inner(mut inner) if inner.covers(pair) => {
            let slot = inner.slot(pair);
            let (child, is_new) = insert_counting(store, inner.children[slot], pair, offset)?;
            inner.children[slot] = child;
            inner.count += u32::from(is_new);
            Ok((store.intern(&Node::Inner(inner))?, is_new))
        }
        Node::Inner(inner) => Ok((insert_above(store, number, &inner, pair, offset)?, true)),
    }
}

/// A new node above one that does not cover the pair.
fn insert_above(
    store: &mut dyn Store,
    number: NodeNumber,
    below: &Inner,
    pair: u32,
    offset: u64,
) -> Result<NodeNumber, ViewError> {
    let any_below = below.prefix << (4 * (u32::from(below.digit) + 1));
    let digit = highest_difference(any_below, pair);
    assert!(digit > below.digit, "the pair differs above the node that does not cover it");
    let mut children = [0; FANOUT];
    children[digit_of(any_below, digit)] = number;
    children[digit_of(pair, digit)] = store.intern(&Node::Leaf(vec![(pair, offset)]))?;
    let prefix = prefix_above(pair, digit);
    store.intern(&Node::Inner(Inner { digit, prefix, count: below.count + 1, children }))
}

/// The canonical trie of entries in ascending order; zero for none.
fn build(store: &mut dyn Store, entries: &[Entry]) -> Result<NodeNumber, ViewError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(0);
    };
    if entries.len() <= LEAF_ENTRIES_MAX {
        return store.intern(&Node::Leaf(entries.to_vec()));
    }
    let digit = highest_difference(first.0, last.0);
    let mut children = [0; FANOUT];
    for group in entries.chunk_by(|left, right| digit_of(left.0, digit) == digit_of(right.0, digit)) {
        children[digit_of(group[0].0, digit)] = build(store, group)?;
    }
    let prefix = prefix_above(first.0, digit);
    store.intern(&Node::Inner(Inner { digit, prefix, count: entries.len() as u32, children }))
}

/// Removes an entry and returns the new trie.
pub(super) fn remove(store: &mut dyn Store, number: NodeNumber, pair: u32) -> Result<NodeNumber, ViewError> {
    if number == 0 {
        return Ok(0);
    }
    match store.node(number)? {
        Node::Leaf(mut entries) => match entries.binary_search_by_key(&pair, |entry| entry.0) {
            Ok(at) => {
                entries.remove(at);
                build(store, &entries)
            }
            Err(_) => Ok(number),
        },
        Node::Inner(inner) if inner.covers(pair) => remove_below(store, number, inner, pair),
        Node::Inner(_) => Ok(number),
    }
}

fn remove_below(
    store: &mut dyn Store,
    number: NodeNumber,
    mut inner: Inner,
    pair: u32,
) -> Result<NodeNumber, ViewError> {
    let slot = inner.slot(pair);
    let child = remove(store, inner.children[slot], pair)?;
    if child == inner.children[slot] {
        return Ok(number);
    }
    inner.children[slot] = child;
    inner.count -= 1;
    if inner.count as usize <= LEAF_ENTRIES_MAX {
        let mut entries = Vec::with_capacity(LEAF_ENTRIES_MAX);
        for child in inner.children {
            collect(store, child, &mut entries)?;
        }
        return build(store, &entries);
    }
    let mut present = inner.children.iter().filter(|child| **child != 0);
    match (present.next(), present.next()) {
        (Some(only), None) => Ok(*only),
        _ => store.intern(&Node::Inner(inner)),
    }
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
    match (source.node(before)?, source.node(after)?) {
        (Node::Inner(left), Node::Inner(right)) if left.digit == right.digit && left.prefix == right.prefix => {
            for (left, right) in left.children.into_iter().zip(right.children) {
                diff(source, left, right, out)?;
            }
            Ok(())
        }
        (Node::Inner(left), Node::Inner(right)) if left.digit > right.digit && covers_node(&left, &right) => {
            let slot = left.slot(right.prefix << (4 * (u32::from(right.digit) + 1)));
            for (index, child) in left.children.into_iter().enumerate() {
                diff(source, child, if index == slot { after } else { 0 }, out)?;
            }
            Ok(())
        }
        (Node::Inner(left), Node::Inner(right)) if right.digit > left.digit && covers_node(&right, &left) => {
            let slot = right.slot(left.prefix << (4 * (u32::from(left.digit) + 1)));
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
    upper.covers(lower.prefix << (4 * (u32::from(lower.digit) + 1)))
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
