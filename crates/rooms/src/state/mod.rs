//! State snapshots: persistent, content-addressed tries from interned (type, state key) pairs to event offsets.
//!
//! Same state, same root, however it came about. Nodes are numbered by content: equal nodes have one number, so
//! two tries share what they have in common, and a comparison stops where the numbers are equal. A root is the BLAKE3
//! hash of its node's bytes, hence equal for equal states within one log's views.
//!
//! Nodes are not collected. The root after every state event is kept, since history is judged and shown by it, so every node of those
//! stays reachable; what does not are the steps on the way to a resolved state, a path of nodes for each entry but the last that resolution sets. A
//! rebuild of the view writes them again: they are a cost of forks, not a leak.

mod node;
mod pairs;
mod trie;

use engram_log::Offset;
use engram_views::{Apply, Read, ViewError};

use self::node::{Node, NodeNumber};
pub(crate) use self::pairs::intern;
pub use self::pairs::{pair, pair_name};
use self::trie::{Source, Store};
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
    Ok(trie::get(&Stored(reader), number, pair.0)?.map(Offset))
}

/// All entries, in the order of their pairs.
pub fn entries(reader: &dyn Read, root: Root) -> Result<Vec<(Pair, Offset)>, ViewError> {
    let mut entries = Vec::new();
    trie::collect(&Stored(reader), number_of(reader, root)?, &mut entries)?;
    Ok(entries.into_iter().map(|(pair, offset)| (Pair(pair), Offset(offset))).collect())
}

/// What differs, at a cost that follows the number of differences.
pub fn diff(reader: &dyn Read, before: Root, after: Root) -> Result<Vec<Change>, ViewError> {
    if before == after {
        return Ok(Vec::new());
    }
    let mut differences = Vec::new();
    trie::diff(&Stored(reader), number_of(reader, before)?, number_of(reader, after)?, &mut differences)?;
    let change = |(pair, before, after): trie::Difference| Change {
        pair: Pair(pair),
        before: before.map(Offset),
        after: after.map(Offset),
    };
    Ok(differences.into_iter().map(change).collect())
}

/// Sets or removes one entry; writes the new nodes.
pub fn set(view: &mut Apply<'_>, root: Root, pair: Pair, value: Option<Offset>) -> Result<Root, ViewError> {
    let number = number_of(view, root)?;
    let mut store = Writing { view, last: None };
    let after = match value {
        Some(offset) => trie::insert(&mut store, number, pair.0, offset.0)?,
        None => trie::remove(&mut store, number, pair.0)?,
    };
    if after == number {
        return Ok(root);
    }
    // The root is written last, unless a removal left a node that existed before.
    match store.last {
        Some((last, root)) if last == after => Ok(root),
        _ if after == 0 => Ok(Root::EMPTY),
        _ => Ok(root_of(&node_bytes(view, after)?)),
    }
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
    let missing = ViewError::Row { table: TRIE.name, what: "a root is missing" };
    let row = reader.get(&TRIE, &hash_key(root))?.ok_or(missing)?;
    Reader::new(TRIE.name, &row).varint32()
}

fn node_bytes(reader: &dyn Read, number: NodeNumber) -> Result<engram_views::Value, ViewError> {
    let missing = ViewError::Row { table: TRIE.name, what: "a node is missing" };
    reader.get(&TRIE, &node_key(number))?.ok_or(missing)
}

/// The nodes in the tables.
struct Stored<'a>(&'a dyn Read);

impl Source for Stored<'_> {
    fn node(&self, number: NodeNumber) -> Result<Node, ViewError> {
        Node::decode(&node_bytes(self.0, number)?)
    }
}

/// The nodes in the tables, and new ones.
struct Writing<'a, 'b> {
    view: &'a mut Apply<'b>,
    /// The node that was interned last.
    last: Option<(NodeNumber, Root)>,
}

impl Source for Writing<'_, '_> {
    fn node(&self, number: NodeNumber) -> Result<Node, ViewError> {
        Stored(self.view).node(number)
    }
}

impl Store for Writing<'_, '_> {
    fn intern(&mut self, node: &Node) -> Result<NodeNumber, ViewError> {
        let bytes = node.encode();
        let root = root_of(&bytes);
        let key = hash_key(root);
        let known = self.view.get(&TRIE, &key)?;
        let number = if let Some(row) = known {
            Reader::new(TRIE.name, &row).varint32()?
        } else {
            let number = counters::next(self.view, "node")?;
            let mut row = Vec::with_capacity(5);
            put_varint(&mut row, u64::from(number));
            self.view.put(&TRIE, &key, &row);
            self.view.put(&TRIE, &node_key(number), &bytes);
            number
        };
        self.last = Some((number, root));
        Ok(number)
    }
}
