//! `engramctl log cat --follow`: the journal as it grows, also beside a running server.
//!
//! The server is not asked and its lock is not taken: whenever the journal's newest file has changed, the log is opened
//! afresh and read on from the last record printed. Ephemeral records are left out: one may be there before a journal
//! record of a lower offset is, which would then be passed over.

use std::thread;
use std::time::Duration;

use engram_log::{FollowError, Lanes, Log, Offset};

use super::cat::{BATCH_RECORDS, show};
use crate::args::CatArgs;
use crate::data::Data;
use crate::error::{Error, Outcome, Result};
use crate::output::Output;

/// How often the journal's newest file is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// Openings in a row that may fail, for a server that begins a segment at that moment.
const FAILURES_MAX: u32 = 10;

/// Runs until something cannot be read, the last record wanted was printed, or the process is ended.
pub(super) fn run(data: &Data, args: &CatArgs, output: &mut Output) -> Result<Outcome> {
    let end = args.to.unwrap_or(Offset(u64::MAX));
    let mut after = Offset(args.from.unwrap_or(Offset::FIRST).0.saturating_sub(1));
    let (mut seen, mut failures, mut outcome) = (None, 0, Outcome::Good);
    while after < end {
        let mark = data.journal_mark();
        if mark.is_none() || mark != seen {
            let before = after;
            match read_on(data, args, &mut after, output) {
                Ok(shown) => {
                    outcome = if shown == Outcome::Found { shown } else { outcome };
                    // Times of files are coarse: what was written in the same instant after a reading that found
                    // something would not be noticed, so only a reading that found nothing ends the looking.
                    seen = if after == before { mark } else { None };
                    failures = 0;
                }
                Err(Error::Open(_) | Error::Read(_)) if failures < FAILURES_MAX => failures += 1,
                Err(error) => return Err(error),
            }
        }
        pause();
    }
    Ok(outcome)
}

/// Prints the records after `after` that are there now.
fn read_on(data: &Data, args: &CatArgs, after: &mut Offset, output: &mut Output) -> Result<Outcome> {
    let log = data.log_beside_server()?;
    let end = args.to.unwrap_or(Offset(u64::MAX));
    let mut follower = log.follow(*after, Lanes::Journal)?;
    let (mut records, mut outcome) = (Vec::new(), Outcome::Good);
    loop {
        match follower.next(&mut records, BATCH_RECORDS, Duration::ZERO) {
            Ok(0) | Err(FollowError::Stopped(_)) => break,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        for record in records.drain(..).take_while(|record| record.offset <= end) {
            let shown = show(&record, args, output)?;
            outcome = if shown == Outcome::Found { shown } else { outcome };
            *after = record.offset;
        }
    }
    output.flush()?;
    Ok(outcome)
}

#[expect(clippy::disallowed_methods, reason = "another process writes the file: there is nothing to be woken by")]
fn pause() {
    thread::sleep(INTERVAL);
}
