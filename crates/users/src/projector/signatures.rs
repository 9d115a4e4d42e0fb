//! Cross-signing keys, and signatures that are added to keys later.

use crate::delta::Apply;
use engram_log::Offset;
use engram_log_format::v1::{ArchivedInput, CrossSigningKeysUploaded, KeySignaturesUploaded};
use engram_views::ViewError;

use super::{device_list_changed, emit, remove_prefix};
use crate::delta::UserDelta;
use crate::json;
use crate::query::{CrossSigningUsage, cross_signing_row};
use crate::row::CrossSigningRow;
use crate::tables;

pub(super) fn keys_uploaded(
    view: &mut Apply<'_>,
    at: Offset,
    input: &ArchivedInput<CrossSigningKeysUploaded>,
) -> Result<(), ViewError> {
    let user_id = input.user_id.as_str();
    let uploads = [
        (CrossSigningUsage::Master, input.master_key.as_ref()),
        (CrossSigningUsage::SelfSigning, input.self_signing_key.as_ref()),
        (CrossSigningUsage::UserSigning, input.user_signing_key.as_ref()),
    ];
    let mut public = false;
    for (usage, key) in uploads {
        if let Some(key) = key
            && put_key(view, at, user_id, usage, key)?
        {
            public |= usage != CrossSigningUsage::UserSigning;
        }
    }
    if public {
        device_list_changed(view, at, user_id);
    } else {
        // A user-signing key is seen by its owner's devices alone.
        signatures_changed(view, at, user_id, user_id);
    }
    Ok(())
}

/// Stores one key; false if it is malformed. A key that it replaces takes its signatures along.
fn put_key(
    view: &mut Apply<'_>,
    at: Offset,
    user_id: &str,
    usage: CrossSigningUsage,
    key: &[u8],
) -> Result<bool, ViewError> {
    let Some((_, public_key)) = json::single_key(key) else {
        return Ok(false);
    };
    if let Some(before) = cross_signing_row(&*view, user_id, usage)?
        && before.public_key != public_key
    {
        remove_prefix(view, &tables::SIGNATURES, &tables::of_user(user_id).text(&before.public_key))?;
    }
    let row = CrossSigningRow { offset: at, public_key };
    view.put(&tables::CROSS_SIGNING_KEYS, &tables::of_user(user_id).byte(usage.number()), &row.encode());
    Ok(true)
}

/// Stores the signatures that the uploader made; those of others in the same objects do not count.
pub(super) fn uploaded(view: &mut Apply<'_>, at: Offset, input: &ArchivedInput<KeySignaturesUploaded>) {
    let signer = input.user_id.as_str();
    let mut own = false;
    for signed in input.signed.iter() {
        let (user_id, key_id) = (signed.user_id.as_str(), signed.key_id.as_str());
        let signatures = json::signatures_by(&signed.json, signer);
        if signatures.is_empty() {
            continue;
        }
        for (signing_key, signature) in signatures {
            let key = tables::of_device(user_id, key_id).text(signer).text(&signing_key);
            view.put(&tables::SIGNATURES, &key, signature.as_bytes());
        }
        if user_id == signer {
            own = true;
        } else {
            signatures_changed(view, at, signer, user_id);
        }
    }
    if own {
        device_list_changed(view, at, signer);
    }
}

fn signatures_changed(view: &mut Apply<'_>, at: Offset, signer: &str, user_id: &str) {
    let key = tables::of_user(signer).offset(at).text(user_id);
    view.put(&tables::SIGNATURE_CHANGES, &key, &[]);
    emit(view, || UserDelta::SignaturesChanged { signer: signer.to_owned(), user_id: user_id.to_owned() });
}
