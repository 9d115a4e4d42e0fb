//! What the projector remembers of nodes, roots and pairs, and what readers do of nodes. Dropping any of it changes
//! nothing: they never change once they are written, while their room is there.

use std::cell::RefCell;
use std::sync::Arc;

use engram_views::{Read, ViewError};
use parking_lot::Mutex;

use super::node::{Node, NodeNumber};
use super::trie::Source;
use super::{Pair, Root, node_bytes};
use crate::limits::READER_NODES_BYTES_MAX;
use crate::recent::Recent;

/// An event type and a state key.
pub(crate) type PairName = Arc<(String, String)>;

/// The memory. Interior mutability, since look-ups go through it while the tables are borrowed; never shared between
/// threads.
pub(crate) struct Memo {
    nodes: RefCell<Recent<NodeNumber, Arc<Node>>>,
    pub(super) roots: RefCell<Recent<Root, NodeNumber>>,
    pub(super) pairs: RefCell<Recent<Vec<u8>, Pair>>,
    pub(super) names: RefCell<Recent<Pair, PairName>>,
}

impl Memo {
    /// Remembers so many bytes, half of them nodes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            nodes: RefCell::new(Recent::new(bytes / 2, |_, node| match &**node {
                Node::Leaf(entries) => 96 + entries.len() * 16,
                Node::Inner(_) => 192,
            })),
            roots: RefCell::new(Recent::new(bytes / 8, |_, _| 64)),
            pairs: RefCell::new(Recent::new(bytes / 8, |name, _| 64 + name.len())),
            names: RefCell::new(Recent::new(bytes / 4, |_, name| 128 + name.0.len() + name.1.len())),
        }
    }

    pub(super) fn keep_node(&self, number: NodeNumber, node: Node) {
        self.nodes.borrow_mut().put(number, Arc::new(node));
    }
}

/// What readers remember together: the bytes of nodes.
pub(super) struct ReaderNodes(Mutex<Recent<NodeNumber, Arc<[u8]>>>);

impl Default for ReaderNodes {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(READER_NODES_BYTES_MAX, |_, bytes| 80 + bytes.len())))
    }
}

impl ReaderNodes {
    pub(super) fn bytes(&self, reader: &dyn Read, number: NodeNumber) -> Result<Arc<[u8]>, ViewError> {
        if let Some(bytes) = self.0.lock().get(&number) {
            return Ok(bytes);
        }
        let bytes: Arc<[u8]> = node_bytes(reader, number)?.as_ref().into();
        self.0.lock().put(number, Arc::clone(&bytes));
        Ok(bytes)
    }
}

/// The nodes in the tables, by way of the memory.
pub(super) struct Remembered<'a> {
    pub(super) reader: &'a dyn Read,
    pub(super) memo: &'a Memo,
}

impl Source for Remembered<'_> {
    fn node(&self, number: NodeNumber) -> Result<Arc<Node>, ViewError> {
        if let Some(node) = self.memo.nodes.borrow_mut().get(&number) {
            return Ok(node);
        }
        let node = Arc::new(Node::decode(&node_bytes(self.reader, number)?)?);
        self.memo.nodes.borrow_mut().put(number, Arc::clone(&node));
        Ok(node)
    }
}
