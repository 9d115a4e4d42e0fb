//! Accounts, passwords, registration tokens.

use crate::delta::Apply;
use engram_base::Key;
use engram_log::{Offset, TimestampMs};
use engram_log_format::v1::{AccountCreated, AccountDeactivated, ArchivedInput, PasswordSet, RegistrationTokenCreated};
use engram_views::ViewError;

use super::{emit, erasures, remove_prefix};
use crate::delta::UserDelta;
use crate::query::{account_row, registration_token_row};
use crate::row::{AccountRow, RegistrationTokenRow};
use crate::tables;

pub(super) fn created(
    view: &mut Apply<'_>,
    at: Offset,
    time: TimestampMs,
    input: &ArchivedInput<AccountCreated>,
) -> Result<(), ViewError> {
    let key = tables::of_user(&input.user_id);
    let known = account_row(&*view, &input.user_id)?;
    // A guest who registers keeps the user ID, and is a guest no longer.
    if known.as_ref().is_some_and(|row| !row.guest || row.deactivated || input.guest) {
        return Ok(());
    }
    let row = AccountRow {
        admin: input.admin,
        guest: input.guest,
        deactivated: false,
        erased: false,
        created_ms: known.map_or(time.0, |row| row.created_ms),
        password_hash: input.password_hash.as_ref().map(|hash| hash.as_str().to_owned()),
        appservice_id: input.appservice_id.as_ref().map(|id| id.as_str().to_owned()),
    };
    view.put(&tables::ACCOUNTS, &key, &row.encode());
    if row.password_hash.is_some() {
        erasures::note_personal(view, &input.user_id, at);
    }
    if let Some(token) = input.registration_token.as_ref() {
        spend(view, token)?;
    }
    Ok(())
}

fn spend(view: &mut Apply<'_>, token: &str) -> Result<(), ViewError> {
    if let Some(mut row) = registration_token_row(&*view, token)? {
        row.used += 1;
        view.put(&tables::REGISTRATION_TOKENS, &Key::new().text(token), &row.encode());
    }
    Ok(())
}

pub(super) fn password_set(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<PasswordSet>,
) -> Result<(), ViewError> {
    if let Some(mut row) = account_row(&*view, &input.user_id)? {
        erasures::note_personal(view, &input.user_id, at);
        row.password_hash = input.password_hash.as_ref().map(|hash| hash.as_str().to_owned());
        view.put(&tables::ACCOUNTS, &tables::of_user(&input.user_id), &row.encode());
    }
    Ok(())
}

/// Closes the account. Its devices go by a `DevicesRemoved` in the same append.
pub(super) fn deactivated(view: &mut Apply<'_>, input: &ArchivedInput<AccountDeactivated>) -> Result<(), ViewError> {
    let Some(mut row) = account_row(&*view, &input.user_id)? else {
        return Ok(());
    };
    row.deactivated = true;
    row.erased |= input.erase;
    row.password_hash = None;
    let key = tables::of_user(&input.user_id);
    view.put(&tables::ACCOUNTS, &key, &row.encode());
    remove_prefix(view, &tables::PROFILES, &key)?;
    if row.erased {
        // Where it is in the log, it goes after a while; here at once.
        for table in [&tables::ACCOUNT_DATA, &tables::ACCOUNT_DATA_CHANGES, &tables::FILTERS] {
            remove_prefix(view, table, &key)?;
        }
        erasures::list_personal(view, &input.user_id)?;
    }
    emit(view, || UserDelta::AccountDeactivated { user_id: input.user_id.as_str().to_owned() });
    Ok(())
}

pub(super) fn registration_token_created(view: &mut Apply<'_>, input: &ArchivedInput<RegistrationTokenCreated>) {
    let row = RegistrationTokenRow {
        uses_allowed: input.uses_allowed.as_ref().map(|uses| uses.to_native()),
        expires_ms: input.expires_ms.as_ref().map(|at| at.to_native()),
        used: 0,
    };
    view.put(&tables::REGISTRATION_TOKENS, &Key::new().text(&input.token), &row.encode());
}
