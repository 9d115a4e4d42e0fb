//! Profiles, account data, filters.

use crate::delta::Apply;
use engram_base::Key;
use engram_log::Offset;
use engram_log_format::v1::{AccountDataSet, ArchivedInput, FilterCreated, ProfileFieldSet};
use engram_views::ViewError;

use super::{emit, erasures};
use crate::delta::UserDelta;
use crate::query::{account_data_offset, account_row};
use crate::tables;

pub(super) fn profile_field_set(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<ProfileFieldSet>,
) -> Result<(), ViewError> {
    let (user_id, field) = (input.user_id.as_str(), input.key.as_str());
    if account_row(&*view, user_id)?.is_none() {
        return Ok(());
    }
    let key = tables::of_user(user_id).text(field);
    erasures::note_personal(view, user_id, at);
    match input.value.as_ref() {
        Some(value) => view.put(&tables::PROFILES, &key, value),
        None => view.remove(&tables::PROFILES, &key),
    }
    emit(view, || UserDelta::ProfileChanged { user_id: user_id.to_owned(), field: field.to_owned() });
    Ok(())
}

pub(super) fn account_data_set(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<AccountDataSet>,
) -> Result<(), ViewError> {
    let (user_id, event_type) = (input.user_id.as_str(), input.event_type.as_str());
    let room_id = input.room_id.as_deref();
    erasures::note_personal(view, user_id, at);
    if let Some(before) = account_data_offset(&*view, user_id, room_id, event_type)? {
        view.remove(&tables::ACCOUNT_DATA_CHANGES, &tables::of_user(user_id).offset(before));
    }
    let key = tables::account_data(user_id, room_id, event_type);
    view.put(&tables::ACCOUNT_DATA, &key, &at.to_be_bytes());
    view.put(
        &tables::ACCOUNT_DATA_CHANGES,
        &tables::of_user(user_id).offset(at),
        &Key::new().optional_text(room_id).text(event_type),
    );
    emit(view, || UserDelta::AccountData {
        user_id: user_id.to_owned(),
        room_id: room_id.map(str::to_owned),
        event_type: event_type.to_owned(),
    });
    Ok(())
}

pub(super) fn filter_created(view: &mut Apply<'_>, at: Offset, input: &ArchivedInput<FilterCreated>) {
    let key = tables::of_user(&input.user_id).text(&input.filter_id);
    view.put(&tables::FILTERS, &key, &at.to_be_bytes());
    erasures::note_personal(view, &input.user_id, at);
}
