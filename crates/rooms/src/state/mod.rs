//! State snapshots: persistent, content-addressed tries from interned (type, state key) pairs to event offsets.
//!
//! Same state, same root, however it came about. Nodes are numbered by content: equal nodes have one number, so
//! two tries share what they have in common, and a comparison stops where the numbers are equal. A root is the BLAKE3
//! hash of its node's bytes, hence equal for equal states within one log's views.
//!
//! There is nothing to collect: a change stores the nodes of its result only, and the projector keeps every root that
//! it stores, since history is judged and shown by them. `garbage` checks just that. A room's nodes are its own, since
//! they hold offsets of its events; so when a room is removed its nodes go with it, and nobody else's. Readers hold
//! snapshots, in which they stay.

mod garbage;
mod memo;
mod node;
mod pairs;
mod trie;
mod update;

use std::sync::Arc;

use crate::delta::Apply;
use engram_log::Offset;
use engram_views::{Read, ViewError};

pub use self::garbage::{Nodes, count_nodes, remove_room};
pub(crate) use self::memo::{Memo, PairName};
use self::memo::{ReaderNodes, Remembered};
use self::node::{Entry, Inner, LEAF_ENTRIES_MAX, Node, NodeNumber};
pub(crate) use self::pairs::intern;
pub use self::pairs::{pair, pair_name};
use self::trie::Source;
use self::update::Store;
use crate::codec::{Reader, put_varint};
use crate::counters;
use crate::tables::TRIE;

/// The identity of a state snapshot; equal exactly if the states are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Root(pub [u8; 32]);

impl Root {
    /// The state before anything happened.
    pub const EMPTY: Self = Self([0; 32]);
}

/// Number of an interned (event type, state key) pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair(pub u32);

/// One difference between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which entry.
    pub pair: Pair,
    /// The event that held it before.
    pub before: Option<Offset>,
    /// The event that holds it after.
    pub after: Option<Offset>,
}

/// The event that holds an entry.
pub fn get(reader: &dyn Read, root: Root, pair: Pair) -> Result<Option<Offset>, ViewError> {
    let number = number_of(reader, root)?;
    Ok(trie::get(&Stored::new(reader), number, pair.0)?.map(Offset))
}

/// All entries, in the order of their pairs.
pub fn entries(reader: &dyn Read, root: Root) -> Result<Vec<(Pair, Offset)>, ViewError> {
    let mut entries = Vec::new();
    Stored::new(reader).collect(number_of(reader, root)?, &mut entries)?;
    Ok(entries.into_iter().map(|(pair, offset)| (Pair(pair), Offset(offset))).collect())
}

/// What differs, at a cost that follows the number of differences.
pub fn diff(reader: &dyn Read, before: Root, after: Root) -> Result<Vec<Change>, ViewError> {
    if before == after {
        return Ok(Vec::new());
    }
    diff_in(&Stored::new(reader), number_of(reader, before)?, number_of(reader, after)?)
}

fn diff_in(source: &dyn Source, before: NodeNumber, after: NodeNumber) -> Result<Vec<Change>, ViewError> {
    let mut differences = Vec::new();
    trie::diff(source, before, after, &mut differences)?;
    let change = |(pair, before, after): trie::Difference| Change {
        pair: Pair(pair),
        before: before.map(Offset),
        after: after.map(Offset),
    };
    Ok(differences.into_iter().map(change).collect())
}

/// States as the projector reads them.
#[derive(Clone, Copy)]
pub(crate) struct Remembering<'a> {
    reader: &'a dyn Read,
    memo: &'a Memo,
}

impl<'a> Remembering<'a> {
    pub(crate) fn new(reader: &'a dyn Read, memo: &'a Memo) -> Self {
        Self { reader, memo }
    }

    /// [`get`].
    pub(crate) fn get(&self, root: Root, pair: Pair) -> Result<Option<Offset>, ViewError> {
        Ok(trie::get(&self.nodes(), self.number_of(root)?, pair.0)?.map(Offset))
    }

    /// The event that holds an entry by its name.
    pub(crate) fn entry(&self, root: Root, event_type: &str, state_key: &str) -> Result<Option<Offset>, ViewError> {
        match self.pair(event_type, state_key)? {
            Some(pair) => self.get(root, pair),
            None => Ok(None),
        }
    }

    /// [`entries`].
    pub(crate) fn entries(&self, root: Root) -> Result<Vec<(Pair, Offset)>, ViewError> {
        let mut entries = Vec::new();
        trie::collect(&self.nodes(), self.number_of(root)?, &mut entries)?;
        Ok(entries.into_iter().map(|(pair, offset)| (Pair(pair), Offset(offset))).collect())
    }

    /// [`diff`].
    pub(crate) fn diff(&self, before: Root, after: Root) -> Result<Vec<Change>, ViewError> {
        if before == after {
            return Ok(Vec::new());
        }
        diff_in(&self.nodes(), self.number_of(before)?, self.number_of(after)?)
    }

    fn nodes(&self) -> Remembered<'a> {
        Remembered { reader: self.reader, memo: self.memo }
    }

    fn number_of(&self, root: Root) -> Result<NodeNumber, ViewError> {
        if let Some(number) = self.memo.roots.borrow_mut().get(&root) {
            return Ok(number);
        }
        let number = number_of(self.reader, root)?;
        self.memo.roots.borrow_mut().put(root, number);
        Ok(number)
    }
}

/// Sets or removes entries, ascending by pair, and stores the nodes of the new state that are not there yet. `fresh` is
/// a position that no state holds so far: of what holds it nobody has to ask whether it is there.
pub(crate) fn update(
    view: &mut Apply<'_>,
    memo: &Memo,
    root: Root,
    changes: &[(Pair, Option<Offset>)],
    fresh: Option<Offset>,
) -> Result<Root, ViewError> {
    let number = Remembering::new(view, memo).number_of(root)?;
    let changes: Vec<_> = changes.iter().map(|(pair, value)| (pair.0, value.map(|offset| offset.0))).collect();
    let mut store = Writing { view, memo, last: None };
    let after = update::update(&mut store, number, &changes, fresh.map(|offset| offset.0))?;
    if after == number {
        return Ok(root);
    }
    // The root is written last, unless a removal left a node that existed before.
    let root = match store.last {
        Some((last, root)) if last == after => root,
        _ if after == 0 => Root::EMPTY,
        _ => root_of(&node_bytes(view, after)?),
    };
    memo.roots.borrow_mut().put(root, after);
    Ok(root)
}

/// Key of a node by its number: 0x00, u32.
fn node_key(number: NodeNumber) -> [u8; 5] {
    let mut key = [0; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Key of a node's number by its hash: 0x01, the first 16 bytes.
fn hash_key(root: Root) -> [u8; 17] {
    let mut key = [1; 17];
    key[1..].copy_from_slice(&root.0[..16]);
    key
}

fn root_of(node: &[u8]) -> Root {
    Root(*blake3::hash(node).as_bytes())
}

fn number_of(reader: &dyn Read, root: Root) -> Result<NodeNumber, ViewError> {
    if root == Root::EMPTY {
        return Ok(0);
    }
    let row = reader.get(&TRIE, &hash_key(root))?.ok_or_else(|| missing("a root is missing"))?;
    Reader::new(TRIE.name, &row).varint32()
}

fn node_bytes(reader: &dyn Read, number: NodeNumber) -> Result<engram_views::Value, ViewError> {
    reader.get(&TRIE, &node_key(number))?.ok_or_else(|| missing("a node is missing"))
}

fn missing(what: &'static str) -> ViewError {
    ViewError::Row { table: TRIE.name, what }
}

/// The nodes in the tables, as readers have them.
struct Stored<'a> {
    reader: &'a dyn Read,
    remembered: Option<Arc<ReaderNodes>>,
}

impl<'a> Stored<'a> {
    fn new(reader: &'a dyn Read) -> Self {
        Self { reader, remembered: reader.memory().map(engram_views::Memory::of) }
    }

    /// Decodes a node, the entries of a leaf into a list.
    fn decode(&self, number: NodeNumber, entries: &mut Vec<Entry>) -> Result<Option<Inner>, ViewError> {
        match &self.remembered {
            Some(remembered) => Node::decode_into(&remembered.bytes(self.reader, number)?, entries),
            None => Node::decode_into(&node_bytes(self.reader, number)?, entries),
        }
    }

    /// [`trie::collect`] without a node for each leaf: a large state has thousands.
    fn collect(&self, number: NodeNumber, out: &mut Vec<Entry>) -> Result<(), ViewError> {
        if number == 0 {
            return Ok(());
        }
        if let Some(inner) = self.decode(number, out)? {
            for child in inner.children {
                self.collect(child, out)?;
            }
        }
        Ok(())
    }
}

impl Source for Stored<'_> {
    fn node(&self, number: NodeNumber) -> Result<Arc<Node>, ViewError> {
        let mut entries = Vec::with_capacity(LEAF_ENTRIES_MAX);
        let inner = self.decode(number, &mut entries)?;
        Ok(Arc::new(inner.map_or(Node::Leaf(entries), Node::Inner)))
    }
}

/// The nodes in the tables, and new ones.
struct Writing<'a, 'b> {
    view: &'a mut Apply<'b>,
    memo: &'a Memo,
    /// The node that was interned last.
    last: Option<(NodeNumber, Root)>,
}

impl Source for Writing<'_, '_> {
    fn node(&self, number: NodeNumber) -> Result<Arc<Node>, ViewError> {
        Remembered { reader: self.view, memo: self.memo }.node(number)
    }
}

impl Store for Writing<'_, '_> {
    fn intern(&mut self, node: Node, is_new: bool) -> Result<(NodeNumber, bool), ViewError> {
        let bytes = node.encode();
        let root = root_of(&bytes);
        let key = hash_key(root);
        let known = if is_new { None } else { self.view.get(&TRIE, &key)? };
        let is_new = known.is_none();
        let number = if let Some(row) = known {
            Reader::new(TRIE.name, &row).varint32()?
        } else {
            let number = counters::next(self.view, "node")?;
            let mut row = Vec::with_capacity(5);
            put_varint(&mut row, u64::from(number));
            self.view.put(&TRIE, &key, &row);
            self.view.put(&TRIE, &node_key(number), &bytes);
            self.memo.keep_node(number, node);
            number
        };
        self.last = Some((number, root));
        Ok((number, is_new))
    }
}
