//! Changing a trie: the new one is drafted in memory, and only then are its new nodes stored.
//!
//! So several changes write each node once, and nothing is ever stored that the new trie does not reach.

use engram_views::ViewError;

use super::node::{
    Entry, FANOUT, Inner, LEAF_ENTRIES_MAX, Node, NodeNumber, digit_of, highest_difference, prefix_above,
};
use super::trie::{Source, collect};

/// Where nodes are written to. Equal nodes get equal numbers.
pub(super) trait Store: Source {
    /// The number of a node, and whether it is new. That `is_new` is known from what the node holds saves the search
    /// for it.
    fn intern(&mut self, node: Node, is_new: bool) -> Result<(NodeNumber, bool), ViewError>;
}

/// A change of one entry: the offset that it is to have, or none.
pub(super) type Assignment = (u32, Option<u64>);

/// Makes changes, ascending by pair, and returns the new trie; zero stands for the empty one. `fresh` is an offset that
/// no stored node holds yet.
pub(super) fn update(
    store: &mut dyn Store,
    number: NodeNumber,
    changes: &[Assignment],
    fresh: Option<u64>,
) -> Result<NodeNumber, ViewError> {
    assert!(changes.is_sorted_by(|left, right| left.0 < right.0), "one change an entry, in order");
    let draft = change(store, number, changes)?;
    Ok(draft.store(store, fresh)?.0)
}

/// A subtree of the new trie.
enum Draft {
    /// One that is there already; zero for none.
    Stored(NodeNumber),
    Leaf(Vec<Entry>),
    Inner(Box<Branch>),
}

struct Branch {
    digit: u8,
    prefix: u32,
    count: usize,
    children: [Draft; FANOUT],
}

impl Branch {
    fn new(digit: u8, any_pair: u32, count: usize) -> Self {
        Self { digit, prefix: prefix_above(any_pair, digit), count, children: [const { Draft::Stored(0) }; FANOUT] }
    }
}

fn change(source: &dyn Source, number: NodeNumber, changes: &[Assignment]) -> Result<Draft, ViewError> {
    if changes.is_empty() {
        return Ok(Draft::Stored(number));
    }
    if number == 0 {
        return Ok(build(&merged(&[], changes)));
    }
    match &*source.node(number)? {
        Node::Leaf(entries) => {
            let after = merged(entries, changes);
            Ok(if after == *entries { Draft::Stored(number) } else { build(&after) })
        }
        Node::Inner(inner) => {
            let from = changes.partition_point(|change| change.0 < inner.any_pair());
            let below = changes[from..].iter().take_while(|change| inner.covers(change.0)).count();
            let (before, rest) = changes.split_at(from);
            let (inside, after) = rest.split_at(below);
            let draft = change_below(source, number, inner, inside)?;
            let outside = merged(&[], &[before, after].concat());
            add_outside(source, draft, &outside)
        }
    }
}

/// Makes changes that an inner node covers.
fn change_below(
    source: &dyn Source,
    number: NodeNumber,
    inner: &Inner,
    changes: &[Assignment],
) -> Result<Draft, ViewError> {
    let mut branch = Branch::new(inner.digit, inner.any_pair(), 0);
    branch.children = inner.children.map(Draft::Stored);
    let mut is_changed = false;
    let mut count = inner.count as usize;
    for group in changes.chunk_by(|left, right| inner.slot(left.0) == inner.slot(right.0)) {
        let child = &mut branch.children[inner.slot(group[0].0)];
        let before = child.count(source)?;
        let after = change(source, inner.children[inner.slot(group[0].0)], group)?;
        if !matches!((&*child, &after), (Draft::Stored(before), Draft::Stored(after)) if before == after) {
            is_changed = true;
            count = count + after.count(source)? - before;
            *child = after;
        }
    }
    if !is_changed {
        return Ok(Draft::Stored(number));
    }
    if count <= LEAF_ENTRIES_MAX {
        let mut entries = Vec::with_capacity(LEAF_ENTRIES_MAX);
        for child in &branch.children {
            child.collect(source, &mut entries)?;
        }
        return Ok(build(&entries));
    }
    branch.count = count;
    let mut present = branch.children.iter_mut().filter(|child| !matches!(child, Draft::Stored(0)));
    match (present.next(), present.next()) {
        (Some(only), None) => Ok(std::mem::replace(only, Draft::Stored(0))),
        _ => Ok(Draft::Inner(Box::new(branch))),
    }
}

/// Adds entries that lie beside those of a subtree.
fn add_outside(source: &dyn Source, draft: Draft, entries: &[Entry]) -> Result<Draft, ViewError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(draft) };
    let Some((inner_pair, count)) = draft.branch(source)? else {
        let mut all = Vec::with_capacity(LEAF_ENTRIES_MAX + entries.len());
        draft.collect(source, &mut all)?;
        all.extend(entries);
        all.sort_unstable();
        return Ok(build(&all));
    };
    let digit = highest_difference(first.0.min(inner_pair), last.0.max(inner_pair));
    let mut branch = Branch::new(digit, inner_pair, count + entries.len());
    for group in entries.chunk_by(|left, right| digit_of(left.0, digit) == digit_of(right.0, digit)) {
        if digit_of(group[0].0, digit) != digit_of(inner_pair, digit) {
            branch.children[digit_of(group[0].0, digit)] = build(group);
        }
    }
    let beside = |entry: &&Entry| digit_of(entry.0, digit) == digit_of(inner_pair, digit);
    let beside: Vec<Entry> = entries.iter().filter(beside).copied().collect();
    branch.children[digit_of(inner_pair, digit)] = add_outside(source, draft, &beside)?;
    Ok(Draft::Inner(Box::new(branch)))
}

/// Entries with changes made; both ascending.
fn merged(entries: &[Entry], changes: &[Assignment]) -> Vec<Entry> {
    let mut out = Vec::with_capacity(entries.len() + changes.len());
    let mut entries = entries.iter().copied().peekable();
    for &(pair, offset) in changes {
        while let Some(entry) = entries.next_if(|entry| entry.0 < pair) {
            out.push(entry);
        }
        entries.next_if(|entry| entry.0 == pair);
        out.extend(offset.map(|offset| (pair, offset)));
    }
    out.extend(entries);
    out
}

/// The canonical trie of entries in ascending order.
fn build(entries: &[Entry]) -> Draft {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Draft::Stored(0) };
    if entries.len() <= LEAF_ENTRIES_MAX {
        return Draft::Leaf(entries.to_vec());
    }
    let digit = highest_difference(first.0, last.0);
    let mut branch = Branch::new(digit, first.0, entries.len());
    for group in entries.chunk_by(|left, right| digit_of(left.0, digit) == digit_of(right.0, digit)) {
        branch.children[digit_of(group[0].0, digit)] = build(group);
    }
    Draft::Inner(Box::new(branch))
}

impl Draft {
    fn count(&self, source: &dyn Source) -> Result<usize, ViewError> {
        Ok(match self {
            Self::Stored(0) => 0,
            Self::Stored(number) => match &*source.node(*number)? {
                Node::Leaf(entries) => entries.len(),
                Node::Inner(inner) => inner.count as usize,
            },
            Self::Leaf(entries) => entries.len(),
            Self::Inner(branch) => branch.count,
        })
    }

    /// A pair of a subtree that branches, and how many entries it has; none for a leaf.
    fn branch(&self, source: &dyn Source) -> Result<Option<(u32, usize)>, ViewError> {
        Ok(match self {
            Self::Stored(0) | Self::Leaf(_) => None,
            Self::Stored(number) => match &*source.node(*number)? {
                Node::Leaf(_) => None,
                Node::Inner(inner) => Some((inner.any_pair(), inner.count as usize)),
            },
            Self::Inner(branch) => {
                let any_pair = branch.prefix.checked_shl(4 * (u32::from(branch.digit) + 1)).unwrap_or(0);
                Some((any_pair, branch.count))
            }
        })
    }

    fn collect(&self, source: &dyn Source, out: &mut Vec<Entry>) -> Result<(), ViewError> {
        match self {
            Self::Stored(number) => collect(source, *number, out),
            Self::Leaf(entries) => {
                out.extend(entries);
                Ok(())
            }
            Self::Inner(branch) => branch.children.iter().try_for_each(|child| child.collect(source, out)),
        }
    }

    /// Stores what is new. What holds a node or an offset that is new is new itself.
    fn store(self, store: &mut dyn Store, fresh: Option<u64>) -> Result<(NodeNumber, bool), ViewError> {
        match self {
            Self::Stored(number) => Ok((number, false)),
            Self::Leaf(entries) => {
                let is_new = entries.iter().any(|entry| Some(entry.1) == fresh);
                store.intern(Node::Leaf(entries), is_new)
            }
            Self::Inner(branch) => {
                let mut children = [0; FANOUT];
                let mut any_is_new = false;
                for (number, child) in children.iter_mut().zip(branch.children) {
                    let is_new;
                    (*number, is_new) = child.store(store, fresh)?;
                    any_is_new |= is_new;
                }
                let count = u32::try_from(branch.count).expect("there are no more entries than pairs");
                let inner = Inner { digit: branch.digit, prefix: branch.prefix, count, children };
                store.intern(Node::Inner(inner), any_is_new)
            }
        }
    }
}

#[cfg(test)]
pub(super) fn built(store: &mut dyn Store, entries: &[Entry]) -> Result<NodeNumber, ViewError> {
    build(entries).store(store, None).map(|(number, _)| number)
}
