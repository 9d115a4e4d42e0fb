//! The trie against a `BTreeMap`: same content, same root, whatever the history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::state::update::{Store, built, update};

#[derive(Default)]
struct Memory {
    nodes: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, NodeNumber>,
}

impl Source for Memory {
    fn node(&self, number: NodeNumber) -> Result<Arc<Node>, ViewError> {
        Node::decode(&self.nodes[number as usize - 1]).map(Arc::new)
    }
}

impl Store for Memory {
    fn intern(&mut self, node: Node, is_new: bool) -> Result<(NodeNumber, bool), ViewError> {
        let bytes = node.encode();
        assert_eq!(Node::decode(&bytes).unwrap(), node);
        let next = self.nodes.len() as u32 + 1;
        let number = *self.numbers.entry(bytes.clone()).or_insert(next);
        assert!(number == next || !is_new, "what is there already is said to be new");
        if number == next {
            self.nodes.push(bytes);
        }
        Ok((number, number == next))
    }
}

impl Memory {
    fn reached(&self, root: NodeNumber, into: &mut BTreeSet<NodeNumber>) {
        if root == 0 || !into.insert(root) {
            return;
        }
        if let Node::Inner(inner) = &*self.node(root).unwrap() {
            inner.children.iter().for_each(|child| self.reached(*child, into));
        }
    }
}

type Model = BTreeMap<u32, u64>;

/// Pairs as rooms have them: runs of neighbours, and strays far away.
fn pair() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, 1000u32..1100, 65_530u32..65_560, any::<u32>()]
}

fn steps(max: usize) -> impl Strategy<Value = Vec<(u32, Option<u64>)>> {
    vec((pair(), prop_oneof![3 => (1u64..1 << 40).prop_map(Some), 1 => Just(None)]), 0..max)
}

fn play(store: &mut Memory, root: NodeNumber, model: &mut Model, steps: &[(u32, Option<u64>)]) -> NodeNumber {
    steps.iter().fold(root, |root, &(pair, value)| {
        if let Some(offset) = value {
            model.insert(pair, offset);
            update(store, root, &[(pair, Some(offset))], None).unwrap()
        } else {
            model.remove(&pair);
            update(store, root, &[(pair, None)], None).unwrap()
        }
    })
}

fn entries(store: &Memory, root: NodeNumber) -> Vec<Entry> {
    let mut out = Vec::new();
    collect(store, root, &mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn behaves_like_a_map_and_forgets_its_history(steps in steps(160), order in any::<u64>()) {
        let (mut store, mut model) = (Memory::default(), Model::new());
        let root = play(&mut store, 0, &mut model, &steps);
        prop_assert_eq!(entries(&store, root), model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
        for (pair, _) in &steps {
            prop_assert_eq!(get(&store, root, *pair).unwrap(), model.get(pair).copied());
        }
        let mut shuffled: Vec<_> = model.iter().map(|(k, v)| (*k, Some(*v))).collect();
        shuffled.sort_by_key(|(pair, _)| u64::from(*pair).wrapping_mul(order | 1).rotate_left(17));
        let again = play(&mut store, 0, &mut Model::new(), &shuffled);
        prop_assert_eq!(again, root);
        let ascending: Vec<_> = model.into_iter().collect();
        prop_assert_eq!(built(&mut store, &ascending).unwrap(), root);
    }

    /// Any number of changes at once are the same as one after another; and nothing is stored that is not reached.
    #[test]
    fn changes_at_once_are_changes_one_by_one(first in steps(120), second in steps(120)) {
        let at_once = |steps: &[(u32, Option<u64>)]| -> Vec<_> {
            steps.iter().copied().collect::<BTreeMap<_, _>>().into_iter().collect()
        };
        let (mut store, mut model) = (Memory::default(), Model::new());
        let one = update(&mut store, 0, &at_once(&first), None).unwrap();
        let two = update(&mut store, one, &at_once(&second), None).unwrap();
        let mut reached = BTreeSet::new();
        store.reached(one, &mut reached);
        store.reached(two, &mut reached);
        prop_assert_eq!(reached.len(), store.nodes.len());
        let slowly = play(&mut store, 0, &mut model, &first);
        prop_assert_eq!(slowly, one);
        let slowly = play(&mut store, slowly, &mut model, &second);
        prop_assert_eq!(slowly, two);
    }

    /// What is known to be new by an offset that nothing holds yet is new.
    #[test]
    fn a_fresh_offset_makes_new_nodes(steps in steps(160), last in pair()) {
        let (mut store, mut model) = (Memory::default(), Model::new());
        let root = play(&mut store, 0, &mut model, &steps);
        let before = store.nodes.len();
        let root = update(&mut store, root, &[(last, Some(1 << 41))], Some(1 << 41)).unwrap();
        prop_assert_eq!(get(&store, root, last).unwrap(), Some(1 << 41));
        prop_assert!(store.nodes.len() > before);
    }

    #[test]
    fn diff_says_exactly_what_differs(common in steps(120), left in steps(40), right in steps(40)) {
        let (mut store, mut model) = (Memory::default(), Model::new());
        let root = play(&mut store, 0, &mut model, &common);
        let (mut before, mut after) = (model.clone(), model);
        let left = play(&mut store, root, &mut before, &left);
        let right = play(&mut store, root, &mut after, &right);
        let mut found = Vec::new();
        diff(&store, left, right, &mut found).unwrap();
        let pairs: std::collections::BTreeSet<u32> = before.keys().chain(after.keys()).copied().collect();
        let expected: Vec<Difference> = pairs
            .into_iter()
            .map(|pair| (pair, before.get(&pair).copied(), after.get(&pair).copied()))
            .filter(|(_, was, is)| was != is)
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// The figure that the design asks for: under 400 bytes for a change in a room of 50,000 members.
#[test]
fn a_change_in_a_large_room_writes_few_bytes() {
    let mut store = Memory::default();
    let all: Vec<Entry> = (100..50_100).map(|pair| (pair, 1_000_000 + u64::from(pair))).collect();
    let mut root = built(&mut store, &all).unwrap();
    let before = store.nodes.len();
    for change in 0..1000u32 {
        let pair = 100 + change * 47 % 50_000;
        root = update(&mut store, root, &[(pair, Some(2_000_000 + u64::from(change)))], None).unwrap();
    }
    // Each node costs its bytes, its key (5), and the row that finds it by its hash (17 + 4).
    let written: usize = store.nodes[before..].iter().map(|node| node.len() + 5 + 21).sum();
    assert!(written / 1000 < 400, "{} bytes per change", written / 1000);
}
