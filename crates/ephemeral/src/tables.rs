//! The tables of receipts.
