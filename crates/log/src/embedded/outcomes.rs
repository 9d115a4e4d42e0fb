//! What becomes of payloads that are given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use engram_log_format::Offset;

/// For each record what takes the place of its payload, or nothing.
pub(crate) type Outcomes = BTreeMap<Offset, Option<Arc<[u8]>>>;
