//! The powers in force at a head, parsed once for as long as the events that grant them stand.

use std::sync::Arc;

use engram_matrix::pdu::Pdu;
use engram_matrix::power::{Creation, PowerLevels};
use engram_matrix::room_version::RoomVersion;

use super::RoomError;
use super::head::Head;

/// Who made the room, and who may do what in it.
pub(super) struct Powers {
    create: Arc<Pdu>,
    levels_event: Option<Arc<Pdu>>,
    /// The creators.
    pub(super) creation: Creation,
    /// The levels.
    pub(super) levels: PowerLevels,
}

impl Powers {
    fn parse(version: &RoomVersion, create: Arc<Pdu>, levels_event: Option<Arc<Pdu>>) -> Result<Self, RoomError> {
        let malformed = |error: engram_matrix::power::PowerError| RoomError::Internal(error.to_string());
        let creation = Creation::parse(&create).map_err(malformed)?;
        let levels = PowerLevels::parse(version, levels_event.as_deref(), &creation).map_err(malformed)?;
        Ok(Self { create, levels_event, creation, levels })
    }

    fn are_of(&self, create: &Arc<Pdu>, levels_event: Option<&Arc<Pdu>>) -> bool {
        let same_levels = match (&self.levels_event, levels_event) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            _ => false,
        };
        same_levels && Arc::ptr_eq(&self.create, create)
    }
}

impl Head {
    /// The powers in force.
    pub(super) fn powers(&self) -> Result<Arc<Powers>, RoomError> {
        let create = self.state.entry("m.room.create", "")?;
        let create =
            create.ok_or_else(|| RoomError::Internal(format!("the room {} has no create event", self.room_id)))?;
        let levels_event = self.state.entry("m.room.power_levels", "")?;
        let mut known = self.powers.borrow_mut();
        if let Some(powers) = known.as_ref().filter(|powers| powers.are_of(&create, levels_event.as_ref())) {
            return Ok(Arc::clone(powers));
        }
        let powers = Arc::new(Powers::parse(self.version, create, levels_event)?);
        *known = Some(Arc::clone(&powers));
        Ok(powers)
    }
}
