//! What projectors tell and observers hear: a list a projector, of the projector's own type.

use std::any::Any;
use std::marker::PhantomData;

use engram_log::{Offset, Record};

use crate::projector::Projector;
use crate::snapshot::Snapshot;

/// Deltas of one type, each with the offset of its record, in order.
pub(crate) type Told<D> = Vec<(Offset, D)>;

/// What one projector has told since the last batch.
struct List<P: Projector> {
    told: Told<P::Delta>,
    projector: PhantomData<fn() -> P>,
}

/// A [`List`] of whichever projector.
trait AnyList: Any + Send {
    fn clear(&mut self);
}

impl<P: Projector> AnyList for List<P> {
    fn clear(&mut self) {
        self.told.clear();
    }
}

/// The list of one projector, for the projector alone to fill.
pub struct DeltaList(Box<dyn AnyList>);

impl DeltaList {
    pub(crate) fn of<P: Projector>() -> Self {
        Self(Box::new(List::<P> { told: Vec::new(), projector: PhantomData }))
    }

    /// The list itself; none if another projector tells by it.
    fn told<P: Projector>(&self) -> Option<&Told<P::Delta>> {
        let list: &dyn Any = &*self.0;
        list.downcast_ref::<List<P>>().map(|list| &list.told)
    }

    pub(crate) fn told_mut<P: Projector>(&mut self) -> &mut Told<P::Delta> {
        let list: &mut dyn Any = &mut *self.0;
        &mut list.downcast_mut::<List<P>>().expect("a projector is given the list that was made for it").told
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// What the pipeline has committed, as observers see it.
pub struct Batch<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) deltas: &'a [DeltaList],
    pub(crate) ephemeral: &'a [Record],
}

impl<'a> Batch<'a> {
    /// The views after the batch.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// What a projector has told, each delta with the offset of its record, in order. Whoever hears several
    /// projectors and needs to know what came first compares the offsets.
    ///
    /// To ask for a projector that the views do not have is a mistake in the wiring, and panics.
    pub fn deltas<P: Projector>(&self) -> &'a [(Offset, P::Delta)] {
        let list = self.deltas.iter().find_map(|list| list.told::<P>());
        list.unwrap_or_else(|| panic!("nobody here is a {}", std::any::type_name::<P>()))
    }

    /// The records of the ephemeral lane in the same stretch of the log, in order.
    pub fn ephemeral(&self) -> &'a [Record] {
        self.ephemeral
    }
}
