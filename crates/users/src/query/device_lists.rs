//! Whose keys changed between two positions.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use engram_base::{Key, Parts};
use engram_log::Offset;
use engram_views::{Read, ViewError};

use super::malformed;
use crate::tables::{self, DEVICE_LIST_CHANGES, SIGNATURE_CHANGES};

/// The users whose devices or keys changed after `since`, up to and including `through`; each once, in byte order.
pub fn device_lists_changed(reader: &dyn Read, since: Offset, through: Offset) -> Result<Vec<String>, ViewError> {
    if since >= through {
        return Ok(Vec::new());
    }
    let (from, to) = (Key::new().offset(since), Key::new().offset(through));
    let mut users = Some(BTreeSet::new());
    reader.scan(&DEVICE_LIST_CHANGES, Bound::Excluded(&from), Bound::Included(&to), false, &mut |_, value| {
        collect(&mut users, Parts(value).text())
    })?;
    Ok(users.ok_or_else(|| malformed(&DEVICE_LIST_CHANGES))?.into_iter().collect())
}

/// The users whose keys `signer` signed after `since`, up to and including `through`: changes that only the
/// signer's own devices can see.
pub fn signatures_changed(
    reader: &dyn Read,
    signer: &str,
    since: Offset,
    through: Offset,
) -> Result<Vec<String>, ViewError> {
    if since >= through {
        return Ok(Vec::new());
    }
    let prefix = tables::of_user(signer);
    // A change has more than the offset in its key, so the bounds lie between offsets.
    let (from, to) = (prefix.clone().offset(since.next()), prefix.clone().number(through.0.saturating_add(1)));
    let mut users = Some(BTreeSet::new());
    reader.scan(&SIGNATURE_CHANGES, Bound::Included(&from), Bound::Excluded(&to), false, &mut |key, _| {
        let mut parts = Parts(&key[prefix.len()..]);
        let user_id = parts.offset().and_then(|_| parts.text());
        collect(&mut users, user_id)
    })?;
    Ok(users.ok_or_else(|| malformed(&SIGNATURE_CHANGES))?.into_iter().collect())
}

fn collect(users: &mut Option<BTreeSet<String>>, user_id: Option<&str>) -> ControlFlow<()> {
    let (Some(found), Some(user_id)) = (users.as_mut(), user_id) else {
        *users = None;
        return ControlFlow::Break(());
    };
    found.insert(user_id.to_owned());
    ControlFlow::Continue(())
}
