//! Which nodes are reached from the roots that are kept, and the removal of a room's.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use crate::delta::Apply;
use engram_views::{Read, ReadExt as _, Table, ViewError};

use super::node::{Node, NodeNumber};
use super::{Root, hash_key, node_bytes, node_key, number_of, root_of};
use crate::codec::Reader;
use crate::tables::{GIVEN_STATES, HEADS, ROOTS, STATE_CHANGES, TRIE};
use crate::types::RoomNumber;

/// How many nodes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// In the tables.
    pub stored: u64,
    /// Of these, those that some event's state, or some room's current state, is made of.
    pub reached: u64,
}

/// Counts the nodes of all rooms. Both counts are equal; reads everything there is.
pub fn count_nodes(reader: &dyn Read) -> Result<Nodes, ViewError> {
    let reached = reach(reader, &[])?;
    let mut stored = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        stored += 1;
        ControlFlow::Continue(())
    };
    reader.scan_prefix(&TRIE, &[0], &mut visit)?;
    Ok(Nodes { stored, reached: reached.len() as u64 })
}

/// Removes a room's roots and all that they reach. Whoever reads a snapshot from before goes on with what is there. The
/// memory of whoever calls this speaks of nodes that are gone then: it is to be dropped.
pub fn remove_room(view: &mut Apply<'_>, room: RoomNumber) -> Result<(), ViewError> {
    let prefix = room.0.to_be_bytes();
    for number in reach(view, &prefix)? {
        let hash = hash_key(root_of(&node_bytes(view, number)?));
        view.remove(&TRIE, &hash);
        view.remove(&TRIE, &node_key(number));
    }
    for table in [&ROOTS, &STATE_CHANGES, &HEADS, &GIVEN_STATES] {
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        view.scan_prefix(table, &prefix, &mut visit)?;
        for key in &keys {
            view.remove(table, key);
        }
    }
    Ok(())
}

/// The nodes that are reached from the roots in rows whose keys begin with a prefix: a room's number, or nothing for
/// all.
fn reach(reader: &dyn Read, prefix: &[u8]) -> Result<BTreeSet<NodeNumber>, ViewError> {
    let mut reached = BTreeSet::new();
    let mut pending = Vec::new();
    for table in [&ROOTS, &STATE_CHANGES, &HEADS, &GIVEN_STATES] {
        for root in roots_in(reader, table, prefix)? {
            pending.push(number_of(reader, root)?);
        }
        while let Some(number) = pending.pop() {
            if number == 0 || !reached.insert(number) {
                continue;
            }
            if let Some(inner) = Node::decode_into(&node_bytes(reader, number)?, &mut Vec::new())? {
                pending.extend(inner.children);
            }
        }
    }
    Ok(reached)
}

/// The roots with which the rows of a table begin.
fn roots_in(reader: &dyn Read, table: &'static Table, prefix: &[u8]) -> Result<BTreeSet<Root>, ViewError> {
    let mut roots = BTreeSet::new();
    let mut damage = None;
    let mut visit = |key: &[u8], row: &[u8]| {
        if !key.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        match Reader::new(table.name, row).array() {
            Ok(root) => drop(roots.insert(Root(root))),
            Err(error) => damage = Some(error),
        }
        ControlFlow::Continue(())
    };
    let from = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(prefix) };
    reader.scan(table, from, Bound::Unbounded, false, &mut visit)?;
    damage.map_or(Ok(roots), Err)
}
